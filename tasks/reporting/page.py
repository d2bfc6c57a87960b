"""Renders template, plots and tables as one HTML file that loads nothing external. All data is escaped."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tasks import plots, store
from tasks.longbench.scorecard import Scorecard
from tasks.reporting import tables
from tasks.reporting.answers import counts_of
from tasks.reporting.sources import Run
from tasks.reporting.verdict import MEANINGS, headline, level_of
from tasks.schema.study_results import FittedLine
from tasks.training.pair_bias import LengthBias

STYLES = Path(__file__).parent / "page.css"
REPRODUCE = "longwriter run"
MODEL_ORDER = ("base", "control", "student", "aligned", "reinforced")  # of the plot of asked against written lengths


def write_page(path: Path, run: Run) -> None:
    """Renders the run and writes the page atomically."""
    templates = Environment(
        loader=PackageLoader("tasks.reporting", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["figure"] = _figure
    templates.filters["duration"] = _duration
    cap = control_cap(run)
    level, ended = level_of(run.origin.params), tables.endings(run)
    text = templates.get_template("page.html.j2").render(
        run=run,
        styles=Markup(STYLES.read_text(encoding="utf-8")),  # our own file, without data
        models=list(run.cards),
        verdict=headline(run.decision, run.served),
        level=level,
        level_meaning=MEANINGS[level],
        missing_by_stage=_missing(run),
        headlines=[*tables.headlines(run.cards), *([tables.over_cap(run, cap)] if cap else [])],
        differences=tables.differences(run),
        without_loops=tables.by_asked(run.cards),
        steadiness=tables.steadiness(run.cards),
        by_language=tables.by_group(run.cards, "by_language", "s_l"),
        reaches=tables.reaches(run.cards),
        decay=tables.decay(run.cards),
        by_type=tables.by_group(run.cards, "by_type", "s_l"),
        margins=tables.margins(run.bias) if run.bias else [],
        reinforced=tables.reinforcement(run.reinforcement),
        endings=ended,
        kinds=tables.kinds(run),
        plots=_plots(run, cap, ended),
        tokens=_tokens(run),
        rebuild=rebuild_commands(run),
    )
    store.write_text(path, text)


def rebuild_commands(run: Run) -> list[str]:
    """The commands that make this run again. Stages that have not changed are restored from DVC's cache."""
    commit = run.origin.commit
    return [*([f"git checkout {commit.sha}"] if commit else []), REPRODUCE]


def control_cap(run: Run) -> float | None:
    """Returns the control's length limit in words, as the stage score computes it; None without a control."""
    share = run.origin.params.pack.control_cap
    return share * max(item.asked for item in run.items) if share and "control" in run.cards and run.items else None


def _missing(run: Run) -> dict[str, list[str]]:
    """Names of the missing files, by the stage that writes them."""
    found: dict[str, list[str]] = {}
    for path in run.missing:
        stage = path.parent.parent.name if path.parent.name == "dataset" else path.parent.name
        found.setdefault(stage, []).append(path.name)
    return found


def _plots(run: Run, cap: float | None, ended: list[tables.EndingRow]) -> dict[str, Markup]:
    drawn = {"ruler": plots.ruler(_points(run), cap=cap)} if run.items else {}
    if loops := tables.in_loops(run):
        drawn["loops"] = plots.with_loops(loops)
    if run.lengths:
        drawn["lengths"] = plots.lengths(run.lengths.asked, run.lengths.written)
    if run.cards:
        drawn["s_l"] = plots.bins(_by_bin(run, "s_l"), label="S_l")
        drawn["s_q"] = plots.bins(_by_bin(run, "s_q"), label="S_q")
        drawn["decay"] = plots.decay({model: _courses(card) for model, card in run.cards.items()})
    if ended:
        drawn["endings"] = plots.stacked_shares({row.model: {name: n / row.answers for name, n in row.counts.items()} for row in ended})
    if run.history:
        drawn["loss"] = plots.loss(run.history)
    if run.bias:
        drawn["longer"], drawn["margins"] = _longer(run.bias), _margins(run.bias)
    if run.alignment:
        drawn["rewards"] = plots.rewards(run.alignment)
    if run.reinforcement:
        drawn["reinforcement"] = plots.reinforcement(run.reinforcement)
        drawn["reinforced_shares"] = plots.reinforcement_shares(run.reinforcement)
    if any(run.rejects.values()):
        drawn["rejects"] = plots.rejects(counts_of(run.rejects))
    if run.study:
        drawn["study"] = plots.limit(run.study, label=lambda name, line: f"{name}{_slope(line)}")
    # SVG by matplotlib, which escapes text.
    return {name: Markup(plots.inline(svg, prefix=name)) for name, svg in drawn.items()}


def _points(run: Run) -> dict[str, list[plots.Point]]:
    """The shown answers as points that open their texts, models in the order of the pipeline."""
    models = sorted(
        {one.item.model for one in run.answers},
        key=lambda name: (name not in MODEL_ORDER, MODEL_ORDER.index(name) if name in MODEL_ORDER else 0, name),
    )
    return {
        model: [plots.Point(one.item.asked, one.item.written, one.title, one.anchor) for one in run.answers if one.item.model == model]
        for model in models
    }


def _slope(line: FittedLine | None) -> str:
    return "" if line is None else f": {line.intercept:.0f} + {line.slope:.2f} · cap"


def _longer(bias: LengthBias) -> str:
    intervals = {name: (found.low, found.high) if (found := group.longer_chosen_interval) else None for name, group in bias.by_bin.items()}
    values = {name: group.longer_chosen for name, group in bias.by_bin.items()}
    return plots.shares(values, intervals, label="longer answer chosen, %")


def _margins(bias: LengthBias) -> str:
    parts = {"S_l": "s_l", "S_q": "s_q"}
    return plots.margins({name: {at: getattr(group, key) for at, group in bias.by_bin.items()} for name, key in parts.items()})


def _by_bin(run: Run, score: str) -> dict[str, dict[str, float | None]]:
    groups = {model: card.by_bin for model, card in run.cards.items()}
    names = [line.name for line in tables.by_group(run.cards, "by_bin", score)]
    return {model: {name: getattr(found.get(name), score, None) for name in names} for model, found in groups.items()}


def _courses(card: Scorecard) -> dict[str, tuple[float, ...]]:
    found = card.degeneration
    return {"repeated 4-grams": found.repetition_by_part, "loops": found.looped_by_part} if found and found.repetition_by_part else {}


def _tokens(run: Run) -> dict[str, dict[str, float]]:
    """Token counts by stage, for stages that have them."""
    counted = {stage: {name: value for name, value in found.items() if "token" in name} for stage, found in run.metrics.items()}
    return {stage: found for stage, found in counted.items() if found}


def _duration(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _figure(value: tables.Value) -> str:
    """A number for a table: grouped thousands, two decimals unless it is whole; a mean with its 95% interval."""
    if value is None:
        return "–"
    if isinstance(value, tables.Estimate):
        return f"{_figure(value.value)} [{value.low:.1f}, {value.high:.1f}]"
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:,.2f}".replace(",", "\u202f")
