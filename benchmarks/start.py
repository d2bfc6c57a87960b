"""Measure the CPU time of `longwriter --help` beside `inspect --help` and `dvc --help`, and the packages that it imports; `make bench`."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

BOUND = 0.3  # seconds of CPU
GOES = 5
HEAVY = ("torch", "mlflow", "prefect", "dvc", "transformers", "numpy", "pydantic")
COMMANDS = {"longwriter --help": "longwriter", "inspect --help": "inspect", "dvc --help": "dvc"}


def program(name: str) -> str | None:
    """The program beside this interpreter, else on PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.is_file() else shutil.which(name)


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def heavy_imports() -> list[str]:
    """Which of HEAVY `longwriter --help` imports."""
    code = "import sys\nfrom flows.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ)
    return sorted(set(HEAVY) & set(done.stderr.split()))


def main() -> None:
    print(f"start: median CPU seconds of {GOES} runs; the bound of longwriter is {BOUND} s")
    for shown, name in COMMANDS.items():
        found = program(name)
        if found is None:
            print(f"  {shown:20} not installed")
            continue
        print(f"  {shown:20} {median(cpu_seconds([found, '--help']) for _ in range(GOES)):.2f} s")
    print(f"  imported by longwriter --help of {', '.join(HEAVY)}: {', '.join(heavy_imports()) or 'none'}")


if __name__ == "__main__":
    main()
