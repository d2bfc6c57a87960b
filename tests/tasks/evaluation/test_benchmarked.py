"""Benchmarks from the command line: a model or recorded answers, a loopback judge, figures with what is unscored."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tasks import store
from tasks.benchmarks.eqbench import LONGFORM
from tasks.benchmarks.grading import Grade
from tasks.benchmarks.hellobench import HELLOBENCH
from tasks.benchmarks.interface import GivenAnswer
from tasks.benchmarks.lifebench import LITE
from tasks.benchmarks.longbench_write import LONGBENCH_WRITE
from tasks.benchmarks.longgenbench import SHORT
from tasks.benchmarks.results import AllScores
from tasks.benchmarks.writingbench import LENGTH_SUBSET
from tasks.evaluation.__main__ import app
from tests.conftest import ROOT
from tests.tasks.benchmarks import made
from tests.tasks.benchmarks.made import installed, lines, pinned, put
from tests.tasks.judging.endpoint import GOOD, Body, asked, endpoint

PARAMS = (ROOT / "profiles" / "small.yaml").read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, and the made-up files where `longwriter eval official` puts them."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS, encoding="utf-8")
    paper = {
        "longbench_write.jsonl": lines({"prompt": "Write 9 words.", "type": "News", "length": 9}),
        "judge.txt": "$INST$ $RESPONSE$ Grade.",
    }
    known = (
        *((HELLOBENCH, made.HELLOBENCH), (LENGTH_SUBSET, made.WRITINGBENCH), (LONGBENCH_WRITE, paper), (LONGFORM, made.EQBENCH)),
        (LITE, {"data_lite.jsonl": lines(made.LENGTH_TASK)}),
        (SHORT, {"Dataset_short.json": json.dumps([made.DIARY])}),
    )
    installed(monkeypatch, *(pinned(one, files) for one, files in known))
    for one, files in known:
        put(tmp_path / one.folder, files)
    return tmp_path


def eval_(*words: object) -> Result:
    """`longwriter eval WORDS`; there the command `evaluate` is called `run`."""
    words = ("evaluate", *words[1:]) if words[0] == "run" else words
    found = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def scores(found: Result) -> Any:
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout.splitlines()[-1])


def hellobench_judge(body: Body) -> str:
    """Grades 1 for each question; for chat_0 it never gives a list."""
    prompt = str(body["messages"][-1]["content"])
    assert body["messages"][0] == {"role": "system", "content": "You grade."}
    if "chat_0" in prompt:
        return "I would rather not."
    return json.dumps([{"checklist_id": n, "reason": "", "evaluation_score": 1} for n in range(3 if "essay" in prompt else 2)])


def answers(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(lines(*rows), encoding="utf-8")
    return path


def test_recorded_answers_are_graded_and_summed_up(here: Path) -> None:
    rows = [{"id": f"essay_{n}", "instruction": "as another chat template put it", "response": f"Text {n}."} for n in range(3)]
    chat = {"prompt": "Write chat_0.", "response": "<think>hm</think>A chat."}
    recorded = answers(here / "mine.jsonl", *rows, chat)
    with endpoint(hellobench_judge) as seen:
        found = scores(eval_("score", recorded, "--benchmark", "hellobench", "--judge", "--out", here / "out", "--json"))["mine"]
    tries = 3
    assert len(seen) == 3 + tries  # chat_0's reply is asked for three times
    assert {body["max_tokens"] for body in seen} == {4096}  # as the authors ask; params.yaml's 1,024 would cut a checklist off
    assert {key: found[key] for key in ("items", "answered", "answers", "unscored", "unread", "verdicts")} == {
        **{"items": 7, "answered": 4, "answers": 4},
        **{"unscored": 1, "unread": 1, "verdicts": 4},
    }
    score = found["figures"]["score"]
    assert (score["value"], score["items"], score["unscored"]) == (100.0, 3, 1)
    assert score["bounds"] == {"low": 0.0, "high": 100.0}  # (3 · 100 − 300) / 4 and (3 · 100 + 100) / 4
    assert found["by_group"]["chat"]["score"]["value"] is None
    kept = store.read_list(here / "out" / "grades.jsonl", Grade)
    assert [(grade.id, grade.grades is None, len(grade.replies)) for grade in kept][-1] == ("chat_0", True, tries)
    assert kept[-1].problem == "no JSON in the reply"
    assert [a.response for a in store.read(here / "out" / "predictions.jsonl", GivenAnswer)][-1] == "A chat."
    assert store.read_document(here / "out" / "scores.json", AllScores).root["mine"].figures["score"].value == 100.0


def test_a_model_is_asked_judged_and_summed_up_and_a_second_run_asks_nothing(here: Path) -> None:
    def answer(body: Body) -> str:
        return "An answer."

    with endpoint(hellobench_judge) as judged, endpoint(answer, "candidate") as written:
        words = [
            "run",
            os.environ["LONGWRITER_CANDIDATE_URL"],
            "--model",
            "m",
            "--benchmark",
            "hellobench",
            "--out",
            here / "out",
            "--json",
        ]
        first = scores(eval_(*words))["m"]
        assert (len(written), len(judged)) == (7, 6 + 3)
        assert scores(eval_(*words))["m"] == first
        assert len(written) == 7
        only = scores(eval_(*words[:-2], here / "chat", "--json", "--only", "chat", "--no-judge"))["m"]
    assert (first["answered"], first["figures"]["score"]["value"], first["unscored"]) == (7, 100.0, 1)
    assert (only["items"], only["judge"], only["figures"]["score"]) == (
        *(1, None),
        {"value": None, "items": 0, "unscored": 1, "interval": None, "bounds": None},
    )
    assert {body["messages"][0]["content"] for body in written} >= {"Write chat_0.", "Write essay_2."}


def test_each_model_has_its_own_figures_and_unread_verdicts(here: Path) -> None:
    for name, item in (("one", "chat_0"), ("other", "essay_0")):
        (here / "models" / name).mkdir(parents=True)
        answers(here / "models" / name / "a.jsonl", {"id": item, "response": "A text."})
    with endpoint(hellobench_judge):
        found = scores(eval_("score", here / "models", "--benchmark", "hellobench", "--judge", "--json"))
    told = {name: (one["verdicts"], one["unread"], one["unscored"], one["figures"]["score"]["value"]) for name, one in found.items()}
    assert told == {"one": (1, 1, 1, None), "other": (1, 0, 0, 100.0)}


def test_writingbenchs_own_files_are_joined_by_index(here: Path) -> None:
    recorded = answers(here / "theirs.jsonl", *({"index": index, "response": f"Text {index}."} for index in (9, 3, 8)))

    def judge(body: Body) -> str:
        return json.dumps({"score": 9 if "'Length'" in body["messages"][-1]["content"] else 5, "reason": "x"})

    with endpoint(judge) as seen:
        found = scores(eval_("score", recorded, "--benchmark", "writingbench-length", "--judge", "--json"))["theirs"]
    assert len(seen) == 6
    assert found["figures"]["score"]["value"] == pytest.approx((7 + 7 + 5) / 3)
    assert found["figures"]["length_c"]["value"] == pytest.approx((9 + 9 + 5 + 5) / 4)


def test_longbench_write_is_scored_by_its_name_and_evaluated_with_a_whole_scorecard(here: Path) -> None:
    recorded = answers(here / "mine.jsonl", {"prompt": "Write 9 words.", "response": "One two three four five six seven eight nine."})
    with endpoint(lambda body: GOOD) as seen, endpoint(lambda body: "Nine words, or so it says here, dear reader.", "candidate"):
        found = scores(eval_("score", recorded, "--benchmark", "longbench-write", "--judge", "--json"))["mine"]
        assert asked(seen[0]).startswith("Write 9 words. One two")
        url = os.environ["LONGWRITER_CANDIDATE_URL"]
        card = scores(eval_("run", url, "--model", "m", "--benchmark", "longbench-write", "--out", here / "out", "--json"))
    assert {name: figure["value"] for name, figure in found["figures"].items()} == {
        "s_bar": 87.5,
        "s_l": 100.0,
        "s_q": 75.0,
        "s_l_fixed": 100.0,
    }
    assert (card["s_l"], card["s_q"]) == (100.0, 75.0)


def test_a_model_is_asked_lifebenchs_thirty_lengths_without_a_judge(here: Path) -> None:
    def write(body: Body) -> str:
        return "word " * (int(asked(body).split()[-2]) // (2 if "at least" in asked(body) else 1))

    with endpoint(write, "candidate") as seen:
        url = os.environ["LONGWRITER_CANDIDATE_URL"]
        found = scores(eval_("run", url, "--model", "m", "--benchmark", "lifebench-lite", "--out", here / "out", "--json"))["m"]
    assert (len(seen), found["answered"], found["judge"]) == (30, 30, None)
    groups = {name: figures["length_score"]["value"] for name, figures in found["by_group"].items()}
    half = pytest.approx(100 * math.exp(-2.5))
    assert groups == {"equal to": 100.0, "at most": 100.0, "at least": half}


def test_lifebenchs_own_results_are_matched_by_index_method_and_length(here: Path) -> None:
    rows = [{"index": 0, "control_method": "equal to", "length_constraint": n, "response": "word " * n, "word_count": n} for n in (16, 32)]
    found = scores(eval_("score", answers(here / "theirs.jsonl", *rows), "--benchmark", "lifebench-lite", "--json"))["theirs"]
    assert (found["answered"], found["items"], found["figures"]["length_score"]["value"]) == (2, 30, 100.0)


def test_longgenbenchs_own_answers_are_scored_by_rule_and_by_the_judge(here: Path) -> None:
    row = {"input": made.DIARY["prompt"], "output_blocks": made.DIARY_ANSWER.split("#*#"), "word_count": 30}
    recorded = answers(here / "theirs.jsonl", row)
    by_rule = scores(eval_("score", recorded, "--benchmark", "longgenbench-short", "--json"))["theirs"]
    with endpoint(lambda body: "Yes") as seen:
        judged = scores(eval_("score", recorded, "--benchmark", "longgenbench-short", "--judge", "--json"))["theirs"]
    assert by_rule["figures"]["completion"]["value"] == judged["figures"]["completion"]["value"] == 75.0
    assert by_rule["figures"]["stic_1_by_rule"]["value"] == pytest.approx(100 * 2.5 / 3)
    assert "stic_1_judged" not in by_rule["figures"]
    assert (len(seen), judged["figures"]["stic_1_judged"]["value"]) == (4, 100.0)


def test_an_eq_bench_story_is_written_in_thirteen_turns_and_judged_in_nine_requests(here: Path) -> None:
    def grade(body: Body) -> str:
        names = made.EQBENCH_CHAPTER if "Tell-Don't-Show" in asked(body) else made.EQBENCH_FINAL
        return "[Scores]\n" + "\n".join(f"{name}: {10 if name in ('Coherent', 'Pacing') else 0}" for name in names)

    with endpoint(grade) as judged, endpoint(lambda body: f"Turn {len(body['messages'])}.", "candidate") as written:
        url = os.environ["LONGWRITER_CANDIDATE_URL"]
        words = ["run", url, "--model", "m", "--benchmark", "eqbench-longform", "--out", here / "out", "--json"]
        found = scores(eval_(*words))["m"]
        assert scores(eval_(*words))["m"] == found
    assert (len(written), len(judged)) == (13, 9)
    assert len(written[-1]["messages"]) == 25
    chapter, whole = (10 + 20 + 5 * 20) / 7, (10 + 2 * 20 + 5 * 20) / 8
    figures = {name: figure["value"] for name, figure in found["figures"].items()}
    assert figures["chapters_written"] == 8.0
    assert figures["score"] == pytest.approx((8 * chapter + whole) / 9 * 5)


def test_a_table_is_shown_with_what_is_unscored(here: Path) -> None:
    recorded = answers(here / "mine.jsonl", {"id": "chat_0", "response": "A chat."}, {"id": "essay_1", "response": "An essay."})
    with endpoint(hellobench_judge):
        shown = eval_("score", recorded, "--benchmark", "hellobench", "--judge").stdout
    assert "score: 1 items are unscored: -100.00 if all were the lowest, 100.00 if all were the highest." in shown
    assert "2 of 7 items have an answer; the others are in no figure." in shown
    assert "1 of 2 verdicts could not be read." in shown


def test_a_judge_that_is_never_read_is_an_error(here: Path) -> None:
    recorded = answers(here / "mine.jsonl", {"id": "chat_0", "response": "A chat."})
    with endpoint(hellobench_judge):
        found = eval_("score", recorded, "--benchmark", "hellobench", "--judge", "--out", here / "out")
    assert found.exit_code == 1
    assert "error: judge: none of 1 verdicts could be read; last problem: no JSON in the reply" in found.output


@pytest.mark.parametrize(
    ("rows", "words", "why"),
    [
        ([{"id": "poem_7", "response": "x"}], [], "mine.jsonl:1: id: answers no item of the benchmark"),
        ([{"prompt": "Write a poem.", "response": "x"}], [], "mine.jsonl:1: prompt: answers no item of the benchmark"),
        ([{"id": "chat_0", "response": "x", "sample": 1}] * 2, [], "mine.jsonl:2: sample: sample 1 of chat_0 is there twice"),
        ([{"id": "chat_0", "response": "x"}], ["--length", "5"], "--length: not used with the benchmark hellobench"),
        ([{"id": "chat_0", "response": "x"}], ["--only", "poems"], "--only: no group 'poems' in hellobench; fix: use one of 'chat', "),
        ([{"id": "chat_0", "response": "x"}], ["--data", "nowhere"], "no such file; the benchmark hellobench needs it"),
    ],
)
def test_what_cannot_be_scored_is_one_line(here: Path, rows: list[dict[str, Any]], words: list[str], why: str) -> None:
    found = eval_("score", answers(here / "mine.jsonl", *rows), "--benchmark", "hellobench", *words)
    assert found.exit_code == 2
    assert why in found.output
    assert found.output.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["score", "mine.jsonl", "--judge"], "--judge: needs --benchmark"),
        (["run", "http://x/v1", "--only", "chat"], "--only: needs a benchmark that is given by its name"),
        (["run", "http://x/v1", "--benchmark", "hellobench", "--agentwrite"], "--agentwrite: not used with the benchmark hellobench"),
        (["score", "mine.jsonl", "--benchmark", "hello"], "hello: no benchmark of that name"),
        (["benchmarks", "hello"], "hello: no benchmark of that name"),
        (["official", "hello"], "hello: no benchmark of that name"),
    ],
)
def test_options_that_do_not_fit_are_one_line(here: Path, words: list[str], why: str) -> None:
    found = eval_(*words)
    assert found.exit_code == 2
    assert why in found.output


def test_cards_are_listed_shown_and_printed_as_json(here: Path) -> None:
    assert "writingbench-length" in eval_("benchmarks").stdout
    assert "known faults:" in eval_("benchmarks", "lifebench").stdout
    assert json.loads(eval_("benchmarks", "lifebench", "--json").stdout)["licence"] == "MIT"
    assert len(json.loads(eval_("benchmarks", "--json").stdout)) >= 10


def test_a_benchmarks_files_are_fetched_into_a_folder_of_their_own(here: Path) -> None:
    put(here / "mirror", made.HELLOBENCH)
    found = eval_("official", "hellobench", "--source", here / "mirror", "--folder", here / "files")
    assert found.stdout.split() == [str(here / "files" / name) for name in made.HELLOBENCH]
