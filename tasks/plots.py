"""The report's plots as SVG text for inline use in light or dark pages: transparent, grey text, deterministic bytes.

Labels are in English, because a font with Chinese characters may be missing where the page is made or read.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from tasks.history import HistoryEntry
from tasks.schema.study_results import CEILING, FittedLine, Limit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

GREY = "#7f7f7f"
# At least 3:1 against white and against the dark page (WCAG 2.2, 1.4.11).
COLOURS = {"student": "#2f7ed8", "control": "#c8701a", "aligned": "#2f8f63", "reinforced": "#8a6d1f", "base": "#b0559f"}
OTHERS = ("#8a7a3a", "#3d8f8f", "#c2566b")
_TONES = (*COLOURS.values(), *OTHERS)
SCORED, UNSCORED = "reward_", "unscored_"  # beginnings of a reinforcement's numbers by reward
_HOVER = "longwriter-point-"  # marks matplotlib's links until `_linked` replaces them
_LINK = "page:"  # marks links to the page until `inline` replaces them
BANDS = ((0, 0.05), (50, 0.07), (80, 0.1))  # lower bound of S_l, and the opacity that its band adds


def colour(name: str, place: int = 0) -> str:
    return COLOURS.get(name, OTHERS[place % len(OTHERS)])


def lengths(asked: Sequence[int], written: Sequence[int]) -> str:
    """Histograms of written and requested lengths of the dataset's answers, in words (Chinese: characters), over the same bins."""
    figure, axes = _canvas(6.2, 3.2)
    top = max([*asked, *written, 1])
    bins = [top * place / 30 for place in range(31)]
    axes.hist(written, bins=bins, color=COLOURS["student"], alpha=0.55, label="written")
    axes.hist(asked, bins=bins, histtype="step", color=COLOURS["control"], linewidth=1.6, label="asked")
    return _finish(figure, axes, x="words (English) or characters (Chinese)", y="samples")


class Point(NamedTuple):
    """One answer: lengths in words, and what the page shows of it."""

    asked: int
    written: int
    title: str = ""  # shown when the mouse is over the point
    link: str = ""  # opened by a click: the id of an element of the page


def ruler(points: Mapping[str, Iterable[Point]], *, cap: float | None = None) -> str:
    """Written against requested length in words, on logarithmic axes: each model's answers and means, the diagonal, the bands of S_l from
    0, 50 and 80 points, and the cap of the control's training data. An empty answer is drawn at the lower edge."""
    figure, axes = _canvas(7.2, 4.6)
    shown = {name: sorted(answers) for name, answers in points.items()}
    asked = [point.asked for answers in shown.values() for point in answers] or [1]
    written = [point.written for answers in shown.values() for point in answers if point.written] or [1]
    left, right = min(asked) / 1.35, max(asked) * 1.35
    bottom, top = max(1, min(*written, left)) / 1.6, max(*written, right) * 1.6
    _length_bands(axes, (left, right))
    axes.plot([left, right], [left, right], color=GREY, linewidth=1, linestyle="--", label="as asked")
    if cap:
        axes.axhline(cap, color=colour("control"), linewidth=1, linestyle=":", label=f"the control's cap ({cap:g})")
    for place, (name, answers) in enumerate(shown.items()):
        dots = axes.scatter(
            [point.asked for point in answers],
            [max(point.written, bottom * 1.05) for point in answers],
            s=26,
            alpha=0.7,
            color=colour(name, place),
            label=name,
            linewidths=0,
            zorder=3,  # above the lines: a click has to reach the point
        )
        dots.set_urls([f"{_HOVER}{place}-{number}" for number in range(len(answers))])
        means = {asked: mean for asked, mean in _means([point[:2] for point in answers]).items() if mean}
        axes.plot(list(means), list(means.values()), color=colour(name, place), linewidth=1.8)
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, top))
    for axis in (axes.xaxis, axes.yaxis):
        _plain_numbers(axis)
    svg = _finish(figure, axes, x="asked words", y="written words", columns=6)
    return _linked(svg, list(shown.values()))


