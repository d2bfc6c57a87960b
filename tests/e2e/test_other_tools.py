"""Real files of other tools, made by these tools: each is installed into an environment of its own and answers on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.evaluation.api import score
from tasks.evaluation.inspect_export import export_inspect
from tasks.evaluation.recorded import read_recorded
from tests.tasks.evaluation.inspect_logs import evaluation
from tests.tasks.judging.endpoint import Body, endpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
TEXT = "The oven was lit at dawn, she said."
NAMES = ("Relevance", "Accuracy", "Coherence", "Clarity", "Breadth and Depth", "Reading Experience")
OPENS = """
import json, sys
from inspect_ai.log import read_eval_log, read_eval_log_sample_summaries
log = read_eval_log(sys.argv[1])
firsts = [next(iter(one.scores.values())).value for one in log.samples]
s_l = min(one["s_l"] if isinstance(one, dict) else one for one in firsts)
means = {one.name: (one.metrics["mean"].value, one.unscored_samples) for one in log.results.scores}
summaries = len(read_eval_log_sample_summaries(sys.argv[1]))
print(json.dumps([log.status, len(log.samples), means, log.samples[0].output.completion, s_l, summaries]))
"""


def environment(folder: Path, *packages: str) -> Path:
    """The folder of the commands of a new virtual environment with these packages; skips without a package index."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, env=clean())
    if subprocess.run([folder / "bin/python", "-m", "pip", "install", "-q", *packages], env=clean()).returncode:
        pytest.skip(f"no package index: `pip install {' '.join(packages)}` failed")
    return folder / "bin"


def clean(**more: str) -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")} | more


def answer(body: Body) -> str:
    """Grades the text about 70 words only; writes TEXT, with thoughts before it."""
    said = str(body["messages"][-1]["content"])
    if said.startswith("Instruction"):
        return json.dumps(dict.fromkeys(NAMES, 4)) if "70 words" in said else "I will not."
    return f"<think>Hm.</think>{TEXT}"


def test_inspect_runs_our_task_we_read_its_log_and_it_reads_ours(tmp_path: Path, wheel: Path) -> None:
    commands = environment(tmp_path / "venv", f"{wheel}[inspect]", "openai")
    rows = [{"prompt": f"Write {n} words on bread.", "type": "News", "length": n} for n in (8, 70)]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "judge.txt").write_text("Instruction $INST$ Response $RESPONSE$")
    with endpoint(answer, "candidate"):
        own = clean(LOCAL_BASE_URL=os.environ["LONGWRITER_CANDIDATE_URL"], LOCAL_API_KEY="none")
        words = [
            "-T",
            "file=b.jsonl",
            "-T",
            "judge=true",
            "-T",
            "prompt=judge.txt",
            "--model-role",
            "grader=openai-api/local/g",
            "--display",
            "none",
        ]
        command = [
            str(commands / "inspect"),
            "eval",
            "longwriter/longbench_write",
            "--model",
            "openai-api/local/m",
            *words,
            "--epochs",
            "2",
        ]
        subprocess.run(command, cwd=tmp_path, check=True, env=own)
    (log,) = (tmp_path / "logs").glob("*.eval")
    found = list(read_recorded(log))
    assert sorted((one.item.length, one.sample, one.response, one.model) for one in found) == [
        (n, sample, TEXT, "openai-api/local/m") for n in (8, 70) for sample in (0, 1)
    ]
    theirs = opened(commands, log)
    assert theirs[0] == "success"
    assert theirs[2]["s_l"] == [score(log).card.s_l, 0]
    assert theirs[2]["quality_score"][1] == 1  # the item whose verdict was never read

    export_inspect(evaluation(tmp_path / "out"), tmp_path / "ours.eval")
    export_inspect(evaluation(tmp_path / "out"), tmp_path / "ours.json")
    for file in (tmp_path / "ours.eval", tmp_path / "ours.json"):
        status, samples, means, completion, s_l, summaries = opened(commands, file)
        assert (status, samples, summaries, completion.strip(), s_l) == ("success", 4, 4, "word " * 7 + "word", 50.0)
        assert means == {"s_l": [75.0, 0], "s_l_fixed": [75.0, 0], "s_q": [75.0, 1]}


def opened(commands: Path, file: Path) -> Any:
    """What inspect_ai itself reads in a log."""
    done = subprocess.run([commands / "python", "-c", OPENS, str(file)], check=True, env=clean(), capture_output=True, text=True)
    return json.loads(done.stdout)


def test_samples_of_lm_evaluation_harness_are_read(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text(json.dumps({"prompt": "Write 8 words about bread.", "length": 8, "type": "News"}) + "\n")
    task = {
        **{"task": "mine", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tmp_path / "docs.jsonl")}}},
        **{"output_type": "generate_until", "test_split": "test", "doc_to_text": "{{prompt}}", "doc_to_target": "", "repeats": 2},
        "generation_kwargs": {"until": [], "do_sample": True},
        "metric_list": [{"metric": "bypass"}],
        "filter_list": [{"name": name, "filter": [{"function": "take_first_k", "k": 2}]} for name in ("a", "b")],
    }
    (tmp_path / "mine.yaml").write_text(json.dumps(task))
    words = [
        "--model",
        "dummy",
        "--tasks",
        "mine",
        "--include_path",
        str(tmp_path),
        "--output_path",
        str(tmp_path / "out"),
        "--log_samples",
    ]
    subprocess.run(
        [sys.executable, "-m", "lm_eval", *words], check=True, env=clean(HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hf")), cwd=tmp_path
    )
    (file,) = (tmp_path / "out").rglob("samples_mine_*.jsonl")
    assert [(one.item.prompt, one.item.length, one.sample, one.response) for one in read_recorded(file)] == [
        ("Write 8 words about bread.", 8, sample, "lol") for sample in (0, 1)
    ]


def test_a_run_of_evalscope_is_read(tmp_path: Path) -> None:
    commands = environment(tmp_path / "venv", "evalscope")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.jsonl").write_text(json.dumps({"query": "Write 8 words about bread.", "response": ""}) + "\n")
    arguments = json.dumps({"general_qa": {"local_path": "data", "subset_list": ["mine"]}})
    with endpoint(answer, "candidate"):
        url = os.environ["LONGWRITER_CANDIDATE_URL"]
        words = ["--model", "m", "--api-url", url, "--api-key", "none", "--eval-type", "openai_api", "--datasets", "general_qa"]
        command = [
            str(commands / "evalscope"),
            "eval",
            *words,
            "--dataset-args",
            arguments,
            "--work-dir",
            "out",
            "--generation-config",
            '{"stream": false}',
        ]
        subprocess.run(command, cwd=tmp_path, check=True, env=clean())
    (folder,) = (tmp_path / "out").iterdir()
    found = score(folder, length=8)
    assert (list(found.cards), found.card.answers, found.card.s_l, found.card.reasoned) == (["m"], 1, 100.0, 1)
