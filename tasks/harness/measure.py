"""General ability of a model behind an endpoint, by lm-evaluation-harness as a child process: its imports take many seconds."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tasks import store
from tasks.endpoints.roles import Answering
from tasks.harness.job import ERROR, JOB, RESULT, Job, Result
from tasks.schema.errors import BadSettings, PipelineError
from tasks.schema.params import Probe
from tasks.schema.settings import settings

QUIET = {"LMEVAL_LOG_LEVEL": "ERROR", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore"}


class HarnessFailed(PipelineError):
    """lm-evaluation-harness could not measure: an unknown task, data that cannot be had, an endpoint that cannot answer the task."""


def check(tasks: Sequence[str]) -> None:
    """Before anything is served. Raises BadSettings without the harness, HarnessFailed for a task file that is not there."""
    if find_spec("lm_eval") is None:
        raise BadSettings("probe.tasks needs lm-evaluation-harness; pip install 'lm-eval[api]' (the extra `general` in pyproject.toml)")
    for name in tasks:
        if _is_file(name) and not Path(name).is_file():
            raise HarnessFailed(f"{name}: no such task file; mend probe.tasks in params.yaml")


def measure(probe: Probe, answering: Answering, *, tokenizer: Path) -> Result:
    """Every task of `probe`. Raises HarnessFailed with the harness's own reason."""
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        own = Path(folder)
        job = Job(
            tasks=tuple(probe.tasks),
            url=answering.url,
            model=answering.name,
            tokenizer=tokenizer.absolute(),
            limit=probe.limit,
            fewshot=probe.fewshot,
            concurrency=settings().concurrency,
            retries=settings().retries,
            folder=own,
        )
        store.write_json(own / JOB, job)
        key = answering.api_key or settings().api_key("candidate")
        local = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"} if all(map(_is_file, probe.tasks)) else {}
        environment = {**os.environ, **QUIET, **local, "OPENAI_API_KEY": key.get_secret_value() or "none"}
        code = subprocess.run([sys.executable, "-m", "tasks.harness.child", str(own / JOB)], env=environment).returncode
        if code:
            said = own / ERROR
            raise HarnessFailed(
                said.read_text(encoding="utf-8") if said.is_file() else f"lm-evaluation-harness ended with exit code {code}"
            )
        return store.parse(store.read_json(own / RESULT), Result, path=own / RESULT, line=None)


def _is_file(task: str) -> bool:
    return task.endswith((".yaml", ".yml"))
