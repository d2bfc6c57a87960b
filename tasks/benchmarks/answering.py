"""Asks a model for its answers to a benchmark's items: n samples each, the longest first."""

from collections.abc import Sequence
from typing import NamedTuple

from tasks import progress, store
from tasks.benchmarks.interface import GivenAnswer, Item, Suite
from tasks.endpoints.chat import Chat, for_each_async, user, why_empty
from tasks.schema.errors import Unanswered
from tasks.schema.records import Decoding, Reason, Reject

STAGE = "predict"  # as the pipeline calls it


class AskedAnswers(NamedTuple):
    """What came of asking. A request that the endpoint refuses while it answers others has no answer and no score."""

    answers: store.Spool  # of GivenAnswer, in the items' order
    refused: store.Spool  # of Reject


async def ask_all(chat: Chat, suite: Suite, asked: AskedAnswers, *, model: str, samples: int, decoding: Decoding | None) -> None:
    """Adds `samples` answers to each item. Raises Unanswered if no request is answered at all."""
    todo, refusals = [(item, sample) for item in suite.items for sample in range(samples)], list[Unanswered]()
    longest_first = sorted(range(len(todo)), key=lambda place: -(todo[place][0].words or 0))
    with progress.bar(total=len(todo), unit="answer", label=f"{STAGE} {model}") as bar:

        async def one(place: int) -> None:
            item, sample = todo[place]
            try:
                answer = await (suite.write or in_one_call)(chat, item, sample)
                asked.answers.put(place, answer.model_copy(update={"model": model, "decoding": decoding}))
            except Unanswered as error:
                refusals.append(error)
                said = Reject(stage=STAGE, reason=Reason.UNANSWERED, detail=str(error), id=item.id, source=f"{model}, sample {sample}")
                asked.refused.put(place, said)
            bar.update()

        await for_each_async(longest_first, one)
    if todo and len(refusals) == len(todo):
        raise refusals[0]
    if refusals:
        progress.say(f"requests refused while others are answered, without a score: {len(refusals)}, such as {refusals[0]}")


async def in_one_call(chat: Chat, item: Item, sample: int) -> GivenAnswer:
    """Sends the prompt unchanged."""
    reply = await chat(user(item.prompt, sample=sample)._replace(urgency=float(item.words or 0)))
    if not reply.text.strip():
        progress.say(f"{item.id}, sample {sample}: {why_empty(reply)}")
    return GivenAnswer(
        id=item.id,
        prompt=item.prompt,
        model="",
        sample=sample,
        response=reply.text,
        finish_reason=reply.finish_reason,
        tokens=reply.usage.completion,
        seconds=reply.seconds,
        reasoning=reply.reasoning,
        inline=reply.inline,
    )


def by_id(items: Sequence[Item]) -> dict[str, Item]:
    """The items by id."""
    return {item.id: item for item in items}
