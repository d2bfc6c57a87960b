"""The run's scores as tables: for the page, and as small files that are committed to git."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from tasks import store
from tasks.history import HistoryEntry
from tasks.longbench.compare import Side, paired
from tasks.longbench.samples import Mode, length_score
from tasks.longbench.scorecard import BINS, Decay, Group, Scorecard, Steadiness
from tasks.longbench.summary import mean_s_l
from tasks.plots import SCORED, UNSCORED
from tasks.reporting.sources import Run
from tasks.schema.records import ByName, Headline, ScoredItem
from tasks.training.pair_bias import LengthBias, Margins

HEADLINES = {
    "s_bar": "S̄, paper mode",
    "fixed.s_bar": "S̄, fixed mode",
    "s_l": "S_l (length), paper mode",
    "fixed.s_l": "S_l (length), fixed mode",
    "fixed.s_l_without_loops": "S_l without loops, fixed mode",
    "s_q": "S_q (quality)",
    "unscored": "unscored answers",
    "answers": "answers",
    "items": "prompts",
}


PAIRS = (
    ("student", "base"),
    ("aligned", "base"),
    ("student", "control"),
    ("aligned", "student"),
    ("reinforced", "aligned"),
    ("reinforced", "student"),
    ("control", "base"),
)
MEASURES: tuple[tuple[Mode, str, str], ...] = (
    ("paper", "s_l", "S_l, paper mode"),
    ("fixed", "s_l", "S_l, fixed mode"),
    ("without_loops", "s_l", "S_l without loops"),
    ("paper", "s_q", "S_q"),
    ("paper", "s_bar", "S̄, paper mode"),
)


DECAY = {
    "repetition": "repeated 4-grams, % of them",
    "looped": "words in loops, %",
    "with_loop": "answers with a loop, %",
    "unfinished": "answers that are not the whole, %",
    "switched": "answers that change their script, %",
    "distinct": "distinct pairs of words, % of them",
}


ENDINGS = {
    "cut_by_limit": "answers cut by the token limit, %",
    "broken_off": "answers that break off, %",
    "offers_to_continue": "answers that offer to continue, %",
    "declined": "answers that say they are less than was asked, %",
}


CLOSING = 0.1  # share of a reinforcement's steps at either end that are compared
COURSES = {
    "reward": "what is trained: the weighted mean of the rewards",
    "held_out": "not trained: S_l without loops on held-out prompts, 0 to 100",
    "flat": "groups without a gradient, share",
    "cut": "answers cut off, share",
    "words": "words outside loops",
    "entropy": "entropy of a token, nats",
    "kl": "KL divergence from the student, nats",
}


class ReinforcedNumber(NamedTuple):
    """One number of a reinforcement, at its first and its last steps."""

    name: str
    first: float | None
    last: float | None


class Estimate(NamedTuple):
    """A mean with its 95% interval."""

    value: float
    low: float
    high: float


Value = float | int | Estimate | None


class ScoreLine(NamedTuple):
    """One score, with a value per model. The gaps are student minus base and student minus control; None if one is missing or the
    difference has no meaning."""

    name: str
    values: Sequence[Value]
    over_base: float | None
    gap: float | None


class ModelDifference(NamedTuple):
    """One model minus another in one measure, paired by prompt."""

    models: str
    measure: str
    prompts: int
    difference: Value  # with its 95% interval where it has one
    verdict: str


class Margin(NamedTuple):
    """Chosen minus rejected, mean over the pairs of one length bin."""

    name: str
    pairs: int
    longer: Value  # percentage of pairs in which the longer answer was chosen
    words: float
    s_l: float
    s_q: Value
    s_bar: Value


def headlines(cards: Mapping[str, Scorecard]) -> list[ScoreLine]:
    """S̄ and S_l in both modes, S_q, unscored, answers and prompts, with a column per model."""
    columns, models = list(cards.values()), list(cards)
    return [_line(name, [_value(card, key) for card in columns], models, gap="s_" in key) for key, name in HEADLINES.items()]


def reaches(cards: Mapping[str, Scorecard]) -> list[ScoreLine]:
    """The ruler: mean words written per requested length, with a column per model."""
    columns = [{point.asked: point.mean for point in card.by_asked} for card in cards.values()]
    lengths = sorted({asked for column in columns for asked in column})
    return [
        _line(f"{asked:,}".replace(",", "\u202f"), [column.get(asked) for column in columns], list(cards), gap=False) for asked in lengths
    ]


def decay(cards: Mapping[str, Scorecard]) -> list[ScoreLine]:
    """Degeneration of the answers in percent, with a column per model."""
    columns = [card.degeneration for card in cards.values()]
    measures = [_line(name, [_percent_of(column, key) for column in columns], list(cards), gap=False) for key, name in DECAY.items()]
    ended = [column.endings if column else {} for column in columns]
    endings = [
        _line(name, [100 * shares.get(key, 0.0) if shares else None for shares in ended], list(cards), gap=False)
        for key, name in ENDINGS.items()
        if any(shares.get(key) for shares in ended)
    ]
    return measures + endings


def _percent_of(column: Decay | None, key: str) -> Value:
    share: float | None = getattr(column, key, None)
    return None if share is None else 100 * share


def by_asked(cards: Mapping[str, Scorecard]) -> list[ScoreLine]:
    """Mean S_l without loops per asked length, a column per model; none where the texts were not at hand."""
    columns = [{point.asked: point.s_l_without_loops for point in card.by_asked} for card in cards.values()]
    lengths = sorted({asked for column in columns for asked, score in column.items() if score is not None})
    return [_line(f"{asked:,}".replace(",", "\u202f"), [column.get(asked) for column in columns], list(cards)) for asked in lengths]


def steadiness(cards: Mapping[str, Scorecard]) -> list[ScoreLine]:
    """LSD in words, LVC in percent, and MLA, a column per model; nothing where no prompt has several answers."""
    found = [card.steadiness for card in cards.values()]
    if not any(found):
        return []
    names = {
        "lsd": "LSD: standard deviation of the lengths, words",
        "lvc": "LVC: standard deviation of the lengths, % of their mean",
        "mla": "MLA: mean length against the requested one, 0 to 100",
    }
    return [_line(name, [_steady(one, key) for one in found], list(cards), gap=False) for key, name in names.items()]


def _steady(found: Steadiness | None, key: str) -> Value:
    value, interval = getattr(found, key, None), getattr(found, f"{key}_interval", None)
    factor = 100 if key == "lvc" else 1
    if value is None or interval is None:
        return None if value is None else factor * value
    return Estimate(factor * value, factor * interval.low, factor * interval.high)


def by_group(cards: Mapping[str, Scorecard], group: str, score: str) -> list[ScoreLine]:
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


class EndingRow(NamedTuple):
    """How many answers of one model ended in one way."""

    model: str
    counts: Mapping[str, int]  # by the names of `ENDED`
    answers: int


ENDED = {
    "ended": "complete",
    "cut_by_limit": "cut by the token limit",
    "broken_off": "break off",
    "offers_to_continue": "offer to continue",
    "declined": "say that they are shorter than requested",
}


def endings(run: Run) -> list[EndingRow]:
    """Endings of the answers by cause and model; empty without texts. An answer scored by an old version without endings is not counted."""
    rows = []
    for model in run.cards:
        found = Counter(item.degeneration.ending for item in run.items if item.model == model and item.degeneration)
        counts = {name: found[key] for key, name in ENDED.items() if found[key]}  # type: ignore[index]
        if counts:
            rows.append(EndingRow(model, counts, sum(counts.values())))
    return rows


def in_loops(run: Run) -> dict[str, dict[int, tuple[float, float]]]:
    """Mean words outside and inside loops and repeats per requested length, by model; only answers scored with their texts."""
    found: dict[str, dict[int, list[tuple[int, int]]]] = {}
    for item in run.items:
        if item.fixed and item.fixed.without_loops is not None:
            words = item.fixed.without_loops, item.fixed.written - item.fixed.without_loops
            found.setdefault(item.model, {}).setdefault(item.asked, []).append(words)
    return {
        model: {asked: (fmean(solid for solid, _ in own), fmean(loops for _, loops in own)) for asked, own in sorted(found[model].items())}
        for model in run.cards
        if model in found
    }


def kinds(run: Run) -> dict[str, int]:
    """Kinds of text that the selected prompts ask for, most frequent first, from the metrics of the stage collect."""
    drawn = {name.removeprefix("drawn_"): int(count) for name, count in run.metrics.get("collect", {}).items() if name.startswith("drawn_")}
    languages = run.lengths.languages if run.lengths else {}
    return dict(sorted(((name, count) for name, count in drawn.items() if name not in (*languages, "en", "zh")), key=lambda one: -one[1]))


def over_cap(run: Run, cap: float) -> ScoreLine:
    """Mean S_l over the items that ask for more words than the control's limit: a small test of the paper's claim."""
    values = [mean_s_l([item for item in run.items if item.model == model], over=cap) for model in run.cards]
    return _line(f"S_l where more than {cap:g} are asked", values, list(run.cards))


def _line(name: str, values: Sequence[Value], models: Sequence[str], *, gap: bool = True) -> ScoreLine:
    by_model = {model: value.value if isinstance(value, Estimate) else value for model, value in zip(models, values, strict=True)}
    over_base, over_control = (_minus(by_model, "student", other) if gap else None for other in ("base", "control"))
    return ScoreLine(name, values, over_base, over_control)


def _minus(by_model: Mapping[str, float | None], one: str, other: str) -> float | None:
    a, b = by_model.get(one), by_model.get(other)
    return None if a is None or b is None else a - b


def differences(run: Run) -> list[ModelDifference]:
    """Student minus base first, then each other pair that says what a step of the pipeline brought, over the prompts that both answered."""
    known = [pair for pair in PAIRS if all(name in run.cards for name in pair)]
    return [line for one, other in known for line in _differences(run, one, other)]


def _differences(run: Run, one: str, other: str) -> Iterator[ModelDifference]:
    sides = [Side(name, [item for item in run.items if item.model == name], run.cards[name].judge) for name in (one, other)]
    if not {item.id for item in sides[0].answers} & {item.id for item in sides[1].answers}:
        return
    for mode, measure, name in MEASURES:
        if any(length_score(item, mode) is None for side in sides for item in side.answers):
            continue
        row = next((row for row in paired(*sides, mode=mode).rows if (row.group, row.measure) == ("overall", measure)), None)
        if row:
            value = Estimate(row.difference, row.interval.low, row.interval.high) if row.interval else row.difference
            yield ModelDifference(f"{one} − {other}", name, row.items, value, row.verdict)


def margins(bias: LengthBias) -> list[Margin]:
    """Preference pairs of DPO, overall and by length bin: number, how often the longer answer was chosen, and mean differences."""
    groups = {**({"all": bias.overall} if bias.overall else {}), **bias.by_bin}
    return [Margin(name, found.pairs, _percent(found), found.words, found.s_l, found.s_q, found.score) for name, found in groups.items()]


def reinforcement(history: Sequence[HistoryEntry]) -> list[ReinforcedNumber]:
    """Means over the first and the last tenth of a reinforcement's steps; of the held-out measure, its first and last value."""
    number = max(1, round(CLOSING * len(history)))
    names = dict.fromkeys(name for entry in history for name in entry.values)
    shown = [name for name in names if name in COURSES or name.startswith((SCORED, UNSCORED))]
    return [_course(name, history, number) for name in sorted(shown, key=lambda name: (name != "reward", name != "held_out", name))]


