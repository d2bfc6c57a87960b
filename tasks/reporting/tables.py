"""The run's scores as tables: for the page, and as small files that are committed to git."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tasks import store
from tasks.longbench.scorecard import BINS, Group, Scorecard
from tasks.longbench.summary import mean_s_l
from tasks.reporting.sources import Run
from tasks.schema.records import ByName, Headline
from tasks.training.pair_bias import LengthBias, Margins

HEADLINES = {
    "s_bar": "S̄, paper mode",
    "fixed.s_bar": "S̄, fixed mode",
    "s_l": "S_l (length), paper mode",
    "fixed.s_l": "S_l (length), fixed mode",
    "s_q": "S_q (quality)",
    "unscored": "unscored answers",
    "answers": "answers",
    "items": "prompts",
}


DECAY = {
    "repetition": "repeated 4-grams, % of them",
    "looped": "words in loops, %",
    "with_loop": "answers with a loop, %",
    "unfinished": "answers that are not the whole, %",
    "switched": "answers that change their script, %",
}


ENDINGS = {
    "cut_by_limit": "answers cut by the token limit, %",
    "broken_off": "answers that break off, %",
    "offers_to_continue": "answers that offer to continue, %",
    "declined": "answers that say they are less than was asked, %",
}


class Estimate(NamedTuple):
    """A mean with its 95% interval."""

    value: float
    low: float
    high: float


Value = float | int | Estimate | None


class Line(NamedTuple):
    """One score, with a value per model. `gap` is student minus control; None if one is missing or the difference has no meaning."""

    name: str
    values: Sequence[Value]
    gap: float | None


class Margin(NamedTuple):
    """Chosen minus rejected, mean over the pairs of one length bin."""

    name: str
    pairs: int
    longer: Value  # percentage of pairs in which the longer answer was chosen
    words: float
    s_l: float
    s_q: float
    s_bar: float


def headlines(cards: Mapping[str, Scorecard]) -> list[Line]:
    """S̄ and S_l in both modes, S_q, unscored, answers and prompts, with a column per model."""
    columns, models = list(cards.values()), list(cards)
    return [_line(name, [_value(card, key) for card in columns], models, gap="s_" in key) for key, name in HEADLINES.items()]


def reaches(cards: Mapping[str, Scorecard]) -> list[Line]:
    """The ruler: mean words written per requested length, with a column per model."""
    columns = [{point.asked: point.mean for point in card.by_asked} for card in cards.values()]
    lengths = sorted({asked for column in columns for asked in column})
    return [
        _line(f"{asked:,}".replace(",", "\u202f"), [column.get(asked) for column in columns], list(cards), gap=False) for asked in lengths
    ]


def decay(cards: Mapping[str, Scorecard]) -> list[Line]:
    """Degeneration of the answers in percent, with a column per model."""
    columns = [card.degeneration for card in cards.values()]
    measures = [
        _line(name, [None if column is None else 100 * getattr(column, key) for column in columns], list(cards), gap=False)
        for key, name in DECAY.items()
    ]
    ended = [column.endings if column else {} for column in columns]
    endings = [
        _line(name, [100 * shares.get(key, 0.0) if shares else None for shares in ended], list(cards), gap=False)
        for key, name in ENDINGS.items()
        if any(shares.get(key) for shares in ended)
    ]
    return measures + endings


def by_group(cards: Mapping[str, Scorecard], group: str, score: str) -> list[Line]:
    """One score per value of `group` (by_bin, by_language, by_type), with a column per model."""
    names = sorted({name for card in cards.values() for name in getattr(card, group)}, key=_place)
    columns = [getattr(card, group) for card in cards.values()]
    return [_line(name, [_value(column[name], score) if name in column else None for column in columns], list(cards)) for name in names]


def _value(group: Group, key: str) -> Value:
    """A score, with its interval if it has one; None if there is no fixed mode."""
    mode, _, name = key.rpartition(".")
    scores = group.fixed if mode else group
    if scores is None:
        return None
    value, interval = getattr(scores, name), getattr(scores, f"{name}_interval", None)
    return value if value is None or interval is None else Estimate(value, interval.low, interval.high)


def _place(name: str) -> tuple[int, str]:
    """Sort key: length bins by length, then other names alphabetically."""
    bins = [bin_name for _, bin_name in BINS]
    return (bins.index(name) if name in bins else len(bins), name)


def over_cap(run: Run, cap: float) -> Line:
    """Mean S_l over the items that ask for more words than the control's limit: a small test of the paper's claim."""
    values = [mean_s_l([item for item in run.items if item.model == model], over=cap) for model in run.cards]
    return _line(f"S_l where more than {cap:g} are asked", values, list(run.cards))


def _line(name: str, values: Sequence[Value], models: Sequence[str], *, gap: bool = True) -> Line:
    by_model = {model: value.value if isinstance(value, Estimate) else value for model, value in zip(models, values, strict=True)}
    student, control = by_model.get("student"), by_model.get("control")
    return Line(name, values, student - control if gap and student is not None and control is not None else None)


def margins(bias: LengthBias) -> list[Margin]:
    """Preference pairs of DPO, overall and by length bin: number, how often the longer answer was chosen, and mean differences."""
    groups = {**({"all": bias.overall} if bias.overall else {}), **bias.by_bin}
    return [Margin(name, found.pairs, _percent(found), found.words, found.s_l, found.s_q, found.score) for name, found in groups.items()]


def _percent(found: Margins) -> Value:
    share, around = found.longer_chosen, found.longer_chosen_interval
    return None if share is None or around is None else Estimate(100 * share, 100 * around.low, 100 * around.high)


def write_tables(metrics: Path, plots: Path, run: Run) -> None:
    """Writes metrics/scores.json, plots/ruler.csv and plots/loss.csv, each atomically."""
    store.write_json(metrics / "scores.json", ByName[Headline]({model: _small(card) for model, card in run.cards.items()}))
    ruler = sorted((item.model, item.asked, item.written) for item in run.items)
    store.write_text(plots / "ruler.csv", _csv(("model", "asked", "written"), ruler))
    loss = [(entry.model, entry.step, entry.values["loss"]) for entry in run.history if "loss" in entry.values]
    store.write_text(plots / "loss.csv", _csv(("model", "step", "loss"), loss))


def _small(card: Scorecard) -> Headline:
    """The overall scores without intervals."""
    return Headline(
        items=card.items,
        answers=card.answers,
        unscored=card.unscored,
        s_l=card.s_l,
        s_l_fixed=card.fixed.s_l if card.fixed else None,
        s_q=card.s_q,
        s_bar=card.s_bar,
        s_bar_fixed=card.fixed.s_bar if card.fixed else None,
    )


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
