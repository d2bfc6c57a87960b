"""Measure validate_instructions and plan on many instructions: memory, time to the first plan, time to end on SIGTERM; `make bench`.

LONGWRITER_BENCH_ROWS sets their number. A million take about five minutes of CPU, mostly for the contract's measures.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.dataset import measured
from benchmarks.loopback import endpoint, health
from benchmarks.processes import most_memory
from tasks import store
from tasks.schema.records import Instruction

ROWS, SEED = int(os.environ.get("LONGWRITER_BENCH_ROWS", "50_000")), 3
SECONDS = 10  # of planning between the first plan and SIGTERM
WORDS = (
    "people town history water bread cloth salt iron glass books ships letters maps clocks bells kites ropes bees honey paper stone wood "
    "silver coffee rice corn birds rivers lakes islands valleys forests gardens houses schools bridges castles gates harbours mines mills"
)
KINDS = "old new small large white black red green plain rare early late first last warm cold soft hard long short"
# Two requests must not be near-duplicates by chance, which the contract refuses: 800 pairs of words, 2,048 characters.
SIGNS = "".join(map(chr, range(0x4E00, 0x5600)))
ADMIT = (
    "from pathlib import Path\nfrom tasks import validate_instructions\nfrom tasks.schema.params import load\nparams = load()\n"
    "spread = params.validate_instructions.lengths.model_copy(update={{name: bounds.model_copy(update={{'min': 1, 'max': 100_000}})"
    " for name, bounds in params.validate_instructions.lengths}})\n"
    "bounds = params.validate_instructions.model_copy(update={{'lengths': spread}})\n"
    "given = {{'validate_instructions': bounds, 'collect': params.collect}}\n"
    "out = Path({out!r})\nout.mkdir()\n"
    "validate_instructions.run(Path({asked!r}), Path(params.collect.folder), Path(params.benchmark), out, **given)\n"
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "instructions.jsonl"
        store.write(asked, instructions(ROWS))
        print(f"{ROWS:,} instructions, {asked.stat().st_size / 1e6:,.0f} MB")
        wall, cpu, memory = measured(ADMIT.format(asked=str(asked), out=f"{folder}/validate_instructions"))
        print(f"validate_instructions: {wall:.1f} s wall, {cpu:.1f} s CPU, peak {memory:,.0f} MiB", flush=True)
        with endpoint("latency=0.1") as url:
            planning(Path(folder), asked, url)


def planning(folder: Path, asked: Path, url: str) -> None:
    """Run the plan stage for SECONDS after its first plan, then send SIGTERM."""
    environment = os.environ | {"LONGWRITER_HOME": str(folder / "home"), "LONGWRITER_TEACHER_URL": url}
    command = [sys.executable, "-m", "tasks.plan", str(asked), str(folder / "validate_instructions"), str(folder / "plan")]
    start = time.monotonic()
    log = folder / "plan.log"
    with log.open("wb") as said, subprocess.Popen(command, env=environment, stdout=said, stderr=said) as stage:
        while not health(url)["answered"]:
            if stage.poll() is not None:
                sys.exit(f"{log.read_text(encoding='utf-8', errors='replace')}\nthe plan stage ended early, with {stage.returncode}")
            time.sleep(0.05)
        first = time.monotonic() - start
        time.sleep(SECONDS)
        memory, ended = most_memory(stage.pid), time.monotonic()
        stage.send_signal(signal.SIGTERM)
        code = stage.wait()
    stopped = time.monotonic() - ended
    print(f"plan: first answer after {first:.1f} s, peak {memory / 2**20:,.0f} MiB, ended {stopped:.1f} s after SIGTERM with {code}")


def instructions(count: int) -> Iterator[Instruction]:
    luck = random.Random(SEED)
    for number in range(count):
        words = 1000 + number % 3000
        if number % 2:
            text = f"请写一篇约{words}字的文章，主题是{''.join(luck.choices(SIGNS, k=40))}。"
        else:
            things = [f"{luck.choice(KINDS.split())} {luck.choice(WORDS.split())}" for _ in range(14)]
            text = f"Write a text of {words} words about the {' and the '.join(things)}."
        given = {"id": f"{number:016x}", "text": text, "language": ("en", "zh")[number % 2], "words": words, "length_kind": "exact"}
        yield Instruction.model_validate({**given, "source": f"bench:{number}"})


if __name__ == "__main__":
    main()
