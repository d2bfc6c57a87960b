"""The child process that measures: `python -m tasks.harness.child JOB.json`. Only this process imports lm-evaluation-harness.

Tasks that generate text use the chat API, with the server's chat template. Tasks that score given answers need the log-probabilities of
the prompt's own tokens from the completions API, which vLLM supports and `transformers serve` does not.
"""

import hashlib
import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import redirect_stderr
from difflib import get_close_matches
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from tasks import progress, store
from tasks.endpoints.wire import shown
from tasks.harness.job import ERROR, RESULT, HarnessJob, Measurement, Refused, Score, Unmeasurable
from tasks.harness.taskfile import is_file
from tasks.processes import die_with_parent
from tasks.schema.redaction import redact

SEED = 1234  # the harness's default, as in endpoint.py
MAIN = ("acc_norm", "acc", "exact_match")  # the main metric: the first of these that the task reports, else its first metric
# Exceptions that a task's YAML, templates and functions can cause in the harness.
SLIPS = (ValueError, TypeError, LookupError, AttributeError, ImportError, AssertionError, NotImplementedError, RuntimeError)


class Evaluated(NamedTuple):
    """The harness's results of a task, over the answered questions."""

    results: Mapping[str, Any]
    refused: tuple[Refused, ...] = ()  # left out of the results


class Task(NamedTuple):
    """A loaded task or group of the harness."""

    given: str  # the name in params
    name: str  # the task's own name
    whole: Any  # the harness's task or group
    parts: list[Any]  # the tasks of a group, or the task itself

    @property
    def chats(self) -> bool:
        """Whether the task generates text, and so uses the chat API."""
        return all(part.get_config("output_type") == "generate_until" for part in self.parts)


def main() -> None:
    """Measures the job of the file in argv[1]. Writes result.json, or error.txt and a non-zero exit code."""
    die_with_parent()
    job = HarnessJob.model_validate_json(Path(sys.argv[1]).read_bytes())
    logging.getLogger("lm_eval").setLevel(logging.CRITICAL)  # errors are reported in one line at the end
    try:
        store.write_json(job.folder / RESULT, measure(job))
    except Unmeasurable as error:
        (job.folder / ERROR).write_text(str(error), encoding="utf-8")  # read by the stage, which reports it
        sys.exit(error.code)


def measure(job: HarnessJob) -> Measurement:
    """Measures every task. All tasks and their data are loaded before the first question is sent."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=not job.local)  # its own tasks are 14,000 files, which are slow to read
    loaded = [load(given, manager) for given in job.tasks]
    scores = tuple(score(task, *evaluated(task, job), limit=job.limit) for task in loaded)
    sources = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in job.files}
    return Measurement(scores=scores, version=metadata.version("lm_eval"), sources=sources)


def load(given: str, manager: Any) -> Task:
    """Loads a task or group that has its own score. Raises Unmeasurable."""
    from datasets.exceptions import DatasetsError
    from httpx import HTTPError
    from jinja2 import TemplateError
    from lm_eval.tasks._index import Kind
    from yaml import YAMLError

    entry = manager.task_index.get(given)
    if entry is None and not is_file(given):
        near = get_close_matches(given, manager.all_tasks, n=3)
        fix = f"use {' or '.join(near)}" if near else "`python -m lm_eval ls tasks` shows them; a file's name ends in .yaml"
        raise Unmeasurable(f"{given}: lm-evaluation-harness knows no such task; fix: {fix}", code=2)
    if entry is not None and entry.kind is Kind.TAG:
        raise _no_score(given, "a tag", sorted(entry.tags))
    try:
        found = manager.load([given])
    except (DatasetsError, HTTPError, OSError) as error:
        raise Unmeasurable(f"{given}: its data cannot be had ({_short(error)}); go online once, or name a task with local files") from None
    except (*SLIPS, TemplateError, YAMLError) as error:
        raise _slip(given, error) from None
    parts = list(found["tasks"].values())
    if any(getattr(part, "UNSAFE_CODE", False) for part in parts):
        raise Unmeasurable(f"{given}: it runs code that the model wrote, which is not done here; name another task", code=2)
    if not found["groups"]:
        return Task(given, parts[0].task_name, parts[0], parts)
    whole = next(iter(found["groups"].values()))
    if not whole.has_aggregation:
        raise _no_score(given, "a group", sorted(found["tasks"]))
    return Task(given, whole.name, whole, parts)


def evaluated(task: Task, job: HarnessJob) -> Evaluated:
    """Returns all results of the harness for a task. Raises Unmeasurable if the endpoint cannot answer it or refuses too much of it."""
    from jinja2 import TemplateError
    from lm_eval import simple_evaluate

    from tasks.harness.endpoint import QuestionUnanswered, client

    try:
        asked = client(job, chats=task.chats, label=task.name)
        for part in task.parts:
            part.doc_iterator = _without(asked.refused, part.task_name, part.doc_iterator)
        with redirect_stderr(StringIO()):  # hide its many progress bars; the requests have their own
            found = simple_evaluate(
                model=asked,
                tasks=[task.whole],
                num_fewshot=job.fewshot,
                limit=job.limit,
                apply_chat_template=task.chats,
                bootstrap_iters=100,  # for standard errors without a formula
                log_samples=False,
                random_seed=SEED,
                numpy_random_seed=SEED,
                torch_random_seed=SEED,
                fewshot_random_seed=SEED,
            )
    except QuestionUnanswered as error:
        raise Unmeasurable(f"{task.given}: the endpoint at {shown(job.url)} cannot answer it ({error})") from None
    except OSError as error:
        raise Unmeasurable(f"{task.given}: a file cannot be read ({_short(error)}); correct the task, or the checkpoint") from None
    except (*SLIPS, TemplateError) as error:
        raise _slip(task.given, error) from None
    refused = tuple(sorted(asked.refused.values(), key=lambda one: (one.task, one.question)))
    for one in refused:
        progress.say(f"{one.task}: question {one.question} has no answer and is in no score: {one.reason}")
    return Evaluated(dict(found or {}), refused)


def _without(refused: Collection[tuple[str, int]], task: str, docs: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The harness's iterator over (index, question) of a task, without refused ones.

    The harness goes through the questions twice: to build its requests, when nothing is refused yet, and to score the answers.
    """
    return lambda **given: (pair for pair in docs(**given) if (task, pair[0]) not in refused)


