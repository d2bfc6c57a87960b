"""`longwriter eval score` as users call it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tasks.evaluation import compare
from tasks.evaluation.__main__ import app
from tasks.evaluation.recorded import score_recorded
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput
from tests.commands import called
from tests.conftest import NOT_HERE, ROOT, SHARED

GOLDEN = {
    "gpt4o_0806": (69.55, 23.25, 1.93, 0.00),
    "llama31_70b": (54.55, 6.44, 1.39, 0.74),
    "mistral_large_api": (66.78, 34.43, 8.06, 0.37),
    "qwen2_72b": (35.31, 0.81, 0.00, 0.00),
    "suri_7b": (59.41, 42.47, 16.16, 9.89),
}
# S_l of made answers of half the words and of all of them, each with 30 words of headings: 100 (1 - (L / w - 1) / 2) and
# 100 (1 - (w / L - 1) / 3).
MADE = {"half": (52.91, 51.48, 50.74, 50.37), "exact": (99.5, 99.75, 99.88, 99.94)}


def score(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return called(app, ("score", *arguments))


def rows(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
    return path


@NOT_HERE
@pytest.mark.slow  # the next one scores the same outputs all at once
@pytest.mark.parametrize(
    ("model", "thousands", "expected"), [(m, k, v) for m, row in GOLDEN.items() for k, v in zip((2, 4, 8, 16), row, strict=True)]
)
def test_recorded_outputs_of_real_models_have_their_known_scores(model: str, thousands: int, expected: float) -> None:
    path = SHARED / "hellobench" / "length_constrained" / model / f"heuristic_text_generation_{thousands}k_results.jsonl"
    card = summarise(list(score_recorded(path, length=1000 * thousands)))
    assert round(card.s_l, 2) == expected
    assert card.unscored == card.items
    assert (card.s_q, card.s_bar) == (None, None)


def known(data: Path) -> Mapping[str, tuple[float, ...]]:
    """S_l of each model at 2,000 to 16,000 words: HelloBench's table, or that of the made answers."""
    return GOLDEN if data == SHARED else MADE


def test_one_command_over_all_models_prints_hellobenchs_table(data: Path) -> None:
    done = score(data / "hellobench" / "length_constrained", "--format", "hellobench")
    shown = {cells[0]: cells[-4:] for line in done.stdout.splitlines() if "│" in line and len(cells := line.replace("│", " ").split()) > 4}
    assert {model: tuple(map(float, shown[model])) for model in known(data)} == known(data)


def test_one_call_over_a_models_folder_gives_its_row_of_hellobenchs_table(data: Path) -> None:
    model = sorted(known(data))[-1]
    items = list(score_recorded(data / "hellobench" / "length_constrained" / model, format="hellobench"))
    assert {(item.model, item.sample) for item in items} == {(model, 0)}
    reached = summarise(items).by_asked
    assert [reach.asked for reach in reached] == [2000, 4000, 8000, 16000]
    assert tuple(round(reach.s_l, 2) for reach in reached) == known(data)[model]


def models(folder: Path, **answers: str) -> Path:
    for name, answer in answers.items():
        (folder / name).mkdir(parents=True)
        rows(folder / name, *({"prompt": f"p {length}", "response": answer, "length": length} for length in (2, 4)))
    return folder


def test_a_folder_for_each_model_becomes_a_table_a_row_each_and_a_column_for_each_asked_length(tmp_path: Path) -> None:
    folder = models(tmp_path / "all", one="a b", other="a b c d")
    done = score(folder)
    assert done.returncode == 0, done.stderr
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    assert [(cells[0], cells[1], *cells[-2:]) for cells in lines] == [("one", "2", "100.00", "50.00"), ("other", "2", "66.67", "100.00")]
    found = json.loads(score(folder, "--json").stdout.splitlines()[-1])
    assert {name: card["s_l"] for name, card in found.items()} == {"one": 75.0, "other": pytest.approx(83.333, abs=0.001)}


def test_recorded_models_can_be_compared_once_their_scores_are_kept(tmp_path: Path) -> None:
    assert score(models(tmp_path / "all", one="a b", other="a b c d"), "--out", tmp_path / "kept").returncode == 0
    found = compare(f"{tmp_path / 'kept'}:other", f"{tmp_path / 'kept'}:one")
    assert (found.items, found.rows[0].difference) == (2, pytest.approx(8.333, abs=0.001))


def test_rows_of_which_none_states_a_length_are_no_scorecard(tmp_path: Path) -> None:
    path = rows(tmp_path, {"instruction": "An essay.", "response": "r"})
    done = score(path, "--format", "hellobench")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"error: {path}:1: no row states a length that can be read")


