"""The scored answers with their texts, cut so that the page stays small, and the rejects with examples."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import escape

from tasks import store
from tasks.schema.records import Prediction, Reject, ScoredItem

TEXTS = 700_000  # bytes of HTML for the texts of all answers together
LARGEST = 6_000  # bytes of HTML for the text of one answer
POINTS = 1_500  # answers that are shown; more are thinned out evenly
PROMPT = 240  # characters of a prompt
EXAMPLES = 3  # rejects per stage and reason that are shown
EXAMPLE = 160  # characters of an example


class ShownAnswer(NamedTuple):
    """One scored answer: a point of the plot, a row of the table, and its text."""

    anchor: str  # id of its text on the page
    item: ScoredItem
    prompt: str  # its beginning; empty: there are no predictions
    head: str  # beginning of the text
    tail: str  # end of the text; empty if `head` is the whole text
    left_out: int  # characters between them

    @property
    def title(self) -> str:
        """One line for the tooltip: model, lengths, scores, prompt."""
        item = self.item
        scores = f"S_l {item.s_l:.0f}" + ("" if item.s_q is None else f", S_q {item.s_q:.0f}")
        return f"{item.model}: asked {item.asked:,}, written {item.written:,} · {scores} · {self.prompt[:80] or item.id}"


class RejectExamples(NamedTuple):
    """The rejects of one stage for one reason."""

    stage: str
    reason: str
    records: int
    examples: Sequence[str]  # source and detail of the first ones


def shown_answers(items: Sequence[ScoredItem], predictions: Path | None) -> list[ShownAnswer]:
    """At most `POINTS` answers in the order of `items`. `predictions`: the file with their texts; None: there is none."""
    every = -(-len(items) // POINTS)  # rounded up
    chosen = items[::every] if every else []
    room = min(LARGEST, TEXTS // max(1, len(chosen)))
    wanted = {(item.model, item.id, item.sample) for item in chosen}
    texts = dict(_texts(predictions, wanted, room)) if predictions else {}
    nothing = ("", "", "", 0)
    return [
        ShownAnswer(f"answer-{number}", item, *texts.get((item.model, item.id, item.sample), nothing))
        for number, item in enumerate(chosen, 1)
    ]


Key = tuple[str, str, int]


def _texts(path: Path, wanted: set[Key], room: int) -> Iterator[tuple[Key, tuple[str, str, str, int]]]:
    for prediction in store.read(path, Prediction):
        key = (prediction.model, prediction.item.id, prediction.sample)
        if key in wanted:
            text = prediction.response.strip()
            prompt = _cut(prediction.item.prompt.strip(), room // 4)[:PROMPT]
            head, tail = _both_ends(text, room - room // 4)
            yield key, (prompt, head, tail, len(text) - len(head) - len(tail))


def _both_ends(text: str, room: int) -> tuple[str, str]:
    """The text in `room` bytes of HTML: all of it, or its beginning (two thirds) and its end."""
    if _size(text) <= room:
        return text, ""
    return _cut(text, room * 2 // 3), _cut(text[::-1], room // 3)[::-1]


def _cut(text: str, room: int) -> str:
    """The beginning of a text that takes at most `room` bytes of HTML."""
    text = text[:room]
    while text and (size := _size(text)) > room:
        text = text[: min(len(text) - 1, len(text) * room // size)]
    return text


def _size(text: str) -> int:
    return len(str(escape(text)).encode("utf-8", "surrogatepass"))


def reject_examples(path: Path, stage: str) -> list[RejectExamples]:
    """The rejects in a stage's file by reason, most frequent first. A stage without rejects has an empty file."""
    if not path.stat().st_size:
        return []
    counts, examples = Counter[str](), dict[str, list[str]]()
    for reject in store.read(path, Reject):
        reason = str(reject.reason)
        counts[reason] += 1
        if len(own := examples.setdefault(reason, [])) < EXAMPLES:
            own.append(f"{reject.source}: {' '.join(reject.detail.split())}"[:EXAMPLE].strip(": "))
    return [RejectExamples(stage, reason, count, examples[reason]) for reason, count in counts.most_common()]


def counts_of(rejects: Mapping[str, Sequence[RejectExamples]]) -> dict[str, dict[str, int]]:
    """Number of rejects by stage and reason."""
    return {stage: {one.reason: one.records for one in found} for stage, found in rejects.items()}
