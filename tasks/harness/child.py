"""The process that measures: `python -m tasks.harness.child JOB.json`. It alone imports lm-evaluation-harness.

Tasks that ask for text go through the chat API, with the chat template of whoever serves the model. Tasks that weigh given answers need
the log-probabilities of the prompt's own tokens, through the completions API, which vLLM has and `transformers serve` has not.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any

from tasks import store
from tasks.harness.job import ERROR, RESULT, Job, Result, Score
from tasks.stage import die_with_parent, fail

SEED = 1234  # the harness's own


class _Unmeasurable(Exception):
    """Why a task cannot be measured, for a person."""


def main() -> None:
    die_with_parent()
    job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
    try:
        store.write_json(job.folder / RESULT, measure(job))
    except _Unmeasurable as error:
        (job.folder / ERROR).write_text(str(error), encoding="utf-8")
        fail(str(error), code=1)


def measure(job: Job) -> Result:
    from lm_eval.tasks import TaskManager

    manager, scores, sources = TaskManager(), list[Score](), dict[str, str]()
    for name in job.tasks:
        task = _resolved(name, manager)
        if isinstance(task, dict):
            sources |= _digests(Path(name), task)
        scores.append(_score(name, _evaluated(name, task, manager, job), job))
    return Result(scores=tuple(scores), version=metadata.version("lm_eval"), sources=sources)


def _resolved(name: str, manager: Any) -> str | dict[str, Any]:
    """A known task's name, or a file's configuration."""
    from lm_eval.tasks._yaml_loader import load_yaml

    if name.endswith((".yaml", ".yml")):
        return dict(load_yaml(name, resolve_func=False))
    if not manager.match_tasks([name]):
        near = get_close_matches(name, manager.all_tasks, n=3)
        mend = f"did you mean {', '.join(near)}?" if near else "`python -m lm_eval ls tasks` shows them"
        raise _Unmeasurable(f"{name}: lm-evaluation-harness knows no such task; {mend}")
    return name


def _evaluated(name: str, task: str | dict[str, Any], manager: Any, job: Job) -> Mapping[str, Any]:
    import aiohttp
    import requests
    import tenacity
    from datasets.exceptions import DatasetsError
    from lm_eval import simple_evaluate

    try:
        chats = all(kind == "generate_until" for kind in _kinds(task, manager))
        found = simple_evaluate(
            model="local-chat-completions" if chats else "local-completions",
            model_args=_arguments(job, chats=chats),
            tasks=[task],
            num_fewshot=job.fewshot,
            limit=job.limit,
            apply_chat_template=chats,
            task_manager=manager,
            bootstrap_iters=0,
            log_samples=False,
            random_seed=SEED,
            numpy_random_seed=SEED,
            torch_random_seed=SEED,
            fewshot_random_seed=SEED,
        )
    except (aiohttp.ClientError, requests.RequestException, tenacity.RetryError) as error:
        raise _Unmeasurable(f"{name}: the endpoint at {job.url} cannot answer it ({_short(error)}){'' if chats else NO_LOGPROBS}") from None
    except (KeyError, TypeError, AttributeError) as error:
        if chats:
            raise
        raise _Unmeasurable(f"{name}: the endpoint at {job.url} sends no log-probabilities ({_short(error)}){NO_LOGPROBS}") from None
    except (DatasetsError, ConnectionError, FileNotFoundError, OSError) as error:
        raise _Unmeasurable(f"{name}: its data cannot be had ({_short(error)}); go online once, or name a task with local files") from None
    return dict(found or {})


NO_LOGPROBS = (
    "; its answers are weighed by log-probabilities, which vLLM serves (LONGWRITER_SERVER=vllm), or name a task that asks for text"
)


def _arguments(job: Job, *, chats: bool) -> dict[str, Any]:
    shared = {"model": job.model, "num_concurrent": job.concurrency, "max_retries": job.retries + 1, "timeout": 600, "seed": SEED}
    if chats:
        return {**shared, "base_url": f"{job.url}/chat/completions", "tokenizer_backend": None, "tokenized_requests": False}
    return {**shared, "base_url": f"{job.url}/completions", "tokenizer": str(job.tokenizer), "tokenizer_backend": "huggingface"}


def _kinds(task: str | dict[str, Any], manager: Any) -> Iterator[str]:
    """The output types of a task, or of all tasks of a group."""
    from lm_eval.tasks import get_task_dict

    def leaves(tree: Mapping[Any, Any]) -> Iterator[Any]:
        for value in tree.values():
            if isinstance(value, Mapping):
                yield from leaves(value)
            else:
                yield value[1] if isinstance(value, tuple) else value

    for leaf in leaves(get_task_dict([task], manager)):
        yield str(leaf.OUTPUT_TYPE if leaf.OUTPUT_TYPE else leaf.config.output_type)


def _score(name: str, found: Mapping[str, Any], job: Job) -> Score:
    own = name if name in found["results"] else next(iter(found["results"]))
    results: Mapping[str, Any] = found["results"][own]
    key, value = _main_metric(name, results.items())
    metric, _, chosen = key.partition(",")
    stderr = results.get(f"{metric}_stderr,{chosen}")
    counted = found.get("n-samples", {})
    questions = sum(int(count["effective"]) for count in counted.values())
    return Score(
        task=own,
        metric=metric,
        value=value,
        stderr=float(stderr) if isinstance(stderr, int | float) else None,
        questions=questions,
        fewshot=job.fewshot,
    )


def _main_metric(name: str, results: Iterable[tuple[str, Any]]) -> tuple[str, float]:
    """The first metric that the results name, in the order of the task's metric_list. It has to be a share."""
    for key, value in results:
        if "," in key and "_stderr" not in key and isinstance(value, int | float):
            if not 0 <= value <= 1:
                raise _Unmeasurable(
                    f"{name}: its first metric, {key.partition(',')[0]}, is {value:g} and no share from 0 to 1; name another task"
                )
            return key, float(value)
    raise _Unmeasurable(f"{name}: its results name no metric; was there a question?")


def _digests(path: Path, task: Mapping[str, Any]) -> dict[str, str]:
    files = task.get("dataset_kwargs", {}).get("data_files", {})
    named = files.values() if isinstance(files, Mapping) else files if isinstance(files, list) else [files]
    paths = [path, *(Path(str(file)) for file in named if file)]
    return {str(one): hashlib.sha256(one.read_bytes()).hexdigest() for one in paths if one.is_file()}


def _short(error: BaseException) -> str:
    last = error.last_attempt.exception() if hasattr(error, "last_attempt") else error
    return " ".join(f"{type(last).__name__}: {last}".split())[:200]


if __name__ == "__main__":
    main()