def _length_bands(axes: "Axes", ends: tuple[float, float]) -> None:
    """Shade the written lengths that score at least 0, 50 and 80."""
    for score, opacity in BANDS:
        low, high = length_band(score)
        axes.fill_between(ends, [end * low for end in ends], [end * high for end in ends], color=GREY, alpha=opacity, linewidth=0)
        label = f"S_l {score}" if score else "S_l > 0"
        axes.annotate(
            label,
            (ends[1], ends[1] * low),
            xytext=(-3, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=7.5,
            color=GREY,
        )


def length_band(score: float) -> tuple[float, float]:
    """The shortest and longest text, as multiples of the requested length, with S_l of at least `score`: 1 ÷ (3 − 2s) and 4 − 3s, with s
    the share of 100 (paper, section 4.1)."""
    return 1 / (3 - 2 * score / 100), 4 - 3 * score / 100


def _plain_numbers(axis: "Axis") -> None:
    """Ticks at 1, 2 and 5 times powers of ten, as whole numbers with grouped thousands."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _linked(svg: str, answers: Sequence[Sequence[Point]]) -> str:
    """The plot with each point's title and link. A point without either is no link. Points are no stops of the tab key: a page with
    links lists them in a table too."""

    def opened(found: re.Match[str]) -> str:
        point = answers[int(found[1])][int(found[2])]
        title = f"<title>{escape(point.title)}</title>" if point.title else ""
        if not point.link:
            return f"<g>{title}{found[3]}</g>" if title else found[3]
        return f'<a xlink:href={quoteattr(_LINK + point.link)} tabindex="-1">{title}{found[3]}</a>'

    return re.sub(rf'<a xlink:href="{_HOVER}(\d+)-(\d+)"[^>]*>[^<]*<g\b[^>]*>[^<]*(<use\b[^>]*>)[^<]*</g>[^<]*</a>', opened, svg)


def with_loops(bars: Mapping[str, Mapping[int, tuple[float, float]]]) -> str:
    """Mean words written per requested length and model: words outside loops and repeats, and on top, hatched, the words inside them."""
    figure, axes = _canvas(7.2, 3.4)
    asked = sorted({length for own in bars.values() for length in own})
    width = 0.8 / max(len(bars), 1)
    looping = False
    for place, (model, own) in enumerate(bars.items()):
        at = [asked.index(length) + (place - (len(bars) - 1) / 2) * width for length in own]
        solid, loops = [words for words, _ in own.values()], [words for _, words in own.values()]
        tone = colour(model, place)
        axes.bar(at, solid, width * 0.92, color=tone, label=model)
        axes.bar(at, loops, width * 0.92, bottom=solid, color="none", edgecolor=tone, hatch="/////", linewidth=0.8)
        looping = looping or any(loops)
    for place, length in enumerate(asked):
        axes.plot([place - 0.45, place + 0.45], [length, length], color=GREY, linewidth=1, linestyle="--", label="" if place else "asked")
    if looping:
        axes.bar([0], [0], color="none", edgecolor=GREY, hatch="/////", label="in loops and repeats")
    axes.set_xticks(range(len(asked)), [f"{length:,}" for length in asked])
    return _finish(figure, axes, x="asked words", y="written words, mean", columns=6)


def stacked_shares(shares: Mapping[str, Mapping[str, float]]) -> str:
    """Shares (0 to 1) as horizontal bars in percent, one bar per row of `shares`, one colour per name."""
    figure, axes = _canvas(7.2, 0.9 + 0.42 * max(len(shares), 2))
    rows, names = list(shares)[::-1], list(dict.fromkeys(name for own in shares.values() for name in own))
    palette, left = (COLOURS["aligned"], COLOURS["student"], COLOURS["control"], COLOURS["base"], *OTHERS), [0.0] * len(rows)
    for place, name in enumerate(names):
        widths = [100 * shares[row].get(name, 0.0) for row in rows]
        axes.barh(range(len(rows)), widths, 0.62, left=left, color=palette[place % len(palette)], label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlim(0, 100)
    return _finish(figure, axes, x="% of the answers", y="", columns=5)


def bins(scores: Mapping[str, Mapping[str, float | None]], *, label: str) -> str:
    """Scores (0 to 100) as bars, one group per length bin, one colour per model; a bin without a score has no bar."""
    figure, axes = _bars(scores)
    axes.set_ylim(0, 105)
    return _finish(figure, axes, x="asked words", y=label)


def margins(points: Mapping[str, Mapping[str, float | None]]) -> str:
    """Chosen minus rejected, in points of each score, as bars by length bin."""
    figure, axes = _bars(points)
    axes.axhline(0, color=GREY, linewidth=0.8)
    return _finish(figure, axes, x="asked words", y="chosen minus rejected, points")


def _bars(scores: Mapping[str, Mapping[str, float | None]]) -> "tuple[Figure, Axes]":
    """Bars, one group per bin, one colour per name."""
    figure, axes = _canvas(5.2, 3.0)
    names = list(dict.fromkeys(name for by_bin in scores.values() for name in by_bin))
    width = 0.8 / max(len(scores), 1)
    for place, (model, by_bin) in enumerate(scores.items()):
        at = [(names.index(name) + (place - (len(scores) - 1) / 2) * width, value) for name, value in by_bin.items() if value is not None]
        bars = axes.bar([x for x, _ in at], [y for _, y in at], width * 0.92, color=colour(model, place), label=model)
        axes.bar_label(bars, fmt="%.0f", color=GREY, fontsize=8)
    axes.set_xticks(range(len(names)), names)
    return figure, axes


def decay(courses: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Shares (0 to 1) by tenth of the text, one line per model and measure; the first measure is solid, further ones dashed and dotted."""
    figure, axes = _canvas(6.2, 3.2)
    for place, (model, measures) in enumerate(courses.items()):
        for style, (name, course) in zip(("-", "--", ":"), measures.items(), strict=False):
            tenths = range(1, len(course) + 1)
            shares, label = [100 * share for share in course], f"{model}, {name}"
            axes.plot(tenths, shares, color=colour(model, place), linestyle=style, linewidth=1.5, label=label)
    axes.set_ylim(bottom=0)
    return _finish(figure, axes, x="tenth of the text", y="%", columns=2)


def nll(course: Mapping[int, float]) -> str:
    """Cumulative NLL by position in the text, on a logarithmic axis."""
    figure, axes = _canvas(6.2, 3.2)
    axes.plot(list(course), list(course.values()), color=COLOURS["student"], linewidth=1.6, marker="o", markersize=3)
    axes.set_xscale("log", base=2)
    return _finish(figure, axes, x="tokens of the answer", y="cumulative NLL (nats per token)")


Measured = tuple[int, float, tuple[float | None, float | None]]  # cap, words, their interval (None: unknown)


def limit(found: Limit, *, label: Callable[[str, FittedLine | None], str]) -> str:
    """Written words against the cap on training outputs, by the study: points with intervals, their lines, and the diagonal.

    `label` makes the text of a legend entry from its name and its fitted line.
    """
    points: dict[str, list[Measured]] = {
        "longest answer": [(one.cap, one.longest, _around(one.longest, one.longest_error)) for one in found.arms],
        f"{CEILING:.0%} of the answers within": [(one.cap, one.ceiling, (one.ceiling_low, one.ceiling_high)) for one in found.arms],
        "mean answer": [(one.cap, one.mean, _around(one.mean, one.mean_error)) for one in found.arms],
    }
    fitted = dict(zip(points, (found.longest, found.ceiling, found.mean), strict=True))
    figure, axes = _canvas(6.2, 4.2)
    ends = [0, max(one.cap for one in found.arms) * 1.05]
    axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--", label="as long as the cap")
    for place, (name, measured) in enumerate(points.items()):
        tone = list(COLOURS.values())[place]
        reaching = [(cap, words, (words if low is None else low, words if high is None else high)) for cap, words, (low, high) in measured]
        axes.errorbar(
            [c for c, _, _ in reaching],
            [w for _, w, _ in reaching],
            yerr=list(zip(*((w - low, high - w) for _, w, (low, high) in reaching), strict=True)),
            fmt="o",
            color=tone,
            capsize=3,
            label=label(name, fitted[name]),
        )
        if line := fitted[name]:
            axes.plot(ends, [line.intercept + line.slope * end for end in ends], color=tone, linewidth=1.4)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, ends[1])
    return _finish(figure, axes, x="cap on the training outputs (words)", y="written words", columns=1)


