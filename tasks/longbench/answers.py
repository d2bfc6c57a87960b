"""Collects a candidate model's answers to benchmark items: n samples per prompt, longest first, with decoding, tokens and time."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import progress, store
from tasks.endpoints.chat import Chat, for_each_async, user, why_empty
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


def model_with(decoding: Decoding) -> Model:
    """The candidate model that answers with this decoding; the other way of `decoding_of`."""
    return Model(**decoding.model_dump(include=set(Model.model_fields)))


class WholeAnswer(NamedTuple):
    """A complete answer, made by one call or by several."""

    text: str
    finish_reason: str
    tokens: int  # completion tokens, summed over its calls
    seconds: float  # summed over its calls
    plan: tuple[Step, ...] = ()
    reasoning: str = ""  # the model's thoughts
    inline: bool = False  # the thoughts were part of the text
    problem: str = ""  # why the text is empty


Method = Callable[[Chat, BenchmarkItem, int], Awaitable[WholeAnswer]]  # answers an item; the integer is the sample index


class Answers:
    """Answers, and the questions to which there is none because the endpoint refuses the request: they have no score, neither 0 nor any
    other. On disk, in the order of the questions; memory holds 24 bytes of each."""

    def __init__(self, folder: Path):
        self._predictions, self._refused = store.Spool(folder), store.Spool(folder)
        self._tokens = self._cut = 0
        self._seconds = 0.0
        self._by_model = Counter[str]()

    def __len__(self) -> int:
        return len(self._predictions) + len(self._refused)

    def add(self, place: int, answer: Prediction | Reject) -> None:
        if isinstance(answer, Reject):
            return self._refused.put(place, answer)
        self._predictions.put(place, answer)
        self._tokens += answer.tokens
        self._seconds += answer.seconds
        self._cut += finish_of(answer.finish_reason) is Finish.CUT
        self._by_model[f"{answer.model}_predictions"] += 1

    def predictions(self) -> Iterator[Prediction]:
        return self._predictions.records(Prediction)

    def write(self, path: Path) -> dict[str, float]:
        """The answers into `path`, and what is refused, if anything, into rejects.jsonl beside it, with a line that says so.

        Returns figures. `tokens_per_second` is that of one answer as its caller saw it, waiting included: tokens over the sum of the
        calls' seconds.
        """
        self._predictions.write(path)
        rejects = path.with_name("rejects.jsonl")
        rejects.unlink(missing_ok=True)
        if count := len(self._refused):
            self._refused.write(rejects)
            first = next(self._refused.records(Reject)).detail
            progress.say(f"requests refused while others are answered, without a score: {count}, such as {first}; see {rejects.name}")
        rate = {"tokens_per_second": self._tokens / self._seconds} if self._seconds else {}
        known = {"predictions": len(self._predictions), "tokens": self._tokens, "cut_at_max_tokens": self._cut}
        return {**known, **rate, **self._by_model, **({"refused": count} if count else {})}


async def answers_of(
    checkpoint: Path,
    items: Sequence[BenchmarkItem],
    answers: Answers,
    *,
    samples: int,
    seed: int,
    model: Model,
    name: str = "",
    verb: str = "predict",
    method: Method | None = None,
) -> None:
    """Adds the answers of a checkpoint folder, under `name` or the folder's name. It is served unless a URL or the rehearsal is set.

    Raises BadInput if the folder does not exist, and the errors of `answer_all`.
    """
    if not checkpoint.is_dir():
        raise BadInput(checkpoint, "no such checkpoint", fix="run the train stage again")
    elsewhere = settings().url("candidate") or is_stand_in(model)
    decoding = decoding_of(model, seed=seed, checkpoint=None if elsewhere else folder_digest(checkpoint))
    async with open_role("candidate", model, seed=seed, checkpoint=checkpoint) as chat:
        named = name or checkpoint.name
        await answer_all(chat, items, answers, model=named, samples=samples, decoding=decoding, verb=verb, method=method)


async def answer_all(
    chat: Chat,
    items: Sequence[BenchmarkItem],
    answers: Answers,
    *,
    model: str,
    samples: int,
    decoding: Decoding,
    method: Method | None = None,
    verb: str = "predict",
) -> None:
    """`samples` answers to every item into `answers`, in the items' order whatever ended first; the longest are asked for first.

    Raises Unanswered where no request is answered at all, EndpointError where the endpoint refuses everybody.
    """
    asked, first, refusals = [(item, sample) for item in items for sample in range(samples)], len(answers), list[Unanswered]()
    longest_first = sorted(range(len(asked)), key=lambda place: -asked[place][0].length)
    with _Watch(f"{verb} {model}", asked) as watch:

        async def one(place: int) -> None:
            item, sample = asked[place]
            try:
                answer = await (method or in_one_call)(chat, item, sample)
            except Unanswered as error:
                refusals.append(error)
                named = {"id": item.id, "source": f"{model}, sample {sample}"}
                return answers.add(first + place, Reject(stage=verb, reason=Reason.UNANSWERED, detail=str(error), **named))
            watch.saw(item, answer)
            made = Prediction(
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
            answers.add(first + place, made)

        await for_each_async(longest_first, one)
    if asked and len(refusals) == len(asked):
        raise refusals[0]


async def in_one_call(chat: Chat, item: BenchmarkItem, sample: int) -> WholeAnswer:
    """Sends the prompt unchanged. The longest requests go first: started last, they would run alone at the end."""
    reply = await chat(user(item.prompt, sample=sample)._replace(urgency=float(item.length)))
    tokens, problem = reply.usage.completion, "" if reply.text.strip() else why_empty(reply)
    return WholeAnswer(reply.text, reply.finish_reason, tokens, reply.seconds, (), reply.reasoning, reply.inline, problem)


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

    def saw(self, item: BenchmarkItem, answer: WholeAnswer) -> None:
        self._answers += 1
        self._tokens += answer.tokens
        self._problems.update([answer.problem] if answer.problem else [])
        rate = self._tokens / max(0.001, time.monotonic() - self._start)
        self._bar.set_postfix_str(f"{self._answers}/{self._number} answers, {rate:,.0f} tokens/s", refresh=False)
        self._bar.update(item.length)