def _course(name: str, history: Sequence[HistoryEntry], number: int) -> ReinforcedNumber:
    if name == "held_out":
        looks = [entry.values[name] for entry in history if name in entry.values]
        return ReinforcedNumber(COURSES[name], looks[0], looks[-1])
    missing = 0.0 if name.startswith(UNSCORED) else None
    first, last = (_mean_of(part, name, missing) for part in (history[:number], history[-number:]))
    title = COURSES.get(name) or (
        f"reward {name.removeprefix(SCORED)}, 0 to 1" if name.startswith(SCORED) else f"not scored by {name.removeprefix(UNSCORED)}, share"
    )
    return ReinforcedNumber(title, first, last)


def _mean_of(part: Sequence[HistoryEntry], name: str, missing: float | None) -> float | None:
    values = [value for entry in part if (value := entry.values.get(name, missing)) is not None]
    return fmean(values) if values else None


def _percent(found: Margins) -> Value:
    share, around = found.longer_chosen, found.longer_chosen_interval
    return None if share is None or around is None else Estimate(100 * share, 100 * around.low, 100 * around.high)


def write_tables(metrics: Path, plots: Path, run: Run) -> None:
    """Writes metrics/scores.json, plots/ruler.csv and plots/loss.csv, each atomically. An incomplete run does not replace them."""
    if run.missing:
        return
    store.write_json(metrics / "scores.json", ByName[Headline]({model: _small(card) for model, card in run.cards.items()}))
    ruler = sorted((item.model, item.asked, item.written, _without_loops(item)) for item in run.items)
    store.write_text(plots / "ruler.csv", _csv(("model", "asked", "written", "without_loops"), ruler))
    loss = [(entry.model, entry.step, entry.values["loss"]) for entry in run.history if "loss" in entry.values]
    store.write_text(plots / "loss.csv", _csv(("model", "step", "loss"), loss))


def _without_loops(item: ScoredItem) -> int | str:
    """Words outside loops; empty if they are not known."""
    return "" if item.fixed is None or item.fixed.without_loops is None else item.fixed.without_loops


def _small(card: Scorecard) -> Headline:
    """The overall scores without intervals."""
    return Headline(
        items=card.items,
        answers=card.answers,
        unscored=card.unscored,
        s_l=card.s_l,
        s_l_fixed=card.fixed.s_l if card.fixed else None,
        s_l_without_loops=card.fixed.s_l_without_loops if card.fixed else None,
        s_q=card.s_q,
        s_bar=card.s_bar,
        s_bar_fixed=card.fixed.s_bar if card.fixed else None,
    )


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