def _around(value: float, error: float) -> tuple[float, float]:
    return value - error, value + error


def loss(history: Sequence[HistoryEntry]) -> str:
    """Training loss per step and model."""
    figure, axes = _canvas(6.2, 3.2)
    for place, model in enumerate(dict.fromkeys(entry.model for entry in history)):
        course = [(entry.step, entry.values["loss"]) for entry in history if entry.model == model and "loss" in entry.values]
        axes.plot([s for s, _ in course], [v for _, v in course], color=colour(model, place), linewidth=1.4, label=model)
    return _finish(figure, axes, x="optimizer step", y="loss per target token (nats)")


def shares(values: Mapping[str, float | None], intervals: Mapping[str, tuple[float, float] | None], *, label: str) -> str:
    """A share per length bin (0 to 1, drawn in percent) with its interval, and a line at 50%; a bin without a share has no mark."""
    figure, axes = _canvas(5.2, 3.0)
    for place, (name, value) in enumerate(values.items()):
        if value is not None:
            low, high = intervals.get(name) or (value, value)
            reach = [[100 * (value - low)], [100 * (high - value)]]
            axes.errorbar([place], [100 * value], yerr=reach, fmt="o", color=COLOURS["aligned"], capsize=4, linewidth=1.4)
    axes.axhline(50, color=GREY, linewidth=1, linestyle="--", label="no bias")
    axes.set_xticks(range(len(values)), list(values))
    axes.set_xlim(-0.5, max(len(values), 1) - 0.5)
    axes.set_ylim(0, 105)
    return _finish(figure, axes, x="asked words", y=label)


