"""Files of other tools are read as recorded answers: inspect_ai, lm-evaluation-harness, evalscope, the paper's own scripts."""

import json
from pathlib import Path
from typing import Any

import pytest
from backports.zstd import zipfile

from tasks.evaluation.api import score
from tasks.evaluation.recorded import Recorded, models_in, read_recorded
from tasks.schema.errors import BadInput
from tests.tasks.evaluation.inspect_logs import BREAD, RYE, TEXT, archive, document, failed, header, sample

THOUGHT = [{"type": "reasoning", "reasoning": "eight words", "redacted": False}, {"type": "text", "text": TEXT}]
TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": RYE}]
SAMPLES = (sample("b", BREAD, TEXT), sample(2, TURNS, THOUGHT, length=9), sample("b", BREAD, f"{TEXT} Twice.", epoch=2))


def brief(found: Recorded) -> tuple[str, str, int, int, str, str, str, str]:
    item = found.item
    return item.id, item.prompt, item.length, found.sample, found.response, found.reasoning, found.finish_reason, found.model


@pytest.mark.parametrize("kind", ["zstandard", "deflated", "running", "json", "folder", "folder of json"])
def test_logs_of_inspect_are_read(tmp_path: Path, kind: str) -> None:
    match kind:
        case "json" | "folder of json":
            path = document(tmp_path / "log.json", *SAMPLES)
        case "deflated":
            path = archive(tmp_path / "log.eval", *SAMPLES, compression=zipfile.ZIP_DEFLATED)
        case _:
            path = archive(tmp_path / "log.eval", *SAMPLES, start_only=kind == "running")
    found = [brief(one) for one in read_recorded(tmp_path if kind.startswith("folder") else path)]
    assert found == [
        ("b", BREAD, 8, 0, TEXT, "", "max_tokens", "openai/gpt-4o"),
        ("2", RYE, 9, 0, TEXT, "eight words", "max_tokens", "openai/gpt-4o"),
        ("b", BREAD, 8, 1, f"{TEXT} Twice.", "", "max_tokens", "openai/gpt-4o"),
    ]


def test_logs_of_several_models_have_a_scorecard_each(tmp_path: Path) -> None:
    archive(tmp_path / "a.eval", SAMPLES[0])
    archive(tmp_path / "b.eval", SAMPLES[0], model="vllm/other")
    assert list(score(tmp_path).cards) == ["openai/gpt-4o", "vllm/other"]


def test_a_sample_that_failed_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = archive(
        tmp_path / "log.eval", SAMPLES[0], failed("c", "Write.", "Connection\nrefused"), failed("d", "Write.", "Connection\nrefused")
    )
    assert [one.item.id for one in read_recorded(path)] == ["b"]
    told = capsys.readouterr().err
    assert told == f"{path}: samples that failed and have no answer, left out: 2, such as c (2 Connection refused)\n"


def test_attachments_are_put_back(tmp_path: Path) -> None:
    one = sample("b", "attachment://p", "attachment://t", attachments={"p": BREAD, "t": TEXT})
    (found,) = read_recorded(archive(tmp_path / "log.eval", one))
    assert (found.item.prompt, found.response) == (BREAD, TEXT)


def test_an_archive_that_is_cut_off_is_one_line(tmp_path: Path) -> None:
    path = archive(tmp_path / "log.eval", *SAMPLES)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadInput, match=r"log\.eval: not a whole archive: .*; fix: run the evaluation again") as raised:
        list(read_recorded(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", json.dumps(header()), "a log of inspect_ai without samples; fix: give the whole log"),
        ("a.json", "[1]", "entry 1 is no object"),
        ("a.json", "5", "not an object or a list of objects"),
        ("a.json", "{\n", "not JSON: "),
    ],
)
def test_a_document_that_is_no_log_is_one_line(tmp_path: Path, name: str, content: str, why: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=why):
        list(read_recorded(tmp_path / name))


def test_another_archive_is_no_log(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "table.xlsx", "w") as file:
        file.writestr("workbook.xml", "<x/>")
    with pytest.raises(BadInput, match=r"table\.xlsx: a ZIP archive that is no log of inspect_ai"):
        list(read_recorded(tmp_path / "table.xlsx"))


