from collections.abc import Sequence
from pathlib import Path

import pytest

from tasks import pack as stage_pack
from tasks import store
from tasks.corpus.dataset import GENERAL, write_dataset
from tasks.schema.errors import BadInput, GateFailed
from tasks.schema.params import Base, Pack
from tasks.schema.records import Message, Reason, Reject, Sample
from tasks.text.traces import TraceBlock, interleave
from tasks.training.conversations import IGNORED
from tasks.training.packing import HELD_OUT, read_packs, read_rows
from tasks.training.tokenizer import load_tokenizer
from tests.tasks.model_files import model
from tests.tasks.models.marked_templates import GOOD, marked
from tests.tasks.pack_samples import TINY, sample


def run(
    tmp_path: Path,
    samples: list[Sample],
    *,
    general: Sequence[Sample] = (),
    base: Base = TINY,
    context: int = 512,
    cap: float = 0.25,
    held_out: int = 0,
    rejects: float = 0.0,
) -> dict[str, float]:
    write_dataset(tmp_path / "dataset", samples, traced=any(sample.trace for sample in samples))
    write_dataset(tmp_path / "general", general, card=GENERAL)
    store.write_json(tmp_path / "verdict.json", {})
    (tmp_path / "out").mkdir()
    params = Pack(context=context, vocabulary=1024, control_cap=cap, held_out=held_out, max_rejects=rejects)
    paths = [tmp_path / name for name in ("dataset", "general", "verdict.json", "out")]
    return dict(stage_pack.run(*paths, base=base, pack=params))


def test_the_control_gets_only_samples_up_to_its_cap(tmp_path: Path) -> None:
    metrics = run(tmp_path, [*(sample(100, n) for n in range(20)), *(sample(400, n) for n in range(20))])
    assert metrics["control_cap_words"] == 100
    assert 0 < metrics["control_targets"] < metrics["student_targets"] / 3
    assert metrics["student_fill"] > 0.8
    assert {path.name for path in (tmp_path / "out/packs").iterdir()} == {"student", "control"}


def traced(words: int, number: int) -> Sample:
    one = sample(words, number)
    parts = one.messages[-1].content.split("\n\n")
    return one.model_copy(update={"trace": interleave([TraceBlock(f"Part {n}.", part) for n, part in enumerate(parts)])})


def test_traces_are_trained_on_with_their_thoughts_and_count_towards_the_context(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [traced(100, number) for number in range(20)]
    metrics = {}
    for name, given in (("plain", [row.model_copy(update={"trace": None}) for row in rows]), ("traced", rows)):
        (tmp_path / name).mkdir()
        metrics[name] = run(tmp_path / name, given, cap=0)
    assert metrics["traced"]["student_targets"] > metrics["plain"]["student_targets"]
    assert metrics["traced"]["longest_answer"] > 0
    assert "tiny: its chat template has no thinking form; its thoughts are trained in <think> and </think>" in capsys.readouterr().out
    packs = read_packs(tmp_path / "traced/out/packs/student")
    tokenizer = load_tokenizer(Base(model=str(tmp_path / "traced/out/tokenizer"), revision="", remote_code=False)).tokenizer
    texts = "".join(tokenizer.decode([token for token in pack["labels"] if token != IGNORED]) for pack in packs)
    assert all((row.trace or "") in texts for row in rows)


def test_a_trace_that_does_not_give_back_its_answer_is_a_reject(tmp_path: Path) -> None:
    other = traced(100, 9).model_copy(update={"trace": "<think>\nA plan.\n</think>\n\nBread."})
    rows = [*(traced(100, number) for number in range(9)), other]
    metrics = run(tmp_path, rows, cap=0, rejects=0.2)
    (reject,) = store.read(tmp_path / "out/rejects.jsonl", Reject)
    assert (reject.id, reject.reason, metrics["rejects"]) == ("100-9", Reason.UNREADABLE_TRACE, 1)
    assert reject.detail == "without its thoughts the trace is not the answer in messages"


def test_held_out_texts_are_in_no_pack_and_the_same_in_any_order_of_the_rows(tmp_path: Path) -> None:
    rows = [sample(100, n) for n in range(20)]
    for folder, given in (("one", rows), ("other", rows[::-1])):
        (tmp_path / folder).mkdir()
        assert run(tmp_path / folder, given, general=[sample(100, n) for n in range(20, 24)], cap=1.0, held_out=3)["held_out"] == 3
    apart = {folder: [row["ids"] for row in read_rows(tmp_path / folder / "out/packs" / HELD_OUT)] for folder in ("one", "other")}
    assert sorted(apart["one"]) == sorted(apart["other"])
    held_out = {name for ids in apart["one"] for name in ids}
    for trainee in ("student", "control"):
        trained = {name for row in read_packs(tmp_path / "one/out/packs" / trainee) for name in row["ids"]}
        assert not held_out & trained
    assert len(held_out) == 3
    assert held_out <= {row.id for row in rows}


def test_holding_out_every_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"pack\.held_out is 5, and only 5 long texts") as error:
        run(tmp_path, [sample(100, n) for n in range(5)], held_out=5)
    assert error.value.fix == "lower pack.held_out"


