"""Recorded answers go through collect, plan and write without a call, and become drafts like any teacher's."""

from pathlib import Path

import pytest

from tasks import collect, plan, stage, store, write
from tasks.rehearsal.raw import benchmark
from tasks.schema.errors import BadInput, BadParams, GateFailed
from tasks.schema.params import Params, load
from tasks.schema.records import Draft, Instruction, Plan, Reason, Reject
from tasks.text.counts import count_words, s_l
from tests.conftest import ROOT
from tests.recorded_texts import article, good_row, topic, write_rows

BENCHMARK = ROOT / "data/raw/benchmark.jsonl"


@pytest.fixture
def params(monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.setenv("LONGWRITER_SIFTERS", "1")
    return load(ROOT / "profiles/smollm2-recorded.yaml")


def collected(folder: Path, out: Path, params: Params, **changes: object) -> tuple[stage.Metrics, list[Instruction], list[Reject]]:
    out.mkdir(parents=True, exist_ok=True)
    section = params.collect.model_copy(update=changes)
    metrics = collect.run(folder, BENCHMARK, out, seed=1, collect=section, selector_model=params.models.selector)
    rejects = store.read_list(out / "rejects.jsonl", Reject) if metrics["rejects"] else []
    return metrics, store.read_list(out / "instructions.jsonl", Instruction), rejects


def test_recorded_answers_become_drafts_with_their_origin_and_nothing_is_asked(tmp_path: Path, params: Params) -> None:
    write_rows(tmp_path / "raw/model-a/essays.jsonl", *(good_row(seed) for seed in range(12)))
    source = params.collect.sources[0].model_copy(update={"licence": "CC-BY-4.0"})
    metrics, _, rejects = collected(tmp_path / "raw", tmp_path / "collect", params, sources=[source])
    assert (metrics["rows"], metrics["instructions"], metrics["asked"], rejects) == (12, 12, 0, [])
    (tmp_path / "plan").mkdir()
    (tmp_path / "write").mkdir()
    planned = plan.run(
        tmp_path / "collect/instructions.jsonl", tmp_path, tmp_path / "plan", plan=params.plan, teacher_model=params.models.teacher
    )
    written = write.run(
        tmp_path / "plan/plans.jsonl", tmp_path / "write", write=params.write, plan=params.plan, teacher_model=params.models.teacher
    )
    plans, drafts = store.read_list(tmp_path / "plan/plans.jsonl", Plan), store.read_list(tmp_path / "write/drafts.jsonl", Draft)
    assert (planned["plans"], written["drafts"], written["rejects"]) == (12, 12, 0)
    for one, draft in zip(plans, drafts, strict=True):
        asked, text = draft.instruction, "\n\n".join(draft.paragraphs)
        assert asked.recorded is None
        assert asked.length_kind != "none"
        assert one.instruction.recorded is not None
        assert text == one.instruction.recorded.text
        assert len(draft.steps) == len(draft.paragraphs)
        assert s_l(asked.words, count_words(text)) >= 96
        assert draft.provenance is not None
        assert (draft.provenance.kind, draft.provenance.licence) == ("recorded", "CC-BY-4.0")
        assert draft.provenance.source == asked.source
        seed = int(asked.source.rpartition(":")[2]) - 1
        assert asked.source == f"recorded/model-a/essays.jsonl:{seed + 1}"
        assert article(seed, words=900).startswith(text)
    assert len({draft.instruction.words for draft in drafts}) > 4


def test_answers_that_a_draft_must_not_have_are_refused_with_a_reason(tmp_path: Path, params: Params) -> None:
    known = benchmark()[0]["prompt"]
    german = " ".join(f"Im Jahr {1700 + n} hat der Müller das Haus mit seinen {n} Kindern am Fluss neu gebaut." for n in range(40))
    rows = [
        good_row(0),
        {"prompt": "Tell me about the kilns of the coast.", "response": "The kiln burns all night and nobody sleeps. " * 150},
        {"prompt": "Tell me about the looms of the north.", "response": f"{article(3, words=300)}\n\n" * 3},
        {"prompt": "Tell me about the ships of the south.", "response": german},
        {"prompt": known, "response": article(5, words=900)},
        {"prompt": "Tell me about the bells of the west.", "response": f"I'm sorry, but I can't help with that. {article(6, words=300)}"},
        {"prompt": "Tell me about the gates of the east.", "response": ""},
        {"prompt": "Tell me about the roofs of the town.", "response": "A short answer."},
    ]
    write_rows(tmp_path / "raw/rows.jsonl", *rows)
    metrics, instructions, rejects = collected(tmp_path / "raw", tmp_path / "collect", params)
    assert [one.source for one in instructions] == ["recorded/rows.jsonl:1"]
    reasons = {int(reject.source.rpartition(":")[2]): reject.reason for reject in rejects}
    assert reasons == {
        2: Reason.REPEATED,
        3: Reason.REPEATED,
        4: Reason.LANGUAGE,
        5: Reason.CONTAMINATED,
        6: Reason.REFUSAL,
        7: Reason.EMPTY,
        8: Reason.TOO_SHORT,
    }
    assert metrics["rows"] == len(rows)


def test_thoughts_are_no_part_of_a_recorded_text(tmp_path: Path, params: Params) -> None:
    row = {"prompt": f"Tell me about {topic(1)}.", "answer": f"<think>They want a long one.</think>\n\n{article(1, words=400)}"}
    write_rows(tmp_path / "raw/rows.jsonl", row)
    _, (one,), _ = collected(tmp_path / "raw", tmp_path / "collect", params)
    assert one.recorded is not None
    assert one.recorded.text.startswith("In 1")


def test_chats_are_recorded_answers_too(tmp_path: Path, params: Params) -> None:
    turns = [{"role": "user", "content": f"Tell me about {topic(2)}."}, {"role": "assistant", "content": article(2, words=400)}]
    write_rows(tmp_path / "raw/rows.jsonl", {"messages": turns})
    _, found, _ = collected(tmp_path / "raw", tmp_path / "collect", params)
    assert len(found) == 1


def test_a_row_without_an_answer_stops_the_stage_with_its_line(tmp_path: Path, params: Params) -> None:
    write_rows(tmp_path / "raw/rows.jsonl", good_row(0), {"prompt": "Tell me about the ships of the south."})
    with pytest.raises(BadInput, match=r"rows\.jsonl:2: missing field: none of output, response"):
        collected(tmp_path / "raw", tmp_path / "collect", params)


def test_rows_that_are_all_unfit_stop_the_stage(tmp_path: Path, params: Params) -> None:
    write_rows(tmp_path / "raw/rows.jsonl", {"prompt": "Tell me about the ships.", "response": "Short."})
    with pytest.raises(GateFailed, match="none of 1 rows is fit, 1 rejected for too_short"):
        collected(tmp_path / "raw", tmp_path / "collect", params)


def test_the_teacher_and_the_section_collect_must_agree(tmp_path: Path) -> None:
    text = (ROOT / "profiles/smollm2-recorded.yaml").read_text(encoding="utf-8").replace("recorded: true", "recorded: false")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BadParams, match=r"collect\.recorded: true and models\.teacher\.name: recorded need each other"):
        load(tmp_path / "params.yaml")


def test_instructions_without_recorded_answers_are_refused_by_the_stage_plan(tmp_path: Path, params: Params) -> None:
    one = Instruction(id="a" * 16, text="Write about 100 words.", language="en", words=100, source="pool:1")
    store.write(tmp_path / "instructions.jsonl", [one])
    with pytest.raises(BadInput, match=r"has no recorded answer, and models\.teacher\.name is recorded; fix: set collect\.recorded"):
        plan.run(tmp_path / "instructions.jsonl", tmp_path, tmp_path, plan=params.plan, teacher_model=params.models.teacher)