def rewards(history: Sequence[HistoryEntry]) -> str:
    """DPO's rewards of chosen and rejected answers per step, in nats, and the margin between them."""
    figure, axes = _canvas(6.2, 3.2)
    for name, title, tone in (
        ("reward_chosen", "chosen", COLOURS["aligned"]),
        ("reward_rejected", "rejected", COLOURS["control"]),
        ("margin", "margin", COLOURS["student"]),
    ):
        course = [(entry.step, entry.values[name]) for entry in history if name in entry.values]
        axes.plot([step for step, _ in course], [value for _, value in course], color=tone, linewidth=1.4, label=title)
    axes.axhline(0, color=GREY, linewidth=0.8)
    return _finish(figure, axes, x="optimizer step", y="reward (nats)")


def reinforcement(history: Sequence[HistoryEntry]) -> str:
    """GRPO's mean scores by reward and step, 0 to 1, and S_l without loops of the held-out prompts, divided by 100."""
    figure, axes = _canvas(6.2, 3.2)
    names = [name for entry in history for name in entry.values if name.startswith(SCORED)]
    for place, name in enumerate(dict.fromkeys(names)):
        course = _course(history, name)
        axes.plot(list(course), list(course.values()), linewidth=1.2, color=_TONES[place % len(_TONES)], label=name.removeprefix(SCORED))
    if held_out := _course(history, "held_out"):
        shown = [value / 100 for value in held_out.values()]
        axes.plot(list(held_out), shown, "o--", color=GREY, linewidth=1.6, markersize=5, label="held-out S_l ÷ 100, not trained")
    return _finish(figure, axes, x="optimizer step", y="mean score")


