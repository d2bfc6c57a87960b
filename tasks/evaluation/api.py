"""The evaluator's Python interface, for notebooks and scripts: `from tasks.evaluation import score, compare`.

Both return frozen records. `print(card.model_dump_json(indent=2))` prints one; `pandas.DataFrame(item.model_dump() for item in
scores.items)` makes a table of items. Errors are those of the command: BadInput with file, line and field.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from tasks.evaluation.official import OfficialScores, official_scores
from tasks.evaluation.recorded import models_in, score_recorded
from tasks.longbench.compare import PAPER, Comparison, Side, against_paper, paired, read_side
from tasks.longbench.published import published
from tasks.longbench.samples import Mode
from tasks.longbench.scorecard import Scorecard
from tasks.longbench.scoring import cards
from tasks.schema.errors import BadInput
from tasks.schema.records import Record, ScoredItem

Answers = str | Path | Iterable[Mapping[str, object]]


class Scores(Record):
    """Scored recorded answers. S_q needs a judge: it is None, and every answer counts as unscored."""

    cards: dict[str, Scorecard]  # by model, in order of first occurrence
    items: tuple[ScoredItem, ...]  # one per answer
    left_out: tuple[str, ...]  # FILE:LINE of rows without a readable length
    repeated: tuple[str, ...]  # rows that repeat an answer, with the place of the first one
    official: dict[str, OfficialScores]  # by model: the scores of the paper's own scripts in the same files, never mixed with these

    @property
    def card(self) -> Scorecard:
        """The scorecard of the only model. Raises BadInput if several models answered."""
        self._only()
        return next(iter(self.cards.values()))

    def of(self, model: str) -> "Scores":
        """The scores of one model. Raises BadInput if there is no such model."""
        if model not in self.cards:
            raise BadInput(model, f"no answers of this model; there are {', '.join(self.cards)}", fix="name one of them")
        items = tuple(item for item in self.items if item.model == model)
        return self.model_copy(update={"cards": {model: self.cards[model]}, "items": items})

    def side(self) -> Side:
        """One side of a comparison. Raises BadInput if several models answered."""
        return Side(self._only(), self.items, self.card.judge)

    def _only(self) -> str:
        if len(self.cards) != 1:
            raise BadInput("scores", f"{len(self.cards)} models answered: {', '.join(self.cards)}", fix="name one: scores.of(MODEL)")
        return next(iter(self.cards))


def score(answers: Answers, *, length: int | None = None, format: str | None = None) -> Scores:
    """Score recorded answers by S_l, in both modes, with repetition, endings and intervals.

    `answers` is a JSONL file, a glob, a folder of files, a folder with a folder for each model, or rows in memory: `prompt`, `response`
    and `length` (words; `length=` applies to rows without one), optionally `id`, `sample`, `type`, `plan`, `finish_reason`. `format` is
    the benchmark's: longbench-write, hellobench, writingbench, lifebench. Rows of other tools are read as by `longwriter eval score`.
    Raises BadInput with file, line and field of the first row that does not fit.

    Example:
        >>> from tasks.evaluation import score
        >>> rows = [
        ...     {"prompt": "Write 40 words on bread.", "response": "Bread is flour, water and time. " * 6, "length": 40},
        ...     {"prompt": "Write 40 words on salt.", "response": "Salt keeps what the sea leaves behind. " * 2, "length": 40},
        ... ]
        >>> scores = score(rows)
        >>> [(item.asked, item.written) for item in scores.items]
        [(40, 36), (40, 14)]
        >>> round(scores.card.s_l, 1)
        50.8
        >>> scores.card.s_q is None  # no judge was called
        True
    """
    if isinstance(answers, str | Path):
        return _score(Path(answers), length=length, format=format)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        path.write_bytes(b"".join(orjson.dumps(dict(row)) + b"\n" for row in answers))
        return _score(path, length=length, format=format)


def compare(a: "Scores | str | Path", b: "Scores | str | Path", *, mode: Mode = "paper") -> Comparison:
    """Is A better than B, worse, or are the items too few to tell? Paired by prompt, with 95% intervals and sign-flip tests.

    A side is a result of `score`, a score folder or its items.jsonl (`data/score:student` names a model), or, for B only, a row of the
    paper's table: `paper:LongWriter-9B`. `mode` counts words and reads lengths as the paper does ("paper"), or as they are meant
    ("fixed"). Raises BadInput if the sides have no prompt in common.

    Example:
        >>> from tasks.evaluation import compare, score
        >>> def answers(words):
        ...     texts = {f"Write 100 words on day {day}.": "word " * (words + day) for day in range(20)}
        ...     return [{"prompt": prompt, "response": text, "length": 100} for prompt, text in texts.items()]
        >>> found = compare(score(answers(80)), score(answers(50)))
        >>> found.verdict, found.items
        ('better', 20)
        >>> overall = found.rows[0]
        >>> overall.measure, round(overall.difference), overall.interval.low > 0
        ('s_l', 29, True)
    """
    if isinstance(a, str) and a.startswith(PAPER):
        raise BadInput(a, "a published model has no items to stand for A", fix="give it as B")
    if isinstance(b, str) and b.startswith(PAPER):
        if mode == "fixed":
            raise BadInput(b, "the paper's scores are its own mode's", fix="compare in paper mode")
        return against_paper(_side(a), published(b.removeprefix(PAPER)))
    return paired(_side(a), _side(b), mode=mode)


def _score(path: Path, *, length: int | None, format: str | None) -> Scores:
    left_out, repeated = list[str](), list[str]()
    models = models_in(path) or {path.name: path}
    items = tuple(
        item
        for model, own in models.items()
        for item in score_recorded(own, length=length, format=format, skipped=left_out if format else None, repeated=repeated, model=model)
    )
    if not items:
        raise BadInput(left_out[0], "no row states a length that can be read", fix="give files that state one in each prompt")
    official = {model: scores for model, own in models.items() if (scores := official_scores(own))}
    return Scores(cards=cards(items, {}), items=items, left_out=tuple(left_out), repeated=tuple(repeated), official=official)


def _side(given: Scores | str | Path) -> Side:
    return given.side() if isinstance(given, Scores) else read_side(str(given), texts=False)
