"""Make the pictures of README and the site: `python -m infra.pictures`.

docs/pictures/results.svg: asked against written, and S_l, from the figures that git tracks; smollm2.svg: the same of the last recorded run
of that profile (docs/smollm2/). docs/pictures/terminal.svg: what a command
really shows in a terminal. docs/reader.png: the page of `longwriter read` (reader_picture.py).
"""

import csv
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.text import Text

from infra import reader_picture
from tasks import store
from tasks.plots import length_band
from tasks.reporting.verdict import level_of
from tasks.schema.errors import BadInput, ServerError
from tasks.schema.params import load
from tasks.stage import one_line_errors

if TYPE_CHECKING:
    from pyte.screens import Char

OUT, SMALL, PARAMS = Path("docs/pictures"), Path("docs/smollm2"), Path("params.yaml")
COLUMNS, ROWS = 96, 40
ESSAY = 'longwriter write "A 300-word guide to sourdough" --profile rehearsal'
ORDER = {"base": "#8a8a8a", "control": "#d95f02", "student": "#1b6ca8", "aligned": "#0b8457", "reinforced": "#7a5195"}
NAMES = {"brown": "yellow", "brightbrown": "bright_yellow"}  # pyte's names of colours that rich calls otherwise

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, invoke_without_command=True)


@app.callback()
def pictures(context: typer.Context) -> None:
    """Make every picture."""
    if context.invoked_subcommand:
        return
    with one_line_errors():
        results()
        results(SMALL / "ruler.csv", SMALL / "scores.json", OUT / "smollm2.svg", profile=Path("profiles/smollm2-recorded.yaml"))
        terminal(ESSAY)
    reader_picture.main()


@app.command("results")
def results_(
    run: Annotated[Path | None, typer.Option(help="a folder with the ruler.csv and scores.json of another run")] = None,
    profile: Annotated[Path, typer.Option(help="of that run")] = PARAMS,
    out: Annotated[Path, typer.Option(help="the picture")] = OUT / "results.svg",
) -> None:
    """Draw results.svg, or the same of another run."""
    with one_line_errors():
        if run:
            results(run / "ruler.csv", run / "scores.json", out, profile=profile)
        else:
            results(out=out)


@app.command("terminal")
def terminal_(
    command: Annotated[str, typer.Argument(help="a command line that begins with longwriter")] = ESSAY,
    last: Annotated[int, typer.Option(min=1, help="lines that are shown, from the last one")] = ROWS,
    raw: Annotated[Path | None, typer.Option(help="bytes of a terminal that were recorded already; nothing is run")] = None,
    columns: Annotated[int, typer.Option(min=20, help="of the terminal that was recorded")] = COLUMNS,
) -> None:
    """Record terminal.svg."""
    with one_line_errors():
        terminal(command, last=last, raw=raw, columns=columns)