def test_the_last_line_is_one_json_object(tmp_path: Path) -> None:
    path = rows(tmp_path, {"prompt": "p", "response": "one two", "length": 2}, {"instruction": "写", "output": "", "more": [1]})
    done = score(path, "--length", "4000", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["items"], found["s_l"], found["s_q"], found["unscored"]) == (2, 50.0, None, 2)
    assert {name: group["s_l"] for name, group in found["by_bin"].items()} == {"[0,500)": 100.0, "[4000,20000]": 0.0}
    assert set(found["by_language"]) == {"en", "zh"}


def test_people_get_a_table(tmp_path: Path) -> None:
    done = score(rows(tmp_path, {"prompt": "p", "response": "one two", "length": 2, "type": "[red]News"}))
    assert done.returncode == 0, done.stderr
    for shown in ("overall", "100.00", "[0,500)", "[red]News", "no judge"):
        assert shown in done.stdout


def test_a_rows_own_length_goes_before_the_one_for_all(tmp_path: Path) -> None:
    path = rows(tmp_path, {"prompt": "p", "response": "one two", "length": 2}, {"prompt": "p", "response": "one two"})
    assert [item.asked for item in score_recorded(path, length=7)] == [2, 7]


def test_the_same_prompt_again_is_its_next_sample(tmp_path: Path) -> None:
    one, other = {"prompt": "p", "response": "a b", "length": 2}, {"prompt": "q", "response": "a", "length": 2}
    found = list(score_recorded(rows(tmp_path, one, other, one, one)))
    assert [item.sample for item in found] == [0, 0, 1, 2]
    assert len({item.id for item in found}) == 2


