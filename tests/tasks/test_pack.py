from pathlib import Path

import pytest

from tasks import pack as stage_pack
from tasks import store
from tasks.corpus.dataset import write_dataset
from tasks.endpoints.prose import paragraph
from tasks.schema.errors import BadInput, GateFailed
from tasks.schema.params import Base, Pack
from tasks.schema.records import Message, Reason, Reject, Sample

TINY = Base(model="tiny", revision="", remote_code=False)


def sample(words: int, number: int = 0) -> Sample:
    parts = words // 50
    written = [paragraph(topic="bread", language="en", words=50, part=part, parts=parts, seed=number) for part in range(1, parts + 1)]
    ask = Message(role="user", content=f"Write {words} words about bread, version {number}.")
    return Sample(
        id=f"{words}-{number}",
        messages=(ask, Message(role="assistant", content="\n\n".join(written))),
        language="en",
        asked_words=words,
        written_words=words,
        paragraphs=parts,
        source=f"pool.jsonl:{number}",
    )


def run(
    tmp_path: Path, samples: list[Sample], *, base: Base = TINY, context: int = 512, cap: float = 0.25, rejects: float = 0.0
) -> dict[str, float]:
    write_dataset(tmp_path / "dataset", samples)
    store.write_json(tmp_path / "verdict.json", {})
    (tmp_path / "out").mkdir()
    params = Pack(context=context, vocabulary=1024, control_cap=cap, max_rejects=rejects)
    return dict(stage_pack.run(tmp_path / "dataset", tmp_path / "verdict.json", tmp_path / "out", base=base, pack=params))


def test_the_control_gets_only_samples_up_to_its_cap(tmp_path: Path) -> None:
    metrics = run(tmp_path, [*(sample(100, n) for n in range(20)), *(sample(400, n) for n in range(20))])
    assert metrics["control_cap_words"] == 100
    assert 0 < metrics["control_targets"] < metrics["student_targets"] / 3
    assert metrics["student_fill"] > 0.8
    assert {path.name for path in (tmp_path / "out/packs").iterdir()} == {"student", "control"}


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


def test_a_base_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(BadInput, match="no tokenizer"):
        run(tmp_path, [sample(100)], base=Base(model=str(tmp_path / "base"), revision="", remote_code=False))
