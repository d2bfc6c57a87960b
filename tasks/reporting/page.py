"""Renders template, plots and tables as one HTML file that loads nothing external. All data is escaped."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tasks import plots, store
from tasks.longbench.scorecard import Scorecard
from tasks.reporting import tables
from tasks.reporting.sources import Run
from tasks.schema.standins import TINY, is_stand_in
from tasks.training.pair_bias import LengthBias

STYLES = Path(__file__).parent / "page.css"


def write_page(path: Path, run: Run) -> None:
    """Renders the run and writes the page atomically."""
    templates = Environment(
        loader=PackageLoader("tasks.reporting", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["figure"] = _figure
    cap = control_cap(run)
    text = templates.get_template("page.html.j2").render(
        run=run,
        styles=Markup(STYLES.read_text(encoding="utf-8")),  # our own file, without data
        models=list(run.cards),
        headlines=[*tables.headlines(run.cards), *([tables.over_cap(run, cap)] if cap else [])],
        differences=tables.differences(run),
        without_loops=tables.by_asked(run.cards),
        steadiness=tables.steadiness(run.cards),
        by_language=tables.by_group(run.cards, "by_language", "s_l"),
        reaches=tables.reaches(run.cards),
        decay=tables.decay(run.cards),
        by_type=tables.by_group(run.cards, "by_type", "s_l"),
        margins=tables.margins(run.bias),
        plots=_plots(run, cap),
        rehearsal=is_rehearsal(run),
        tokens=_tokens(run),
    )
    store.write_text(path, text)


def is_rehearsal(run: Run) -> bool:
    """Whether a stand-in answers for a model, or the student is the tiny one: then no score is a language model's. The selector does
    not count: it picks the rehearsal's own prompts, and is in no score."""
    params = run.origin.params
    roles = (model for role, model in params.models if role != "selector")
    return params.base.model == TINY or any(model is not None and is_stand_in(model) for model in roles)


def control_cap(run: Run) -> float | None:
    """Returns the control's length limit in words, as the stage score computes it; None without a control."""
    share = run.origin.params.pack.control_cap
    return share * max(item.asked for item in run.items) if share and "control" in run.cards else None


def _plots(run: Run, cap: float | None) -> dict[str, Markup]:
    points = {model: [(item.asked, item.written) for item in run.items if item.model == model] for model in run.cards}
    drawn = {
        "ruler": plots.ruler(points, cap=cap),
        "lengths": plots.lengths(run.lengths.asked, run.lengths.written),
        "s_l": plots.bins(_by_bin(run, "s_l"), label="S_l"),
        "s_q": plots.bins(_by_bin(run, "s_q"), label="S_q"),
        "decay": plots.decay({model: _courses(card) for model, card in run.cards.items()}),
        "loss": plots.loss(run.history),
        "longer": _longer(run.bias),
        "margins": _margins(run.bias),
        "rewards": plots.rewards(run.alignment),
        "rejects": plots.rejects(run.rejects),
    }
    # SVG by matplotlib, which escapes text.
    return {name: Markup(plots.inline(svg, prefix=name)) for name, svg in drawn.items()}


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


def _figure(value: tables.Value) -> str:
    """A number for a table: grouped thousands, two decimals unless it is whole; a mean with its 95% interval."""
    if value is None:
        return "–"
    if isinstance(value, tables.Estimate):
        return f"{_figure(value.value)} [{value.low:.1f}, {value.high:.1f}]"
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:,.2f}".replace(",", "\u202f")
