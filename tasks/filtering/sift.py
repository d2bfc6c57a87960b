"""Apply every filter that needs no model and no other part to one part of a file, in any process or on any machine."""

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from tasks.corpus import duplicates
from tasks.corpus.contamination import BenchmarkIndex
from tasks.corpus.filters import Fault, FilteredPrompt, fault
from tasks.corpus.near_copies import Sketches, sketch
from tasks.corpus.personal import masked
from tasks.corpus.recorded import RecordedPair, pair_of
from tasks.filtering.recorded import recorded_answer, text_fault
from tasks.schema.params import Collect
from tasks.schema.records import Reason
from tasks.sources.adapters import RawPrompt, raw_prompt_of
from tasks.sources.splits import FileSplit, SourceRow, rows
from tasks.sources.turns import Misfit


class Rules(NamedTuple):
    """The parameters and benchmark prompts that rows are checked against."""

    collect: Collect
    prompts: BenchmarkIndex


class PassedPrompt(NamedTuple):
    """A prompt that passes all rules."""

    number: int  # of the row, from 1 within its part
    id: str
    text: str
    rank: int  # among texts with the same id the lowest rank is kept; a hash of the text, so row order does not matter
    language: str
    words: int | None  # requested length
    length_kind: str
    answer: str = ""  # the recorded text; empty: a teacher is to write one


class RejectedRow(NamedTuple):
    """A row that a rule rejects, with the reason and the evidence."""

    number: int
    id: str | None
    reason: Reason
    detail: str


class Sifted(NamedTuple):
    """The result for one part; each row is in `kept` or in `refused`."""

    lines: int  # rows and blank lines
    kept: list[PassedPrompt]
    refused: list[RejectedRow]
    sketches: Sketches  # of `kept`
    masked: Counter[str]  # personal data by kind


class PassedWithShingles(NamedTuple):
    """A prompt that passes all rules, with the shingles that are used to find duplicates."""

    kept: PassedPrompt  # for the first row with this text
    shingles: frozenset[str]
    masked: Counter[str]


def sift(split: FileSplit, rules: Rules) -> Sifted:
    """Check every row of a part. Raises BadInput or SourceError if the part cannot be read to its end."""
    seen: dict[RawPrompt, PassedWithShingles | tuple[str, Fault]] = {}  # each distinct prompt is checked once
    kept, refused, shingles, kinds, lines = [], [], [], Counter[str](), 0
    for number, outcome in _outcomes(split, rules, seen):
        lines = number
        if isinstance(outcome, PassedWithShingles):
            kept.append(outcome.kept._replace(number=number))
            shingles.append(outcome.shingles)
            kinds.update(outcome.masked)
        elif outcome:
            identity, (reason, detail) = outcome
            refused.append(RejectedRow(number, identity or None, reason, detail))
    return Sifted(lines, kept, refused, _sketches(shingles, rules.collect.near_duplicate), kinds)


def _outcomes(
    split: FileSplit, rules: Rules, seen: dict[RawPrompt, PassedWithShingles | tuple[str, Fault]]
) -> Iterator[tuple[int, PassedWithShingles | tuple[str, Fault] | None]]:
    for row in rows(split):
        if row.data is None and row.problem is None:
            yield row.number, None
            continue
        try:
            if rules.collect.recorded:
                yield row.number, recorded_outcome(row, split.file.entry.adapter, rules)
                continue
            ask = raw_prompt_of(row.content(), split.file.entry.adapter)
        except Misfit as problem:
            yield row.number, ("", (Reason.MALFORMED, str(problem)))
            continue
        if ask not in seen:
            seen[ask] = judged(ask, rules)
        yield row.number, seen[ask]


def recorded_outcome(row: SourceRow, adapter: str, rules: Rules) -> PassedWithShingles | tuple[str, Fault]:
    """Check a recorded answer and its prompt: the pair to train on, or an id and the first fault. Raises Misfit without an answer."""
    ask, answer = raw_prompt_of(row.content(), adapter), recorded_answer(row.content(), adapter)
    asked = FilteredPrompt(ask)
    if match := rules.prompts.match(duplicates.shingled(asked.text, asked.language), duplicates.tokens_of(asked.text)):
        return asked.id, (Reason.CONTAMINATED, f"benchmark prompt {match.id}, {match.share:.0%} of it")
    pair = pair_of(asked.text, answer, rules.collect.words)
    if not isinstance(pair, RecordedPair):
        return asked.id, pair
    found = judged(ask._replace(text=pair.prompt, system=""), rules)
    if not isinstance(found, PassedWithShingles):
        return found
    if match := rules.prompts.match(duplicates.shingled(pair.text, asked.language), duplicates.tokens_of(pair.text)):
        return asked.id, (Reason.CONTAMINATED, f"the text has benchmark prompt {match.id}, {match.share:.0%} of it")
    text, kinds = masked(pair.text, asked.language) if rules.collect.personal_data == "mask" else (pair.text, Counter[str]())
    kept = found.kept._replace(answer=text)
    if fault := text_fault(text, kept.text, kept.language, words=pair.words):
        return kept.id, fault
    return found._replace(kept=kept, masked=found.masked + kinds)


def judged(ask: RawPrompt, rules: Rules) -> PassedWithShingles | tuple[str, Fault]:
    """Check one prompt against all rules: a Fit, or its id and the first fault. Never raises, so that no row is lost."""
    asked, collect = FilteredPrompt(ask), rules.collect
    if found := fault(asked, collect):
        return asked.id, found
    text, kinds = masked(asked.text, asked.language) if collect.personal_data == "mask" else (asked.text, Counter[str]())
    tokens = duplicates.tokens_of(text)
    shingles = frozenset(duplicates.runs(tokens, duplicates.SHINGLE[asked.language]))
    identity = duplicates.text_id(text) if kinds else asked.id
    if match := rules.prompts.match(duplicates.ShingledText(identity, shingles), tokens):
        return identity, (Reason.CONTAMINATED, f"benchmark prompt {match.id}, {match.share:.0%} of it")
    rank = int.from_bytes(sha256(text.encode("utf-8")).digest()[:8])
    return PassedWithShingles(
        PassedPrompt(0, identity, text, rank, asked.language, asked.length_request.target, asked.length_request.kind), shingles, kinds
    )


def _sketches(shingles: list[frozenset[str]], threshold: float) -> Sketches:
    """Sketch each distinct text once: a part may repeat one text thousands of times."""
    places = {one: place for place, one in enumerate(dict.fromkeys(shingles))}
    found = sketch(list(places), threshold=threshold)
    return found.take(np.array([places[one] for one in shingles], np.int64))
