"""Render the dataset card: Markdown with the front matter that the hub and `datasets.load_dataset` read."""

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from tasks.release.facts import ReleaseFacts
from tasks.release.licences import hub_name
from tasks.statistics import Interval

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**9, "1M<n<10M"))


def card(facts: ReleaseFacts) -> str:
    """The text of the card, README.md of a release."""
    outcomes = facts.verdict.expectations
    return template("card.md.j2").render(
        facts=facts,
        recipe=facts.params.assemble.chosen,
        languages=sorted({*facts.long.languages, *facts.general.languages}),
        licence=licence([source.licence for source in facts.sources]),
        size=next(name for most, name in SIZES if facts.long.rows + facts.general.rows < most),
        held=sum(outcome.success for outcome in outcomes),
        warnings=[outcome for outcome in outcomes if not outcome.success],
    )


def template(name: str) -> Template:
    """A template of a card, with the filters of all cards."""
    templates = Environment(
        loader=PackageLoader("tasks.release", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    templates.filters |= {"figure": _figure, "thousands": "{:,}".format, "score": score, "cell": _cell}
    return templates.get_template(name)


def licence(spdx: list[str]) -> str:
    """The licence name on the hub. `other` if the sources have several licences or one without a name on the hub."""
    names = {hub_name(name) for name in spdx}
    return names.pop() if len(names) == 1 else "other"


def score(value: float | None, interval: Interval | None) -> str:
    """A score with its interval, for a table."""
    return "–" if value is None else f"{value:.1f} {interval}" if interval else f"{value:.1f}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def _cell(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
