"""collect: select instructions that need long answers from raw chats; every other row becomes a Reject (paper, section 3.2).

Rules run first, on parts of the files, on all cores or a cluster: flags, language, self-containedness, scraping, injection, requested
length, similarity to the benchmark's prompts. Then duplicates are removed. The selector judges the remaining prompts with one short call
each, which is the whole cost. At most collect.count instructions are drawn, balanced over language, requested length and topic. The order
of the rows, and how they are split into files, do not change the result. Texts stay on disk, so memory does not grow with them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks import progress, stage, store
from tasks.corpus import filters
from tasks.corpus.contamination import BenchmarkIndex
from tasks.corpus.drawing import DrawablePrompt, draw
from tasks.corpus.filters import Fault
from tasks.corpus.selection import choose
from tasks.endpoints.chat import Chat, for_each_async
from tasks.endpoints.roles import open_role
from tasks.filtering.candidates import Candidates, StoredCandidate
from tasks.filtering.pool import Rejects, fill
from tasks.filtering.sift import Rules
from tasks.schema.errors import GateFailed, ReplyError, Unanswered
from tasks.schema.params import RECORDED, Collect, Model
from tasks.schema.records import Instruction, Reason, RecordedText
from tasks.sources import reading


def run(folder: Path, benchmark: Path, out: Path, *, seed: int, collect: Collect, selector_model: Model) -> stage.Metrics:
    rules, licences = Rules(collect, _prompts(folder, benchmark, collect)), {entry.name: entry.licence for entry in collect.sources}
    with (
        TemporaryDirectory(dir=out, prefix=".pool-") as scratch,
        Candidates(Path(scratch), threshold=collect.near_duplicate) as pool,
        Rejects(out / "rejects.jsonl") as rejects,
    ):
        facts = fill(pool, rejects, folder, rules)
        places = list(_without_copies(pool, rejects, threshold=collect.near_duplicate))
        if collect.recorded:
            asked, fit = 0, _recorded(pool, places)
        else:
            asked, fit = len(places), stage.run_async(_by_selector(pool, places, rejects, Path(scratch), collect, selector_model))
        drawn = draw(fit, count=collect.count, seed=seed)
        _leave(pool, fit, drawn, rejects, collect)
        written = store.write(out / "instructions.jsonl", (_instruction(pool[one.place], one.words, licences) for one in drawn))
        _check(facts["rows"], written, rejects)
    return {**facts, "asked": asked, "instructions": written, "rejects": rejects.total, **_spread(drawn), **rejects.by_reason()}


def _prompts(folder: Path, benchmark: Path, collect: Collect) -> BenchmarkIndex:
    """The benchmark's prompts and those of collect.decontaminate. A row without a prompt stops the stage: it could not be excluded."""
    texts = [ask.text for ask in reading.raw_prompts_of(reading.plain(benchmark))]
    return BenchmarkIndex([*texts, *(ask.text for entry in collect.decontaminate for ask in reading.raw_prompts(entry, folder))])


def _without_copies(pool: Candidates, rejects: Rejects, *, threshold: float) -> Iterator[int]:
    """Places of the remaining prompts, by id. The first of equal prompts (by text) and of similar prompts (by id) remains."""
    from tasks.filtering.copies import equal, near

    unique = equal(pool, lambda place, first: rejects.add(pool, place, (Reason.DUPLICATE, f"the same as {pool.source(first)}")))

    def refuse(place: int, other: int, similarity: float) -> None:
        rejects.add(pool, place, (Reason.NEAR_DUPLICATE, f"of {pool.id(other)}, similarity {similarity:.2f}"))

    yield from near(pool, unique, refuse)


def _recorded(pool: Candidates, places: list[int]) -> list[DrawablePrompt]:
    """All remaining prompts: no selector is needed, because each has its text."""
    found = (pool[place] for place in places)
    return [DrawablePrompt(one.id, one.language, one.words, RECORDED, place) for place, one in zip(places, found, strict=True) if one.words]


async def _by_selector(
    pool: Candidates, places: list[int], rejects: Rejects, scratch: Path, collect: Collect, model: Model
) -> list[DrawablePrompt]:
    """The prompts that the selector accepts, in the order of its replies. All others become rejects, in the order of their places."""
    fit: list[DrawablePrompt] = []
    unfit = store.Spool(scratch)
    with progress.bar(total=len(places), unit="ask", label="collect: select") as bar:
        async with open_role("selector", model) as chat:

            async def one(turn: tuple[int, int]) -> None:
                rank, place = turn
                result = await _selected(chat, pool[place], place, collect)
                if isinstance(result, DrawablePrompt):
                    fit.append(result)
                else:
                    unfit.put(rank, rejects.made(pool, place, result))
                bar.update()

            await for_each_async(enumerate(places), one)
    rejects.take(unfit)
    return fit


async def _selected(chat: Chat, asked: StoredCandidate, place: int, collect: Collect) -> DrawablePrompt | Fault:
    try:
        choice = await choose(chat, asked.text)
    except ReplyError as error:
        return (Reason.UNANSWERED if isinstance(error, Unanswered) else Reason.BAD_REPLY), str(error)
    words = asked.words or choice.words
    if not choice.needs_long_answer:
        return Reason.SHORT_ASK, "the selector sees no need of a long answer"
    if words is None:
        return Reason.SHORT_ASK, "names no length, and the selector none either"
    return filters.out_of_bounds(words, collect) or DrawablePrompt(asked.id, asked.language, words, choice.topic, place)


def _leave(pool: Candidates, fit: list[DrawablePrompt], drawn: list[DrawablePrompt], rejects: Rejects, collect: Collect) -> None:
    taken = {one.place for one in drawn}
    for one in sorted(fit, key=lambda one: one.id):
        if one.place not in taken:
            rejects.add(pool, one.place, (Reason.NOT_DRAWN, f"over collect.count, {collect.count}"))


def _instruction(asked: StoredCandidate, words: int, licences: Mapping[str, str]) -> Instruction:
    given = {
        "id": asked.id,
        "text": asked.text,
        "language": asked.language,
        "words": words,
        "length_kind": asked.length_kind,
        "source": asked.source,
        "recorded": RecordedText(text=asked.answer, licence=licences[asked.source.partition("/")[0]]) if asked.answer else None,
    }
    return Instruction.model_validate(given)


def _spread(drawn: list[DrawablePrompt]) -> dict[str, int]:
    """Number of drawn instructions by language and topic."""
    counts = Counter(f"drawn_{kind}" for one in drawn for kind in (one.language, one.topic))
    return dict(sorted(counts.items()))


def _check(rows: int, drawn: int, rejects: Rejects) -> None:
    """Raises GateFailed if a row was lost, or if no instruction is left."""
    if rows != drawn + rejects.total:
        raise GateFailed(f"collect: {rows} rows became {drawn} instructions and {rejects.total} rejects; a row was lost, please report it")
    if not drawn:
        reason, count = rejects.counts.most_common(1)[0]
        raise GateFailed(
            f"collect: none of {rows} rows is fit, {count} rejected for {reason}; check collect.sources and collect.words in params"
        )


if __name__ == "__main__":
    stage.main(
        "FOLDER BENCHMARK OUT", lambda params: partial(run, seed=params.seed, collect=params.collect, selector_model=params.models.selector)
    )
