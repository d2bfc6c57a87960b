"""Compare two datasets: rows added, removed and changed by field, and both distributions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks import store
from tasks.release.sides import ComparedFields, Side
from tasks.schema.records import Record

FIELDS = ("request", "answer", "written", "asked", "language", "source")
BINS = 24
SHOWN = 50  # rows of each kind on the page
WIDTH, HEIGHT = 360, 120


class ChangedRow(Record):
    """A row that is in both datasets and differs. `was` and `now`: words of the answer in A and B."""

    id: str
    fields: tuple[str, ...]
    was: int
    now: int
    source: str


class Distribution(Record):
    """A measure in both datasets: quantiles, and histogram counts with common edges."""

    measure: str
    a: tuple[float, float, float]  # quantiles 0.1, 0.5, 0.9
    b: tuple[float, float, float]
    edges: tuple[float, ...]
    a_counts: tuple[int, ...]
    b_counts: tuple[int, ...]


class DatasetDifference(Record):
    a: str
    b: str
    a_rows: int
    b_rows: int
    came: tuple[str, ...]  # ids only in B
    left: tuple[str, ...]  # ids only in A
    changed: tuple[ChangedRow, ...]
    same: int
    shares: dict[str, tuple[float, float]]  # share of rows in A and B for each language and each source, 0 to 1
    distributions: tuple[Distribution, ...]


class _Bar(NamedTuple):
    x: float
    a: float  # height, 0 to 1; shares of the rows of each dataset, scaled to the highest bar
    b: float


def difference(names: tuple[str, str], a: Side, b: Side) -> DatasetDifference:
    """The difference from A to B. `names`: how the user named the two sides."""
    both = [id for id in a if id in b]
    changed = [change for id in both if (change := _change(id, a[id], b[id]))]
    return DatasetDifference(
        a=names[0],
        b=names[1],
        a_rows=len(a),
        b_rows=len(b),
        came=tuple(sorted(b.keys() - a.keys())),
        left=tuple(sorted(a.keys() - b.keys())),
        changed=tuple(changed),
        same=len(both) - len(changed),
        shares=_shares(a, b),
        distributions=tuple(_distributions(a, b)),
    )


def _change(id: str, was: ComparedFields, now: ComparedFields) -> ChangedRow | None:
    fields = tuple(field for field in FIELDS if getattr(was, field) != getattr(now, field))
    return ChangedRow(id=id, fields=fields, was=was.written, now=now.written, source=now.source) if fields else None


def _shares(a: Side, b: Side) -> dict[str, tuple[float, float]]:
    def counted(side: Side) -> Counter[str]:
        names = Counter(f"language {kept.language or 'not told'}" for kept in side.values())
        return names + Counter(f"source {kept.source.partition('/')[0].partition(':')[0]}" for kept in side.values() if kept.source)

    one, other = counted(a), counted(b)
    return {name: (one[name] / max(1, len(a)), other[name] / max(1, len(b))) for name in sorted(one | other)}


def _distributions(a: Side, b: Side) -> list[Distribution]:
    def of(side: Side, field: str) -> list[float]:
        return [float(value) for kept in side.values() if (value := getattr(kept, field)) is not None]

    named = (("written words", "written"), ("asked words", "asked"), ("S_l", "s_l"))
    pairs = [(name, of(a, field), of(b, field)) for name, field in named]
    return [_distribution(name, one, other) for name, one, other in pairs if one or other]


def _distribution(name: str, a: Sequence[float], b: Sequence[float]) -> Distribution:
    import numpy as np

    edges = np.histogram_bin_edges([*a, *b], bins=BINS)
    quantiles = [tuple(map(float, np.quantile(side, (0.1, 0.5, 0.9)))) if side else (0.0, 0.0, 0.0) for side in (a, b)]
    counts = [tuple(map(int, np.histogram(side, bins=edges)[0])) for side in (a, b)]
    return Distribution(
        measure=name,
        a=quantiles[0],  # type: ignore[arg-type]
        b=quantiles[1],  # type: ignore[arg-type]
        edges=tuple(map(float, edges)),
        a_counts=counts[0],
        b_counts=counts[1],
    )


def text_of(found: DatasetDifference) -> str:
    """The difference as text for a terminal."""
    fields = Counter(field for change in found.changed for field in change.fields)
    by_field = ", ".join(f"{field} {count:,}" for field, count in fields.most_common())
    lines = [
        f"A  {found.a}: {found.a_rows:,} rows",
        f"B  {found.b}: {found.b_rows:,} rows",
        "",
        f"  in       {len(found.came):>8,}   {_first(found.came)}",
        f"  out      {len(found.left):>8,}   {_first(found.left)}",
        f"  changed  {len(found.changed):>8,}   {by_field}",
        f"  same     {found.same:>8,}",
        "",
        f"  {'':28}{'A':>22}{'B':>24}",
    ]
    for each in found.distributions:
        lines.append(f"  {each.measure + ', p10 / p50 / p90':28}{_three(each.a):>22}{_three(each.b):>24}")
    lines += [f"  {name:28}{one:>21.1%}{other:>24.1%}" for name, (one, other) in found.shares.items()]
    return "\n".join(line.rstrip() for line in lines)


def _first(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")


def _three(values: tuple[float, float, float]) -> str:
    return " / ".join(f"{value:,.0f}" for value in values)


def write_page(found: DatasetDifference, out: Path) -> Path:
    """Write the difference as index.html and diff.json. The folder `out` is replaced. Returns the path of the page."""
    templates = Environment(
        loader=PackageLoader("tasks.release", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    drawn: Mapping[str, list[_Bar]] = {each.measure: _bars(each) for each in found.distributions}
    page = templates.get_template("diff.html.j2").render(found=found, drawn=drawn, shown=SHOWN, width=WIDTH, height=HEIGHT, three=_three)
    with store.replacing(out) as scratch:
        scratch.mkdir()
        (scratch / "index.html").write_text(page, encoding="utf-8")
        store.write_json(scratch / "diff.json", found)
    return out / "index.html"


def _bars(each: Distribution) -> list[_Bar]:
    totals = max(1, sum(each.a_counts)), max(1, sum(each.b_counts))
    shares = [(one / totals[0], other / totals[1]) for one, other in zip(each.a_counts, each.b_counts, strict=True)]
    top = max((max(pair) for pair in shares), default=0) or 1
    return [_Bar(place * WIDTH / len(shares), one / top, other / top) for place, (one, other) in enumerate(shares)]
