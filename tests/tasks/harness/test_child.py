"""The tasks and metrics that the harness knows and reports, and those for which a floor can be set."""

from pathlib import Path
from typing import Any

import pytest

from tasks.harness.child import Task, evaluated, load, score
from tasks.harness.job import Unmeasurable
from tests.tasks.harness.answering import endpoint, job, said

pytestmark = pytest.mark.integration  # all of them need the same slow fixture


class Part:
    """A task as far as its score goes: the harness's own objects need its imports."""

    def __init__(self, name: str):
        self.task_name = name


def reported(results: dict[str, Any], *, higher: dict[str, bool] | None = None) -> dict[str, Any]:
    return {
        "results": {"t": {"alias": "t", "sample_len": 8} | results},
        "n-samples": {"t": {"original": 20, "effective": 8}},
        "n-shot": {"t": 5},
        "versions": {"t": 1.0},
        "higher_is_better": {"t": higher or {}},
    }


def scored(results: dict[str, Any], **other: Any) -> tuple[str, str, float]:
    found = score(Task("t", "t", None, [Part("t")]), reported(results, **other), limit=8)
    return found.metric, found.filter, found.value


@pytest.mark.parametrize(
    ("results", "main"),
    [
        ({"acc,none": 0.5, "acc_stderr,none": 0.1, "acc_norm,none": 0.25}, ("acc_norm", "none", 0.25)),
        ({"f1,none": 0.1, "exact_match,none": 0.5}, ("exact_match", "none", 0.5)),
        ({"exact_match,strict-match": 0.5, "exact_match,flexible-extract": 0.75}, ("exact_match", "strict-match", 0.5)),
        ({"prompt_level_strict_acc,none": 0.3, "inst_level_strict_acc,none": 0.4}, ("prompt_level_strict_acc", "none", 0.3)),
        ({"acc,none": 1, "acc_stderr,none": "N/A"}, ("acc", "none", 1.0)),
    ],
)
def test_the_main_metric_is_the_first_of_the_usual_ones_else_the_tasks_first(results: dict[str, Any], main: tuple[str, str, float]) -> None:
    assert scored(results) == main


def test_a_score_says_what_it_stands_on() -> None:
    found = score(Task("t", "t", None, [Part("t")]), reported({"acc,none": 0.5, "acc_stderr,none": 0.1}), limit=8)
    assert (found.stderr, found.questions, found.limit, found.fewshot, found.versions) == (0.1, 8, 8, {"t": 5}, {"t": 1.0})
    assert found.results["t"]["acc,none"] == 0.5


@pytest.mark.parametrize(
    ("results", "higher", "problem"),
    [
        ({"word_perplexity,none": 12.5}, None, "word_perplexity is 12.5 and no share from 0 to 1"),
        ({"acc,none": float("nan")}, None, "acc is nan and no share"),
        ({"brier_score,none": 0.2}, {"brier_score": False}, "less of brier_score is better"),
        ({"acc,none": "N/A"}, None, "no metric that is a number"),
        ({}, None, "no metric that is a number"),
    ],
)
def test_no_floor_can_be_set_for_what_is_no_share(results: dict[str, Any], higher: dict[str, bool] | None, problem: str) -> None:
    with pytest.raises(Unmeasurable, match=rf"^t: .*{problem}") as raised:
        scored(results, higher=higher)
    assert raised.value.code == 2


@pytest.fixture(scope="module")
def manager() -> Any:
    return pytest.importorskip("lm_eval.tasks").TaskManager()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("hellaswagg", "lm-evaluation-harness knows no such task; fix: use hellaswag"),
        ("a b c d e f g", "knows no such task; fix: `python -m lm_eval ls tasks` shows them"),
        ("mmlu_*", "knows no such task; fix: use"),
        ("ai2_arc", "a tag without a score of its own; name its tasks: arc_challenge, arc_easy"),
    ],
)
def test_a_name_without_a_score_of_its_own_is_told_with_those_that_have_one(given: str, problem: str, manager: Any) -> None:
    with pytest.raises(Unmeasurable) as raised:
        load(given, manager)
    assert problem in str(raised.value)
    assert raised.value.code == 2


ROWS = '{"question": "6 times 7?", "answer": "42"}\n'
GOOD = {
    "task": "t",
    "dataset_path": "json",
    "dataset_kwargs": "{data_files: {test: ROWS}}",
    "output_type": "generate_until",
    "test_split": "test",
    "doc_to_text": "'{{question}}'",
    "doc_to_target": "'{{answer}}'",
}


@pytest.mark.parametrize(
    ("slip", "problem"),
    [
        ({"output_type": "guess"}, "cannot use the task"),
        ({"dataset_path": "jsn"}, "its data cannot be had"),
        ({"dataset_kwargs": "{data_files: {test: ROWS, train: /nowhere.jsonl}}"}, "its data cannot be had"),
        ({"test_split": "exam"}, "cannot use the task"),
        ({"doc_to_text": "!function utils.missing"}, "cannot use the task"),
        ({"doc_to_text": "'{{question'"}, "cannot use the task"),
    ],
)
def test_a_slip_in_a_tasks_file_is_told_in_one_line(
    slip: dict[str, str], problem: str, manager: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    (tmp_path / "rows.jsonl").write_text(ROWS)
    text = "".join(f"{key}: {value}\n" for key, value in (GOOD | slip).items()).replace("ROWS", str(tmp_path / "rows.jsonl"))
    (tmp_path / "slip.yaml").write_text(text)
    with pytest.raises(Unmeasurable) as raised:
        load(str(tmp_path / "slip.yaml"), manager)
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_groups_score_is_over_all_its_tasks_with_the_examples_that_each_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real measurement of a group, as mmlu is one, by an endpoint that knows the answer where it is shown an example."""
    tasks = pytest.importorskip("lm_eval.tasks")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    (tmp_path / "rows.jsonl").write_text("".join(ROWS.replace("6 times", f"{number} times") for number in range(8)))
    fields = {"metric_list": "[{metric: acc}]", "process_results": "!function right.right"} | {"generation_kwargs": "{until: [x]}"}
    (tmp_path / "right.py").write_text("def right(doc, results):\n    return {'acc': results[0] == doc['answer']}\n")
    for name, shots in (("one", 1), ("two", 0)):
        given = GOOD | fields | {"task": name, "num_fewshot": str(shots)}
        text = "".join(f"{key}: {value}\n" for key, value in given.items()).replace("ROWS", str(tmp_path / "rows.jsonl"))
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "both.yaml").write_text("group: both\ntask: [one, two]\naggregate_metric_list: [{metric: acc}]\n")
    task = load("both", tasks.TaskManager(include_path=str(tmp_path), include_defaults=False))
    with endpoint(lambda seen, _: said("42" if len(seen.body["messages"]) > 1 else "no idea")) as there:
        found = score(task, *evaluated(task, job(there.url, tmp_path, concurrency=1, limit=4)), limit=4)
    assert (found.task, found.metric, found.value, found.questions, len(there.seen)) == ("both", "acc", 0.5, 8, 8)
    assert found.fewshot == {"one": 1, "two": 0}
    assert (found.results["one"]["acc,none"], found.results["two"]["acc,none"]) == (1.0, 0.0)
