"""Collects a candidate model's answers to benchmark items: n samples per prompt, longest first, with decoding, tokens and time."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import progress, store
from tasks.endpoints.chat import Chat, map_async, user, why_empty
from tasks.endpoints.roles import open_role
from tasks.schema.errors import BadInput, Unanswered
from tasks.schema.finish import Finish, finish_of
from tasks.schema.params import Model
from tasks.schema.records import BenchmarkItem, Decoding, Prediction, Reason, Reject, Step
from tasks.schema.settings import settings
from tasks.schema.standins import is_stand_in
from tasks.store import folder_digest


def decoding_of(model: Model, *, seed: int | None, checkpoint: str | None) -> Decoding:
    """Returns how a candidate model's answers are sampled. `checkpoint` is the digest of the served folder; None behind a URL."""
    return Decoding(**model.model_dump(), seed=seed, checkpoint=checkpoint)


class Answer(NamedTuple):
    """A complete answer, made by one call or by several."""

    text: str
    finish_reason: str
    tokens: int  # completion tokens, summed over its calls
    seconds: float  # summed over its calls
    plan: tuple[Step, ...] = ()
    reasoning: str = ""  # the model's thoughts
    inline: bool = False  # the thoughts were part of the text
    problem: str = ""  # why the text is empty


Refused = Callable[[Reject], None]
Method = Callable[[Chat, BenchmarkItem, int], Awaitable[Answer]]  # answers an item; the integer is the sample index


async def answers_of(
    checkpoint: Path,
    items: Sequence[BenchmarkItem],
    *,
    samples: int,
    seed: int,
    model: Model,
    name: str = "",
    verb: str = "predict",
    refused: Refused | None = None,
) -> list[Prediction]:
    """Answers of a checkpoint folder, under `name` or the folder's name. It is served unless a URL or the rehearsal is set.

    Raises BadInput if the folder does not exist, and the errors of `answer_all`.
    """
    if not checkpoint.is_dir():
        raise BadInput(checkpoint, "no such checkpoint", fix="run the train stage again")
    elsewhere = settings().url("candidate") or is_stand_in(model)
    decoding = decoding_of(model, seed=seed, checkpoint=None if elsewhere else folder_digest(checkpoint))
    async with open_role("candidate", model, seed=seed, checkpoint=checkpoint) as chat:
        return await answer_all(chat, items, model=name or checkpoint.name, samples=samples, decoding=decoding, verb=verb, refused=refused)


async def answer_all(
    chat: Chat,
    items: Sequence[BenchmarkItem],
    *,
    model: str,
    samples: int,
    decoding: Decoding,
    method: Method | None = None,
    verb: str = "predict",
    refused: Refused | None = None,
) -> list[Prediction]:
    """Returns `samples` answers to every item, in the order of the items.

    `refused` is called for each request that the endpoint refuses while it answers others. Such an answer has no score (it is not scored
    0). Without `refused`, a refused request raises Unanswered; so does a run without any answered request. Raises EndpointError if the
    endpoint refuses every request.
    """
    asked = [(item, sample) for item in items for sample in range(samples)]
    with _Watch(f"{verb} {model}", asked) as watch:

        async def one(question: tuple[BenchmarkItem, int]) -> Prediction | Unanswered:
            item, sample = question
            try:
                answer = await (method or in_one_call)(chat, item, sample)
            except Unanswered as error:
                if refused is None:
                    raise
                return error
            watch.saw(item, answer)
            return Prediction(
                item=item,
                model=model,
                sample=sample,
                response=answer.text,
                finish_reason=answer.finish_reason,
                tokens=answer.tokens,
                seconds=answer.seconds,
                decoding=decoding,
                plan=answer.plan,
                reasoning=answer.reasoning,
                inline=answer.inline,
            )

        found = await map_async(asked, one, unit="answer", label=None)
    predictions = [answer for answer in found if isinstance(answer, Prediction)]
    for (item, sample), error in zip(asked, found, strict=True):
        if isinstance(error, Unanswered):
            if refused is None or not predictions:
                raise error
            refused(Reject(id=item.id, stage=verb, reason=Reason.UNANSWERED, detail=str(error), source=f"{model}, sample {sample}"))
    return predictions


def write_refused(out: Path, rejects: Sequence[Reject]) -> None:
    """Writes the refused requests to rejects.jsonl beside the answers and reports them in one line. Without rejects, writes no file."""
    path = out / "rejects.jsonl"
    path.unlink(missing_ok=True)
    if rejects:
        store.write(path, rejects)
        progress.say(
            f"requests refused while others are answered, without a score: {len(rejects)}, such as {rejects[0].detail}; see {path.name}"
        )


async def in_one_call(chat: Chat, item: BenchmarkItem, sample: int) -> Answer:
    """Sends the prompt unchanged. The longest requests go first: started last, they would run alone at the end."""
    reply = await chat(user(item.prompt, sample=sample)._replace(urgency=float(item.length)))
    tokens, problem = reply.usage.completion, "" if reply.text.strip() else why_empty(reply)
    return Answer(reply.text, reply.finish_reason, tokens, reply.seconds, (), reply.reasoning, reply.inline, problem)


def figures(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Counts over all predictions. `tokens_per_second` is the rate per answer as the caller saw it, waiting included: tokens / sum of
    seconds.
    """
    tokens, seconds = sum(p.tokens for p in predictions), sum(p.seconds for p in predictions)
    by_model = Counter(f"{p.model}_predictions" for p in predictions)
    cut = sum(finish_of(p.finish_reason) is Finish.CUT for p in predictions)
    rate = {"tokens_per_second": tokens / seconds} if seconds else {}
    return {"predictions": len(predictions), "tokens": tokens, "cut_at_max_tokens": cut, **rate, **by_model}


class _Watch:
    """A progress bar in requested words, because an answer of 10,000 words takes longer than one of 100. Makes the time left realistic."""

    def __init__(self, label: str, asked: Sequence[tuple[BenchmarkItem, int]]):
        self._bar = progress.bar(total=sum(item.length for item, _ in asked), unit="word", label=label)
        self._number, self._start = len(asked), time.monotonic()
        self._answers = self._tokens = 0
        self._label, self._problems = label, Counter[str]()

    def __enter__(self) -> "_Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._problems:
            why = "; ".join(f"{count} {problem}" for problem, count in self._problems.most_common(3))
            progress.say(f"{self._label}: {self._problems.total()} of {self._answers} answers are empty: {why}")

    def saw(self, item: BenchmarkItem, answer: Answer) -> None:
        self._answers += 1
        self._tokens += answer.tokens
        self._problems.update([answer.problem] if answer.problem else [])
        rate = self._tokens / max(0.001, time.monotonic() - self._start)
        self._bar.set_postfix_str(f"{self._answers}/{self._number} answers, {rate:,.0f} tokens/s", refresh=False)
        self._bar.update(item.length)