def test_an_answer_that_is_there_twice_is_named_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    row = {"prompt": "Write.", "response": "Good.", "length": 5}
    (tmp_path / "model/a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"response": "Better."}) + "\n")
    (tmp_path / "model/b.jsonl").write_text("\n" + json.dumps(row) + "\n")
    done = score(tmp_path / "model")
    assert done.returncode == 0
    assert "answers given twice, word for word, that count as two samples: 1, " in done.stderr
    assert f"{tmp_path / 'model/b.jsonl'}:2 is a.jsonl:1" in done.stderr
    sampled = rows(tmp_path, row | {"sample": 0}, row | {"sample": 1})
    assert "twice" not in score(sampled).stderr


def test_items_in_other_languages_are_named_counted_and_out_of_the_means_of_english(tmp_path: Path) -> None:
    russian = {"prompt": "Напиши о реке пять слов, пожалуйста.", "response": "Река течёт мимо старого дома.", "length": 5}
    thai = {"prompt": "เขียนเกี่ยวกับแม่น้ำ", "response": "แม่น้ำไหลผ่านหมู่บ้าน", "length": 4}
    english = {"prompt": "Write five words about a river.", "response": "It flows past a house.", "length": 5}
    done = score(rows(tmp_path, english, russian, thai), "--json")
    card = json.loads(done.stdout.splitlines()[-1])
    assert {name: (group["s_l"], group["fixed"]["s_l"]) for name, group in card["by_language"].items()} == {
        "en": (100, 100),
        "ru": (0, 100),
        "th": (0, 100),
    }
    assert "of ru, th read S_l fixed, not S_l paper" in " ".join(score(tmp_path / "predictions.jsonl").stdout.split())


def test_a_length_for_all_with_a_format_that_reads_lengths_is_refused(tmp_path: Path) -> None:
    path = rows(tmp_path, {"query": "About 500 words.", "response": "r"})
    with pytest.raises(BadInput, match=r"length: not used with the format writingbench, .*; fix: leave out"):
        list(score_recorded(path, length=400, format="writingbench"))


def test_a_table_of_models_says_where_they_answered_other_prompts(tmp_path: Path) -> None:
    folder = models(tmp_path / "all", one="a b", other="a b c d")
    assert "did not answer the same prompts" not in score(folder).stdout
    rows(folder / "other", {"prompt": "p 2", "response": "a", "length": 2})
    shown = " ".join(score(folder).stdout.split())
    assert "The models did not answer the same prompts: 1 are common to all, and each row is over its model's own (one 2, other 1)" in shown


def test_ids_samples_and_plans_of_a_row_are_taken_as_they_are(tmp_path: Path) -> None:
    row = {"prompt": "p", "response": "Bees make honey.", "length": 3, "id": "item-7", "plan": [{"point": "honey of bees", "words": 3}]}
    found = list(score_recorded(rows(tmp_path, row | {"sample": 3}, row, row | {"sample": 0, "plan": None})))
    assert [(item.id, item.sample) for item in found] == [("item-7", 3), ("item-7", 4), ("item-7", 0)]
    assert [item.adherence and (item.adherence.steps, item.adherence.covered, item.adherence.s_l) for item in found] == [
        (1, 1.0, 100.0),
        (1, 1.0, 100.0),
        None,
    ]


@pytest.mark.integration
def test_odd_answers_are_scored_and_not_refused(tmp_path: Path) -> None:
    answers = ["", " \n", "!!! 123 ...", "word " * 2_000_000, "字" * 3_400_000]
    found = list(score_recorded(rows(tmp_path, *({"prompt": "p", "response": answer, "length": 1000} for answer in answers))))
    assert [(item.written, item.s_l) for item in found] == [(0, 0.0), (0, 0.0), (0, 0.0), (2_000_000, 0.0), (3_400_000, 0.0)]


def test_rows_without_a_readable_length_are_refused_or_counted(tmp_path: Path) -> None:
    path = rows(tmp_path, {"query": "About 500 words.", "response": "r"}, {"query": "A speech of ten minutes.", "response": "r"})
    skipped: list[str] = []
    assert [item.asked for item in score_recorded(path, format="writingbench", skipped=skipped)] == [500]
    assert skipped == [f"{path}:2"]
    with pytest.raises(BadInput, match=r":2: length: the row states no length that can be read"):
        list(score_recorded(path, format="writingbench"))


FINE = {"prompt": "p", "response": "r", "length": 5}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), ": empty file"),
        ((FINE, b'{"prompt": "p", "resp'), ":2: torn last line"),
        ((b'{"prompt": "\xff"}\n',), ":1: invalid UTF-8 at byte 12"),
        ((FINE, b'{"prompt": "p", "response": "\\udc00", "length": 5}\n'), ":2: a lone surrogate escape"),
        ((FINE, {"prompt": "p", "length": 5}), ":2: response: missing field"),
        ((FINE, {"response": "r", "length": 5}), ":2: prompt: missing field"),
        ((FINE, {"prompt": "p", "response": "r"}), ":2: length: missing field; fix: add it to the row, or give one for all: --length 4000"),
        ((FINE, FINE | {"length": -1}), ":2: length: -1, but a length is positive"),
        ((FINE, FINE | {"length": 0}), ":2: length: 0, but a length is positive"),
        ((FINE, FINE | {"length": "5"}), ":2: length: not a whole number: '5'"),
        ((FINE, FINE | {"response": None}), ":2: response: not a string: None"),
        ((FINE, FINE | {"response": ["r"]}), ":2: response: not a string: ['r']"),
        ((FINE, [1]), ":2: a JSON list, not an object"),
        ((FINE | {"id": "a"}, FINE | {"id": "a", "prompt": "q"}), ":2: id: a is the id of another ask in an earlier row"),
        ((FINE | {"sample": 1}, FINE | {"sample": 1}), ":2: sample: sample 1 of "),
        ((FINE, FINE | {"sample": -1}), ":2: sample: not a whole number from 0: -1"),
        ((FINE, FINE | {"id": ["a"]}), ":2: id: not a string: ['a']"),
        ((FINE, FINE | {"plan": [{"point": "p"}]}), ":2: plan.0.words: missing field"),
        ((FINE, FINE | {"plan": "1. p"}), ":2: plan: Input should be a valid "),
        ((b"prompt,response\n",), ":1: not JSON: "),
    ],
)
def test_what_cannot_be_scored_is_one_line_with_its_place_and_the_mend(tmp_path: Path, lines: tuple[object, ...], message: str) -> None:
    path = rows(tmp_path, *lines)
    done = score(path, "--json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: {path}{message}")
    assert "; " in done.stderr


@pytest.mark.parametrize("length", ["0", "-4000", "4k", "1.5"])
def test_a_length_for_all_that_is_none_is_refused(tmp_path: Path, length: str) -> None:
    done = score(rows(tmp_path, FINE), f"--length={length}")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: --length: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = score(tmp_path / "none.jsonl", "--length=4000")
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path / 'none.jsonl'}: no such file; fix: check the path\n")


def test_scoring_imports_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "mlflow", "great_expectations", "prefect", "openai", "datasets", "pandas", "pyarrow", "dvc"]
    code = f"import sys, tasks.evaluation.__main__; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
