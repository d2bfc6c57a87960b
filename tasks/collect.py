"""collect: raw chats become instructions that need long answers, every other row a Reject (paper, section 3.2).

Rules go first (flags, language, self-containedness, scraping, injection, asked length, copies, the benchmark's prompts), and
what they let pass is put to the selector: one short call per ask, which is the whole cost. At the most collect.count
instructions are drawn, balanced over language and asked length. Rows in another order give the same instructions.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

from tasks import stage, store
from tasks.corpus import duplicates, filters, sources
from tasks.corpus.drawing import draw
from tasks.corpus.filters import Candidate, Fault
from tasks.corpus.languages import language_of
from tasks.corpus.selection import choose
from tasks.corpus.sources import Malformed
from tasks.endpoints.chat import Chat, each
from tasks.endpoints.roles import open_role
from tasks.schema.errors import BadInput, GateFailed, ReplyError, Unanswered
from tasks.schema.params import Collect, Model
from tasks.schema.records import Instruction, Reason, Reject


def run(folder: Path, benchmark: Path, out: Path, *, seed: int, collect: Collect, selector_model: Model) -> stage.Metrics:
    prompts = _prompts(benchmark, folder, collect)
    read = list(_readable(folder, collect))
    sifted, rejects = stage.split([_by_rules(row, collect) for row in read])
    asked, copies = stage.split([*_without_copies(sifted, prompts, threshold=collect.near_duplicate)])
    chosen, unfit = stage.split(stage.run_async(_by_selector(asked, collect, selector_model)))
    drawn = draw(chosen, count=collect.count, seed=seed)
    taken = {instruction.id for instruction in drawn}
    left = [_not_drawn(instruction, collect) for instruction in chosen if instruction.id not in taken]
    rejects = sorted([*rejects, *copies, *unfit, *left], key=lambda reject: (reject.id or "", reject.source))
    _check(len(read), drawn, rejects)
    store.write(out / "instructions.jsonl", drawn)
    store.write(out / "rejects.jsonl", rejects)
    return {"rows": len(read), "instructions": len(drawn), "rejects": len(rejects), **_by_reason(rejects)}


def _prompts(benchmark: Path, folder: Path, collect: Collect) -> duplicates.Benchmark:
    """The prompts that are scored on, ready to compare. A row without one stops the stage: it could not be kept out of the pool."""
    texts = []
    for row in chain(sources.read(benchmark), *(sources.read_entry(entry, folder) for entry in collect.decontaminate)):
        if isinstance(row, Malformed):
            raise BadInput(row.path, row.problem, line=row.row, mend="mend the benchmark's row")
        texts.append(duplicates.shingled(row.text, language_of(row.text)))
    return duplicates.Benchmark(texts)


def _readable(folder: Path, collect: Collect) -> Iterator[Candidate | Malformed]:
    """Every row of the sources. Raises BadInput for the first unreadable one when there are more of them than params allow."""
    first, count, total = None, 0, 0
    for row in chain.from_iterable(sources.read_entry(entry, folder) for entry in collect.sources):
        total += 1
        if isinstance(row, Malformed):
            first, count = first or row, count + 1
            if not collect.max_malformed:
                raise row.error()
        yield row if isinstance(row, Malformed) else filters.candidate(row)
    if first and count > collect.max_malformed * total:
        raise first.error()


def _by_rules(row: Candidate | Malformed, collect: Collect) -> Candidate | Reject:
    if isinstance(row, Malformed):
        return Reject(id=None, stage="collect", reason=Reason.MALFORMED, detail=row.problem, source=row.source)
    fault = filters.fault(row, collect)
    return _reject(row, fault) if fault else row


def _without_copies(asked: Iterable[Candidate], prompts: duplicates.Benchmark, *, threshold: float) -> Iterator[Candidate | Reject]:
    """Of equal asks the first by text and source stays, of near ones the first by id; none stays that is a benchmark prompt."""
    unique = []
    for _, equal in groupby(sorted(asked, key=lambda ask: (ask.id, ask.text, ask.ask.source)), key=lambda ask: ask.id):
        kept, *others = equal
        yield from (_reject(other, (Reason.DUPLICATE, f"the same as {kept.ask.source}")) for other in others)
        text = duplicates.shingled(kept.text, kept.language)
        if match := prompts.match(text, threshold=threshold):
            yield _reject(kept, (Reason.CONTAMINATED, f"benchmark prompt {match.id}, similarity {match.similarity:.2f}"))
        else:
            unique.append((kept, text))
    near = duplicates.near_duplicates([text for _, text in unique], threshold=threshold)
    for kept, _ in unique:
        match = near.get(kept.id)
        yield _reject(kept, (Reason.NEAR_DUPLICATE, f"of {match.id}, similarity {match.similarity:.2f}")) if match else kept


async def _by_selector(asked: Sequence[Candidate], collect: Collect, model: Model) -> list[Instruction | Reject]:
    async with open_role("selector", model) as chat:
        return await each(asked, lambda ask: _selected(chat, ask, collect), unit="ask", label="collect")


async def _selected(chat: Chat, asked: Candidate, collect: Collect) -> Instruction | Reject:
    try:
        choice = await choose(chat, asked.text)
    except ReplyError as error:
        return _reject(asked, (Reason.UNANSWERED if isinstance(error, Unanswered) else Reason.BAD_REPLY, str(error)))
    words = asked.wish.target or choice.words
    if not choice.needs_long_answer:
        return _reject(asked, (Reason.SHORT_ASK, "the selector sees no need of a long answer"))
    if words is None:
        return _reject(asked, (Reason.SHORT_ASK, "names no length, and the selector none either"))
    if fault := filters.out_of_bounds(words, collect):
        return _reject(asked, fault)
    given = {"id": asked.id, "text": asked.text, "language": asked.language, "words": words, "wish": asked.wish.kind}
    return Instruction.model_validate({**given, "source": asked.ask.source})


def _reject(asked: Candidate, fault: Fault) -> Reject:
    reason, detail = fault
    return Reject(id=asked.id, stage="collect", reason=reason, detail=detail, source=asked.ask.source)


def _not_drawn(fit: Instruction, collect: Collect) -> Reject:
    return Reject(id=fit.id, stage="collect", reason=Reason.NOT_DRAWN, detail=f"over collect.count, {collect.count}", source=fit.source)


def _check(rows: int, drawn: Sequence[Instruction], rejects: Sequence[Reject]) -> None:
    """Every row is accounted for, and something is left to go on with."""
    if rows != len(drawn) + len(rejects):
        raise GateFailed(
            f"collect: {rows} rows became {len(drawn)} instructions and {len(rejects)} rejects; a row was lost, please report it"
        )
    if not drawn:
        reason, count = Counter(reject.reason for reject in rejects).most_common(1)[0]
        raise GateFailed(
            f"collect: none of {rows} rows is fit, {count} rejected for {reason}; check collect.sources and collect.words in params"
        )


def _by_reason(rejects: Sequence[Reject]) -> dict[str, int]:
    counts = Counter(reject.reason for reject in rejects)
    return {f"rejects_{reason}": counts[reason] for reason in Reason if counts[reason]}


if __name__ == "__main__":
    stage.main(run)
