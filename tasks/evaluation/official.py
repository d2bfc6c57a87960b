"""The scores that the paper's own scripts computed, read from their files: pred.jsonl and judge.jsonl of models/NAME.

eval_length.py scores `response_length`. eval_quality.py writes a row only for an answer that was judged, counts a missing dimension as 3,
and appends a row of totals. They are shown beside the scores that are computed here from the texts, and never mixed with them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean

from tasks.longbench.benchmark import entries
from tasks.schema.records import PAPERS_NAMES, Record
from tasks.text.counts import s_l

PREDICTIONS, VERDICTS = "pred.jsonl", "judge.jsonl"
MISSING = 3.0  # what the official script takes for a missing dimension


class OfficialScores(Record):
    """Scores of the official scripts, 0 to 100."""

    answers: int  # rows with a response_length
    s_l: float | None
    judged: int  # rows with scores
    s_q: float | None
    total: float | None  # S_q as the row of totals says it; None: no such row

    def __str__(self) -> str:
        length = f"S_l {self.s_l:.2f} of {self.answers} answers" if self.s_l is not None else ""
        quality = f"S_q {self.s_q:.2f} of {self.judged} judged answers" if self.s_q is not None else ""
        totals = f"its row of totals says {self.total:.2f}" if self.total is not None else ""
        return ", ".join(part for part in (length, quality, totals) if part)


def is_totals(row: Mapping[str, object]) -> bool:
    """Whether a row of judge.jsonl is the totals that the script appends."""
    return "total" in row and PAPERS_NAMES["relevance"] in row and "response" not in row


def official_scores(path: Path) -> OfficialScores | None:
    """Reads the scores in a file, or in a folder with the scripts' two files. None if there are none."""
    if path.is_dir():
        files = [path / name for name in (PREDICTIONS, VERDICTS) if (path / name).is_file()]
        return _read(files[:1], files[-1:]) if files else None
    if path.suffix != ".jsonl" or not path.is_file():
        return None
    first = next(entries(path), None)  # of the scripts' files every row has one of these: others are not read twice
    return _read([path], [path]) if first and first.has("response_length", "scores") else None


def _read(predictions: Iterable[Path], verdicts: Iterable[Path]) -> OfficialScores | None:
    lengths, total = list[float](), None
    grades: dict[str, list[float]] = {name: [] for name in PAPERS_NAMES.values()}
    for file in predictions:
        for row in entries(file):
            asked, written = row.data.get("length"), row.data.get("response_length")
            if isinstance(asked, int) and isinstance(written, int) and asked > 0:
                lengths.append(s_l(asked, written))
    for file in verdicts:
        for row in entries(file):
            if is_totals(row.data):
                total = _number(row.data["total"])
            elif isinstance(found := row.data.get("scores"), dict):
                for name, own in grades.items():
                    own.append(_number(found.get(name)) or MISSING)
    judged = len(next(iter(grades.values())))
    quality = fmean((fmean(own) - 1) * 25 for own in grades.values()) if judged else None
    if not lengths and quality is None:
        return None
    return OfficialScores(answers=len(lengths), s_l=fmean(lengths) if lengths else None, judged=judged, s_q=quality, total=total)


def _number(value: object) -> float | None:
    try:
        return None if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
    except ValueError:
        return None