def score(task: Task, found: Mapping[str, Any], refused: tuple[Refused, ...] = (), *, limit: int | None) -> Score:
    """Returns the main metric of the results. Raises Unmeasurable if it is not from 0 to 1, or if lower is better."""
    results = found["results"][task.name]
    metric, chosen, value = _main_metric(task.given, results)
    if not 0 <= value <= 1:
        raise Unmeasurable(f"{task.given}: {metric} is {value:g} and no share from 0 to 1; name another task", code=2)
    if found.get("higher_is_better", {}).get(task.name, {}).get(metric) is False:
        raise Unmeasurable(f"{task.given}: less of {metric} is better, so no floor can be set; name another task", code=2)
    stderr = results.get(f"{metric}_stderr,{chosen}")
    return Score(
        task=task.name,
        metric=metric,
        filter=chosen,
        value=value,
        stderr=float(stderr) if isinstance(stderr, int | float) else None,
        questions=sum(int(found["n-samples"][part.task_name]["effective"]) for part in task.parts),
        limit=limit,
        fewshot={name: int(shots) for name, shots in found["n-shot"].items()},
        versions={name: version if isinstance(version, int | float) else str(version) for name, version in found["versions"].items()},
        results={name: {key: _plain(value) for key, value in row.items()} for name, row in found["results"].items()},
        refused=refused,
    )


def _main_metric(given: str, results: Mapping[str, Any]) -> tuple[str, str, float]:
    """Name, filter and value. With several filters, the task's first one."""
    reported = [
        (*key.partition(",")[::2], float(value))
        for key, value in results.items()
        if "," in key and "_stderr," not in key and isinstance(value, int | float)
    ]
    if not reported:
        raise Unmeasurable(f"{given}: the harness reports no metric that is a number; name another task", code=2)
    ranked = sorted(reported, key=lambda one: MAIN.index(one[0]) if one[0] in MAIN else len(MAIN))  # stable sort: keeps the task's order
    return ranked[0]


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) or value is None else str(value)


def _no_score(given: str, kind: str, tasks: list[str]) -> Unmeasurable:
    listed = ", ".join(tasks[:10]) + (f" and {len(tasks) - 10} more" if len(tasks) > 10 else "")
    return Unmeasurable(f"{given}: {kind} without a score of its own; name its tasks: {listed}", code=2)


def _slip(given: str, error: Exception) -> Unmeasurable:
    return Unmeasurable(f"{given}: lm-evaluation-harness cannot use the task ({_short(error)}); correct it, or name another", code=2)


def _short(error: BaseException) -> str:
    return redact(" ".join(f"{type(error).__name__}: {error}".split()))[:200]


if __name__ == "__main__":
    main()
