"""The estimate of a run compared with its real cost, and the ledger of paid calls."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from tasks import store
from tasks.agentwrite.__main__ import app
from tasks.agentwrite.estimate import EndpointPace, EstimatedCalls, PromptsOnDisk, pace_of, prompts_of
from tasks.agentwrite.estimate import estimate as work_of
from tasks.endpoints.replay import Paid
from tasks.schema.params import load
from tasks.schema.records import Instruction
from tasks.schema.settings import Price
from tests.commands import called
from tests.conftest import ROOT

PACE = EndpointPace(1.0, 50.0, "assumed")


def instructions(count: int, words: int = 100) -> list[Instruction]:
    texts = {"en": "Write a {}-word essay about bread, number {}.", "zh": "请写一篇{}字的文章，关于面包，第{}篇。"}
    made = [("zh" if n % 3 == 0 else "en", words * (1 + n % 8)) for n in range(count)]
    return [
        Instruction.model_validate(
            {"id": f"{n:04}", "text": texts[lang].format(asked, n), "language": lang, "words": asked, "source": "t:1"}
        )
        for n, (lang, asked) in enumerate(made)
    ]


def run(folder: Path, module: str, *words: str, **environment: str) -> str:
    """Standard output of a stage, in a process of its own, or of a command of tasks.agentwrite, in this one."""
    own = {"LONGWRITER_HOME": str(folder / "home"), "LONGWRITER_TRACES": "0"} | environment
    if module == "tasks.agentwrite":
        with chdir(folder):
            done = called(app, words, own)
    else:
        own = os.environ | {"PYTHONPATH": str(ROOT)} | own
        done = subprocess.run([sys.executable, "-m", module, *words], cwd=folder, env=own, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    lines = [instruction.model_dump_json() for instruction in instructions(40)]
    (tmp_path / "instructions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.integration
def test_the_estimate_is_what_the_run_then_takes_and_the_ledger_says_so(folder: Path) -> None:
    prices = {"LONGWRITER_PRICES": '{"rehearsal-teacher": {"prompt": 2.5, "cached": 1.25, "completion": 10}}'}
    said = json.loads(run(folder, "tasks.agentwrite", "estimate", "instructions.jsonl", "--json", **prices).splitlines()[-1])
    run(folder, "tasks.plan", "instructions.jsonl", "passed.json", "plans", **prices)
    run(folder, "tasks.write", "plans/plans.jsonl", "drafts", **prices)
    (account,) = json.loads(run(folder, "tasks.agentwrite", "ledger", "--json", **prices))["accounts"]
    assert said["calls"] == account["calls"]
    assert said["prompt"] == pytest.approx(account["prompt"], rel=0.02)
    assert said["completion"] == pytest.approx(account["completion"], rel=0.02)
    assert said["repeated"] == pytest.approx(account["cached"], rel=0.1)
    assert said["dollars"] == pytest.approx(account["dollars"], rel=0.05)
    assert said["unplanned"] == 0
    table = run(folder, "tasks.agentwrite", "ledger", **prices, LONGWRITER_SPEND_CAP="100")
    assert "teacher       rehearsal-teacher" in table
    assert "are left of the cap, $100.00" in table
    assert "rehearsal-teacher" in run(folder, "tasks.agentwrite", "estimate", "instructions.jsonl")


@pytest.mark.integration
def test_a_probe_compares_the_modes_and_the_run_does_not_pay_it_again(folder: Path) -> None:
    prices = {"LONGWRITER_PRICES": '{"rehearsal-teacher": {"prompt": 2.5, "cached": 1.25, "completion": 10}}'}
    command = ("tasks.agentwrite", "estimate", "instructions.jsonl", "--probe", "6", "--json")
    said = json.loads(run(folder, *command, **prices).splitlines()[-1])["probe"]
    serial, direct = said["modes"]
    assert (serial["mode"], direct["mode"], serial["instructions"]) == ("serial", "direct", 6)
    assert (serial["rejects"], direct["rejects"], direct["ways"]) == (0, 0, {"direct": 6})
    assert direct["calls"] == 12
    assert serial["calls"] > direct["calls"]
    assert direct["expected_dollars"] < 0.7 * serial["expected_dollars"]
    assert serial["within_10_percent"] == direct["within_10_percent"] == 6
    assert said["paid_calls"] == serial["calls"] + direct["calls"] - 6  # the plans are common to both modes
    again = json.loads(run(folder, *command, **prices).splitlines()[-1])["probe"]
    assert again["paid_calls"] == 0
    assert again["modes"] == said["modes"]

    params = (folder / "params.yaml").read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(params.replace("mode: serial", "mode: direct"), encoding="utf-8")
    expected = json.loads(run(folder, "tasks.agentwrite", "estimate", "instructions.jsonl", "--json", **prices).splitlines()[-1])
    run(folder, "tasks.plan", "instructions.jsonl", "passed.json", "plans", **prices)
    run(folder, "tasks.write", "plans/plans.jsonl", "drafts", **prices)
    ledger = json.loads(run(folder, "tasks.agentwrite", "ledger", "--samples", "--json", **prices))
    (account,) = ledger["accounts"]
    assert expected["calls"] == 80
    assert account["calls"] == 80 + serial["calls"] - 6  # both modes of the probe, and what of the run was not in it
    assert ledger["ways"]["direct"][:2] == [40, 40]
    assert len(ledger["samples"]) == 40
    table = run(folder, "tasks.agentwrite", "ledger", "--samples", **prices)
    assert "write.mode direct: 40 samples direct, 40 calls" in table
    assert "0003" in table


@pytest.mark.integration
def test_the_cost_of_a_probe_is_said_before_it_is_made(folder: Path) -> None:
    own = os.environ | {"PYTHONPATH": str(ROOT), "LONGWRITER_HOME": str(folder / "home"), "LONGWRITER_TEACHER_URL": "http://127.0.0.1:9/v1"}
    command = [sys.executable, "-m", "tasks.agentwrite", "estimate", "instructions.jsonl", "--probe", "3"]
    done = subprocess.run(command, cwd=folder, env=own, text=True, capture_output=True, timeout=120)
    assert done.returncode != 0
    said = done.stderr.splitlines()
    first = next(line for line in said if line.startswith("probe: 3 instructions, written in the modes serial and direct"))
    assert "calls, unknown dollars: LONGWRITER_PRICES has no price for it" in first
    assert "cannot connect" in said[-1]
    assert not (folder / "home/replay.jsonl").exists() or not (folder / "home/replay.jsonl").read_bytes()
    wrong = subprocess.run([*command, "--modes", "serial,fast"], cwd=folder, env=own, text=True, capture_output=True, timeout=120)
    assert wrong.returncode != 0
    assert "'fast' is no mode of the stage write; there are serial, parallel, direct" in wrong.stderr


def test_a_sample_stands_for_all() -> None:
    params = load(ROOT / "params.yaml")
    asked = PromptsOnDisk(instructions(200))
    whole = work_of(asked, plan=params.plan, write=params.write, pace=PACE, sample=200)
    part = work_of(asked, plan=params.plan, write=params.write, pace=PACE, sample=40)
    assert part.calls == pytest.approx(whole.calls, rel=0.05)
    assert part.prompt == pytest.approx(whole.prompt, rel=0.08)
    assert part.longest == pytest.approx(whole.longest, rel=0.02)


@pytest.mark.integration
def test_a_real_recipe_is_estimated_too_and_100000_words_are_no_exception() -> None:
    params = load(ROOT / "profiles/llama-3.1-8b.yaml")
    work = work_of(PromptsOnDisk(instructions(8, words=12_500)), plan=params.plan, write=params.write, pace=PACE, sample=8)
    assert work.unplanned == 0
    assert work.completion > 8 * 12_500
    assert work.repeated > 0.8 * work.prompt


def test_a_draft_that_cannot_be_written_is_counted_with_the_calls_that_it_takes() -> None:
    params = load(ROOT / "params.yaml")
    foreign = [one.model_copy(update={"language": "zh"}) for one in instructions(8) if one.language == "en"]  # answered in English
    work = work_of(PromptsOnDisk(foreign), plan=params.plan, write=params.write, pace=PACE, sample=len(foreign))
    assert work.unwritten == len(foreign)
    assert work.calls >= len(foreign) * (1 + params.write.tries)


def test_the_time_is_the_longest_chain_or_all_slot_time_whichever_is_more() -> None:
    work = EstimatedCalls(calls=100, seconds=1000, longest=30)
    assert work.wall(10) == 100
    assert work.wall(100) == 30
    price = Price(prompt=2.0, cached=1.0, completion=4.0)
    spent = EstimatedCalls(prompt=2e6, repeated=1e6, completion=1e6)
    assert (spent.dollars(price, cache=True), spent.dollars(price, cache=False)) == (7.0, 8.0)


def test_the_journals_own_calls_tell_the_pace() -> None:
    lines = [Paid("teacher", "m", 10, tokens, 0, 0.5 + tokens / 80, 0, "stop", "x") for tokens in range(100, 200)]
    pace = pace_of(lines, "m", first_token=1, tokens_per_second=50)
    assert pace.first_token == pytest.approx(0.5)
    assert pace.tokens_per_second == pytest.approx(80)
    assert pace.source == "seen in 100 calls"
    same = [line._replace(completion=100, seconds=2.0) for line in lines]
    assert pace_of(same, "m", first_token=1, tokens_per_second=50)[:2] == (0.0, 50.0)
    assert pace_of(lines, "another", first_token=1, tokens_per_second=50)[:2] == (1, 50)


def test_any_file_of_prompts_can_be_estimated(tmp_path: Path) -> None:
    collect = load(ROOT / "params.yaml").collect
    rows = [
        '{"prompt": "Write a 600-word essay about bread."}',
        '{"instruction": "写一篇400字的散文", "output": "x"}',
        '{"prompt": "Write a saga."}',
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(rows) + "\n")
    found = prompts_of(tmp_path / "mine.jsonl", collect)
    made = list(found.spaced(10))
    assert [one.words for one in made] == [round((collect.words.min * collect.words.max) ** 0.5), 400, 600]
    assert found.unnamed == 1
    store.write(tmp_path / "collected.jsonl", made)
    again = prompts_of(tmp_path / "collected.jsonl", collect)
    assert (list(again.spaced(10)), again.unnamed) == (made, 0)


def test_without_a_file_the_sources_of_params_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert len(prompts_of(None, load(ROOT / "params.yaml").collect)) > 400