def reinforcement_shares(history: Sequence[HistoryEntry]) -> str:
    """Shares by step, in percent: groups without a gradient, answers that were cut off, and answers that a reward did not score."""
    figure, axes = _canvas(6.2, 3.2)
    unscored = dict.fromkeys(name for entry in history for name in entry.values if name.startswith(UNSCORED))
    titles = {"flat": "groups without a gradient", "cut": "answers cut off"}
    titles |= {name: f"not scored by {name.removeprefix(UNSCORED)}" for name in unscored}
    for place, (name, title) in enumerate(titles.items()):
        course = _course(history, name, missing=0.0)
        axes.plot(list(course), [100 * value for value in course.values()], linewidth=1.2, color=_TONES[place % len(_TONES)], label=title)
    axes.set_ylim(-3, 103)
    return _finish(figure, axes, x="optimizer step", y="share, %")


def _course(history: Sequence[HistoryEntry], name: str, *, missing: float | None = None) -> dict[int, float]:
    """A number's values by step; steps without it have `missing`, or are left out."""
    found = {entry.step: entry.values.get(name, missing) for entry in history}
    return {step: value for step, value in found.items() if value is not None}


def rejects(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Rejected records by reason as horizontal bars, stacked by stage, the most frequent reason on top."""
    totals: dict[str, int] = {}
    for by_reason in counts.values():
        for reason, count in by_reason.items():
            totals[reason] = totals.get(reason, 0) + count
    names = sorted(totals, key=lambda reason: totals[reason])
    figure, axes = _canvas(5.2, 0.9 + 0.27 * max(len(names), 3))
    left = dict.fromkeys(names, 0)
    for place, (stage, by_reason) in enumerate(counts.items()):
        if by_reason:
            palette = (*COLOURS.values(), *OTHERS)
            rows = [names.index(reason) for reason in by_reason]
            axes.barh(rows, list(by_reason.values()), 0.7, left=[left[r] for r in by_reason], color=palette[place % 5], label=stage)
            left.update({reason: left[reason] + count for reason, count in by_reason.items()})
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    return _finish(figure, axes, x="records", y="")


def _means(pairs: Sequence[Sequence[int]]) -> dict[int, float]:
    by_asked: dict[int, list[int]] = {}
    for asked, written in pairs:
        by_asked.setdefault(asked, []).append(written)
    return {asked: sum(found) / len(found) for asked, found in sorted(by_asked.items())}


def _canvas(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.grid(color=GREY, alpha=0.22, linewidth=0.7)
    axes.tick_params(colors=GREY, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)
    return figure, axes


def _finish(figure: "Figure", axes: "Axes", *, x: str, y: str, columns: int = 4) -> str:
    import matplotlib as mpl

    axes.set_xlabel(x, color=GREY)
    axes.set_ylabel(y, color=GREY)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, labelcolor=GREY, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "longwriter", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def inline(svg: str, *, prefix: str) -> str:
    """An SVG for a page with several SVGs: without prologue, with ids that begin with `prefix`, without a fixed size, with texts in the
    page's own font and colour (the CSS variable `--soft`), and with the links of its points."""
    body = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    head, rest = body.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    placed = re.sub(r'(id="|href="#|url\(#)', rf"\1{prefix}-", f"{head}>{rest}")
    placed = re.sub(r"font-family: [^;\"]*", "font-family: inherit", placed)
    return re.sub(r"(<text\b[^>]*?fill: )#7f7f7f", r"\1var(--soft, #7f7f7f)", placed).replace(f'href="{_LINK}', 'href="#')