def test_no_cap_means_no_control(tmp_path: Path) -> None:
    metrics = run(tmp_path, [sample(100, n) for n in range(20)], cap=0)
    assert [path.name for path in (tmp_path / "out/packs").iterdir()] == ["student"]
    assert not [name for name in metrics if name.startswith("control")]


def test_a_sample_over_the_context_is_a_reject_and_never_cut(tmp_path: Path) -> None:
    metrics = run(tmp_path, [*(sample(100, n) for n in range(39)), sample(1600)], rejects=0.05)
    (reject,) = store.read(tmp_path / "out/rejects.jsonl", Reject)
    assert (reject.id, reject.reason) == ("1600-0", Reason.TOO_LONG)
    assert reject.detail.endswith("the context has 512")
    assert metrics["samples"] == 40


def test_more_rejects_than_params_allow_stop_the_stage(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="too_long"):
        run(tmp_path, [*(sample(100, n) for n in range(39)), sample(1600)], rejects=0.01)


def test_a_base_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(BadInput, match=r"config\.json: no such file; fix: check base\.model"):
        run(tmp_path, [sample(100)], base=Base(model=str(tmp_path / "base"), revision="", remote_code=False))


def test_a_row_that_the_chat_template_does_not_render_is_a_reject(tmp_path: Path) -> None:
    """Its system turn would be lost, or the template says no."""
    made = model(tmp_path / "model", marked(GOOD, system="{% if m.content == 'Be kind.' %}{{ raise_exception('no system') }}{% endif %}"))
    rows = [sample(50, number) for number in range(3)]
    for number, said in ((1, "Be brief."), (2, "Be kind.")):
        rows[number] = rows[number].model_copy(update={"messages": (Message(role="system", content=said), *rows[number].messages)})
    base = Base(model=str(made), revision="", remote_code=False)
    metrics = run(tmp_path, rows, base=base, context=1024, cap=0, rejects=0.7)
    rejects = list(store.read(tmp_path / "out/rejects.jsonl", Reject))
    assert (metrics["samples"], metrics["rejects"]) == (3, 2)
    assert [(reject.reason, reject.detail) for reject in rejects] == [
        (Reason.UNRENDERABLE, "the chat template leaves out the system turn"),
        (Reason.UNRENDERABLE, "the chat template refuses the conversation: no system"),
    ]


def test_general_chats_are_packed_with_the_long_texts(tmp_path: Path) -> None:
    chats = [sample(50, 100 + n).model_copy(update={"asked_words": None}) for n in range(10)]
    metrics = run(tmp_path, [sample(100, n) for n in range(20)], general=chats, cap=0)
    assert (metrics["samples"], metrics["general"]) == (30, 10)
    packed = [name for pack in read_packs(tmp_path / "out/packs/student") for name in pack["ids"]]
    assert sorted(packed) == sorted([*(f"100-{n}" for n in range(20)), *(f"50-{100 + n}" for n in range(10))])
    assert not list((tmp_path / "out").glob(".*")), "no scratch file is left"


def test_a_dataset_without_samples_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="dataset: no samples in it"):
        run(tmp_path, [])


def test_samples_that_are_all_over_the_context_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"every sample is longer than 64 tokens, 2 in all; fix: raise pack\.context"):
        run(tmp_path, [sample(400, 1), sample(400, 2)], context=64, rejects=1.0)