def results(
    ruler: Path = Path("plots/ruler.csv"),
    scores: Path = Path("metrics/scores.json"),
    out: Path = OUT / "results.svg",
    *,
    profile: Path = PARAMS,
) -> None:
    """Draw asked against written (median, log axes) and the mean S_l of each model, without loops if that is known of all answers."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with ruler.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cards = orjson.loads(scores.read_bytes())
    known = all(row.get("without_loops") for row in rows) and all(card.get("s_l_without_loops") is not None for card in cards.values())
    column, score, kind = ("without_loops", "s_l_without_loops", " without loops") if known else ("written", "s_l", "")
    written: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        written[row["model"]][int(row["asked"])].append(int(row[column]))
    means = {model: card[score] for model, card in cards.items()}
    models = [model for model in ORDER if model in written] + sorted(written.keys() - ORDER.keys())
    with plt.rc_context({"svg.hashsalt": "longwriter", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=(2, 1), layout="constrained")
        lengths = sorted({asked for model in models for asked in written[model]})
        for least, opacity in ((50, 0.05), (80, 0.08)):
            low, high = length_band(least)
            bottom, top = [n * low for n in lengths], [n * high for n in lengths]
            left.fill_between(lengths, bottom, top, color="#000000", alpha=opacity, label=f"S_l over {least}")
        for model in models:
            points = sorted((asked, median(all_of)) for asked, all_of in written[model].items())
            line = "--" if model == "aligned" else "-"  # its points may lie on the student's
            left.plot(*zip(*points, strict=True), line, marker="o", color=ORDER.get(model, "#7a5195"), label=model)
        left.set(xscale="log", yscale="log", xlabel="words asked for", ylabel=f"words{kind} (median)", title="Asked against written")
        left.set_xticks(lengths, [f"{n:,}" for n in lengths])
        left.minorticks_off()
        left.legend(frameon=False, fontsize=8)
        bars = right.barh(
            models[::-1], [means.get(model) or 0 for model in models[::-1]], color=[ORDER.get(model, "#7a5195") for model in models[::-1]]
        )
        right.bar_label(bars, fmt="%.0f", padding=3)
        right.set(xlim=(0, 110), title=f"S_l{kind}, benchmark")
        left.yaxis.set_major_formatter("{x:,.0f}")
        figure.suptitle(f"The recorded run, {level_of(load(profile))}", fontsize=9, color="#555555")
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        out.parent.mkdir(parents=True, exist_ok=True)
        with store.replacing(out) as scratch:
            figure.savefig(scratch, format="svg", metadata={"Date": None})
        plt.close(figure)
    print(out)


def terminal(command: str, *, last: int = ROWS, raw: Path | None = None, columns: int = COLUMNS, out: Path = OUT) -> None:
    """Record what a command shows in a terminal, and draw its last lines. Raises ServerError if the command fails."""
    shown = raw.read_bytes() if raw else recorded(command)
    store.write_text(out / "terminal.svg", drawn(shown, title=command, last=last, columns=columns))
    print(out / "terminal.svg")


def recorded(command: str) -> bytes:
    """Everything that a command writes to a terminal, in an empty folder of its own. Raises ServerError if it fails."""
    if not command.startswith("longwriter "):
        raise BadInput("command", f"{command!r} does not begin with longwriter", fix=f"for example {ESSAY}")
    root = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        tool = Path(folder) / "bin/longwriter"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m flows.cli "$@"\n', encoding="utf-8")
        tool.chmod(0o755)
        place = Path(folder) / "here"
        place.mkdir()
        size = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
        return _watched(command, folder=place, environment=os.environ | size | {"PATH": path, "LONGWRITER_HOME": f"{folder}/home"})


def _watched(command: str, *, folder: Path, environment: Mapping[str, str]) -> bytes:
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(["sh", "-c", command], cwd=folder, env=environment, stdin=its, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    with suppress(OSError):  # the other side is closed
        while chunk := os.read(mine, 65536):
            shown += chunk
    os.close(mine)
    if code := process.wait():
        raise ServerError(f"{command}: ended with code {code}; {shown[-300:].decode('utf-8', 'replace')}")
    return shown


def drawn(shown: bytes, *, title: str, last: int, columns: int = COLUMNS) -> str:
    """The screen that these bytes leave behind, as SVG. Nothing in it is fetched from elsewhere."""
    import pyte

    lines = shown.count(b"\n") + ROWS
    screen = pyte.Screen(columns, lines)
    pyte.ByteStream(screen).feed(shown)
    rows = [_line(screen.buffer[number], columns) for number in range(lines)]
    while rows and not rows[-1].plain.strip():
        rows.pop()
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=columns, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text("\n").join(rows[-last:]))
        form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        return console.export_svg(title=title, code_format=form, unique_id="longwriter")


def _line(cells: Mapping[int, "Char"], columns: int) -> Text:
    """A row of the screen with its colours."""
    line = Text()
    for look, run in groupby((cells[place] for place in range(columns)), key=lambda cell: cell._replace(data="")):
        style = Style(color=_colour(look.fg), bgcolor=_colour(look.bg), bold=look.bold, italic=look.italics)
        line.append("".join(cell.data for cell in run), style)
    line.rstrip()
    return line


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    return NAMES.get(name, re.sub(r"^bright(?=\w)", "bright_", name))


def main(argv: Sequence[str] | None = None) -> None:
    app(argv, prog_name="python -m infra.pictures")


if __name__ == "__main__":
    main()
