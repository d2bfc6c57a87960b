"""Measures general ability of a model behind an endpoint. lm-evaluation-harness runs in a child process: it takes many seconds to
import.
"""

import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tasks import store
from tasks.endpoints.roles import Answering
from tasks.harness import taskfile
from tasks.harness.job import AUTHORIZATION, ERROR, JOB, QUERY, RESULT, HarnessJob, Measurement
from tasks.schema.errors import BadParams, BadSettings, PipelineError
from tasks.schema.params import EvaluateGeneral
from tasks.schema.settings import settings
from tasks.schema.urls import Url

QUIET = {"TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
NO_TELEMETRY = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
GRACE = 5.0  # seconds from SIGTERM to SIGKILL of the child


class HarnessFailed(PipelineError):
    """lm-evaluation-harness could not measure: data is not available, or the endpoint cannot answer the task."""


class BadTask(HarnessFailed):
    """lm-evaluation-harness does not know the task, or the task has no score for which a floor can be set."""

    exit_code = 2


def check(tasks: Sequence[str]) -> list[taskfile.TaskFile]:
    """Checks tasks before anything is served. Returns those that are files.

    Raises BadSettings without lm_eval, BadInput for an invalid task file, BadParams for duplicate names.
    """
    if find_spec("lm_eval") is None:
        raise BadSettings(
            "evaluate_general.tasks needs lm-evaluation-harness; pip install 'lm-eval[api]' (the extra `general` in pyproject.toml)"
        )
    files = {task: taskfile.read(Path(task)) for task in tasks if taskfile.is_file(task)}
    names = Counter((files[task].name or task) if task in files else task for task in tasks)
    name, times = names.most_common(1)[0]
    if times > 1:
        raise BadParams("params.yaml", f"{name} is named {times} times", field="evaluate_general.tasks", fix="name it once")
    return list(files.values())


async def measure(evaluate_general: EvaluateGeneral, answering: Answering, *, checkpoint: Path) -> Measurement:
    """Measures every task of `evaluate_general`. Raises HarnessFailed with the harness's reason. The child process is always ended."""
    files, own, address = check(evaluate_general.tasks), settings(), Url(answering.url)
    local = len(files) == len(evaluate_general.tasks) and all(file.local for file in files)
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        job = HarnessJob(
            tasks=tuple(evaluate_general.tasks),
            files=tuple(file for task in files for file in task.files),
            local=local,
            url=str(address),
            model=answering.name,
            checkpoint=checkpoint.absolute(),
            limit=evaluate_general.limit,
            fewshot=evaluate_general.fewshot,
            concurrency=own.concurrency,
            retries=own.retries,
            patience=own.patience,
            timeout=own.timeout,
            folder=Path(folder),
        )
        key = answering.api_key or own.api_key("candidate")
        secret = {"OPENAI_API_KEY": key.get_secret_value() or "none"}
        if answering.api_key is None:
            secret |= {AUTHORIZATION: address.basic, QUERY: address.query.get_secret_value()}
        return await _result(job, {**os.environ, **QUIET, **NO_TELEMETRY, **(OFFLINE if local else {}), **secret})


async def _result(job: HarnessJob, environment: dict[str, str]) -> Measurement:
    store.write_json(job.folder / JOB, job)
    words = [sys.executable, "-m", "tasks.harness.child", str(job.folder / JOB)]
    # A separate session: Ctrl-C reaches only the owner, which then ends the child.
    child = await asyncio.create_subprocess_exec(*words, env=environment, stdin=asyncio.subprocess.DEVNULL, start_new_session=True)
    try:
        code = await child.wait()
    finally:
        await _end(child)
    if code:
        said = job.folder / ERROR
        problem = said.read_text(encoding="utf-8") if said.is_file() else f"lm-evaluation-harness ended with exit code {code}"
        raise (BadTask if code == BadTask.exit_code else HarnessFailed)(problem)
    return store.read_document(job.folder / RESULT, Measurement)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), GRACE)
        except TimeoutError:
            child.kill()
            await child.wait()