def test_a_json_list_of_answers_is_read(tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text(json.dumps([{"prompt": BREAD, "length": 8, "response": TEXT}], indent=1))
    assert [one.response for one in read_recorded(tmp_path / "answers.json")] == [TEXT]


def lm_eval_row(doc: dict[str, Any], filter: str, sent: str) -> dict[str, Any]:
    """A row of samples_*.jsonl as lm_eval 0.4.13 writes it."""
    arguments = {"gen_args_0": {"arg_0": sent, "arg_1": {"until": []}}}
    own = {"doc_id": 0, "doc": doc, "target": "", "arguments": arguments, "resps": [[TEXT, "Rye."]], "filtered_resps": [[TEXT, "Rye."]]}
    return {**own, "filter": filter, "metrics": ["bypass"], "doc_hash": "5f", "prompt_hash": "64", "target_hash": "e3", "bypass": None}


@pytest.mark.parametrize(
    ("doc", "sent"),
    [
        ({"prompt": BREAD, "length": 8}, f"Please: {BREAD}"),
        ({"question": "?", "length": 8}, BREAD),
        ({"question": "?", "length": 8}, json.dumps([{"role": "user", "content": BREAD}])),
    ],
)
def test_samples_of_lm_evaluation_harness_are_read_once_whatever_its_filters(tmp_path: Path, doc: dict[str, Any], sent: str) -> None:
    path = tmp_path / "samples_mine.jsonl"
    path.write_text("".join(json.dumps(lm_eval_row(doc, filter, sent)) + "\n" for filter in ("none", "strip")))
    found = list(read_recorded(path))
    assert [(one.item.prompt, one.item.length, one.sample, one.response) for one in found] == [(BREAD, 8, 0, TEXT), (BREAD, 8, 1, "Rye.")]


def test_a_work_folder_of_evalscope_is_read_once(tmp_path: Path) -> None:
    """Rows as evalscope 1.14.1 writes them: predictions and reviews have the same answers."""
    message = {"id": "u", "content": TEXT, "source": "generate", "role": "assistant", "tool_calls": None, "model": "qwen"}
    turns = [{"id": "q", "content": BREAD, "source": None, "role": "user", "tool_call_id": None}, message]
    output = {"id": "x", "model": "qwen", "choices": [{"message": message, "stop_reason": "stop", "logprobs": None}], "error": None}
    prediction = {"index": 0, "model": "qwen", "model_output": output, "messages": turns, "agent_trace": None, "metadata": {}}
    review = {"index": 0, "target": None, "messages": turns, "sample_score": {"score": {"value": {}}, "sample_id": 0}}
    for name, row in (("predictions", prediction), ("reviews", review)):
        (tmp_path / name / "qwen").mkdir(parents=True)
        (tmp_path / name / "qwen" / "general_qa_mine.jsonl").write_text(json.dumps(row) + "\n")
    assert list(models_in(tmp_path)) == ["predictions/qwen"]
    found = score(tmp_path, length=8)
    assert (list(found.cards), found.card.answers, found.card.s_l) == (["qwen"], 1, 100.0)


def official(folder: Path, *, totals: bool = True) -> Path:
    """pred.jsonl and judge.jsonl as the paper's scripts write them: one answer was not judged, one lacks a dimension."""
    folder.mkdir()
    names = ("Relevance", "Accuracy", "Coherence", "Clarity", "Breadth and Depth", "Reading Experience")
    rows = [{"prompt": f"Write {n} words.", "type": "News", "length": n, "response_length": 8, "response": TEXT} for n in (4, 8, 16)]
    (folder / "pred.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = [{**rows[1], "scores": {"Analysis": "x", **dict.fromkeys(names, 5)}}, {**rows[0], "scores": dict.fromkeys(names[:5], 4)}]
    last = [{**dict.fromkeys(names, 81.25), "total": 83.3}] if totals else []
    (folder / "judge.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*judged, *last)))
    return folder


def test_the_official_scripts_scores_stand_beside_ours(tmp_path: Path) -> None:
    found = score(official(tmp_path / "LongWriter-9B"))
    (own,) = found.official.values()
    assert found.card.answers == 3  # judge.jsonl has two of them again
    assert (own.answers, own.judged, own.total) == (3, 2, 83.3)
    assert own.s_l == pytest.approx((100 * (1 - (2 - 1) / 3) + 100 + 100 * (1 - (2 - 1) / 2)) / 3) == pytest.approx(found.card.s_l)
    five = [((5 + 4) / 2 - 1) * 25] * 5
    assert own.s_q == pytest.approx(sum([*five, ((5 + 3) / 2 - 1) * 25]) / 6)  # the missing dimension counts 3 there
    assert found.card.s_q is None  # and is not taken over


def test_judge_jsonl_alone_is_read_without_its_totals(tmp_path: Path) -> None:
    folder = official(tmp_path / "m")
    found = score(folder / "judge.jsonl")
    assert (found.card.answers, [own.judged for own in found.official.values()]) == (2, [2])


def test_the_official_folders_of_several_models_are_told_apart(tmp_path: Path) -> None:
    for name in ("LongWriter-8B", "LongWriter-9B"):
        official(tmp_path / name, totals=name.endswith("9B"))
    found = score(tmp_path)
    assert {name: card.answers for name, card in found.cards.items()} == {"LongWriter-8B": 3, "LongWriter-9B": 3}
    assert [own.total for own in found.official.values()] == [None, 83.3]
