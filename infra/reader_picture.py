"""Make docs/reader.png, the picture of `longwriter read` in the README: two answers to one prompt, side by side.

`python -m infra.reader_picture [PATH]` starts the reader on a small example and photographs it with Chromium, which has to be installed.
"""

import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from PIL import Image

from tasks import store
from tasks.longbench.summary import score_item
from tasks.reader.collections import collections_of
from tasks.reader.index import Index
from tasks.reader.server import application, listening
from tasks.schema.errors import BadSettings
from tasks.schema.records import BenchmarkItem, Prediction, Rubric, Step, Verdict
from tasks.stage import one_line_errors

PICTURE = Path("docs/reader.png")
SIZE = 1360, 860
COLOURS = 64  # of the picture: enough for text, and a tenth of the bytes
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

ITEM = BenchmarkItem(
    id="harbour", prompt="Write an essay of about 220 words about the clock of a harbour town.", type="Essay", length=220, language="en"
)
STEPS = (
    Step(point="The clock and the place where it hangs", words=70),
    Step(point="The winter in which it stopped", words=80),
    Step(point="Who repaired it, and what the town learned", words=70),
)
STUDENT = (
    "The clock of Saltmouth hangs above the fish market, where the harbour wall turns north. It has four faces, and no two of them agree. "
    "Sailors trust the western face, because it is the one they see first. The baker trusts the eastern one, because his grandfather did. "
    "Nobody has ever asked the clock itself, which strikes the hours with great confidence.",
    "In the winter of the long frost it stopped at ten minutes to six. For a week nobody noticed; the tide still came, and the boats went "
    "out with it. Then the school opened an hour late, the ferry left without its mail, and two weddings were held at the same time. "
    "People began to look up, and to argue. A town that had never agreed about the time found that it could not live without one.",
    "It was Marta Lind, the net maker's daughter, who climbed the tower with a lamp and a tin of oil. She cleaned the wheels, freed a "
    "sparrow's nest from the weights, and set all four hands alike. The clock has been right ever since. The town still argues, but now it "
    "argues about the weather.",
)
CONTROL = (
    "The clock of the harbour town is old. It stands above the market and everybody likes it. "
    + "It shows the time to the people of the town. " * 6
    + "That is the story of the clock."
)
GRADES = {"student": (5, 5, 4, 5, 4, 5), "control": (4, 4, 2, 3, 1, 2)}
REPLIES = {"student": "The essay follows its plan and keeps its tone to the end.", "control": "Short, and it repeats one sentence."}


def main(picture: Annotated[Path, typer.Argument(help="a PNG file")] = PICTURE) -> None:
    """Make the picture of the reader."""
    with one_line_errors(), tempfile.TemporaryDirectory() as scratch:
        browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
        if browser is None:
            raise BadSettings("chromium is not installed; fix: apt-get install chromium")
        folder = Path(scratch)
        write_example(folder / "evaluation")
        index = Index(collections_of(folder / "evaluation"), folder / "cache")
        index.open()
        index.wait()
        taken = folder / "reader.png"
        _photograph(browser, index, taken, folder / "profile")
        with Image.open(taken) as image:
            image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(folder / "small.png", optimize=True)
        store.check_replaceable(picture)
        shutil.copy(folder / "small.png", picture)
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} KB")


def write_example(folder: Path) -> None:
    """An evaluation of two models with one prompt."""
    texts = {"student": "\n\n".join(STUDENT), "control": CONTROL}
    predictions = [
        Prediction(
            item=ITEM,
            model=model,
            response=text,
            finish_reason="stop",
            tokens=300,
            seconds=4.0,
            plan=STEPS if model == "student" else (),
            reasoning="The plan has three steps; the second one is the longest." if model == "student" else "",
        )
        for model, text in texts.items()
    ]
    names = tuple(Rubric.model_fields)
    verdicts = [
        Verdict(
            id=ITEM.id,
            model=model,
            rubric=Rubric(**dict(zip(names, grades, strict=True))),
            replies=(REPLIES[model],),
            problem=None,
            judge="judge, temperature 0",
        )
        for model, grades in GRADES.items()
    ]
    quality = {model: 25 * (sum(grades) / len(grades) - 1) for model, grades in GRADES.items()}
    store.write(folder / "predictions.jsonl", predictions)
    store.write(folder / "verdicts.jsonl", verdicts)
    store.write(folder / "items.jsonl", (score_item(ITEM, model, text, quality[model]) for model, text in texts.items()))


def _photograph(browser: str, index: Index, picture: Path, profile: Path) -> None:
    at = listening(0)
    config = uvicorn.Config(application(index, token="example", title="evaluations/harbour"), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{at.getsockname()[1]}/example/?at=0&beside=2"
    size = f"--window-size={SIZE[0]},{SIZE[1]}"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}", size]
    try:
        command = [browser, *options, "--virtual-time-budget=3000", f"--screenshot={picture}", url]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    finally:
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    typer.run(main)
