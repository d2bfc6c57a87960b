"""The study's packs: the samples within the cap, and a count of all others."""

from pathlib import Path
from typing import Literal

import pytest

from tasks.corpus.dataset import write_dataset
from tasks.schema.errors import BadInput, GateFailed
from tasks.schema.params import Base, Pack, Study
from tasks.study import cap
from tasks.training.packing import read_packs
from tests.tasks.pack_samples import TINY, sample


def run(tmp_path: Path, words: int, *, context: int = 512, base: Base = TINY, over: Literal["drop", "cut"] = "drop") -> dict[str, float]:
    if not (tmp_path / "dataset").exists():
        write_dataset(tmp_path / "dataset", [sample(length, number) for number in range(10) for length in (100, 400)])
    out = tmp_path / f"out-{words}"
    out.mkdir()
    params = Pack(context=context, vocabulary=1024, control_cap=0.0, held_out=0, max_rejects=0.0)
    study = Study(texts="t", ruler="r", caps=[words], over=over, passes=1)
    return dict(cap.run(tmp_path / "dataset", words, out, base=base, pack=params, study=study))


def test_texts_are_samples_within_the_cap_and_those_over_it(tmp_path: Path) -> None:
    metrics = run(tmp_path, 200)
    assert (metrics["texts"], metrics["samples"], metrics["over_cap"], metrics["rejects"], metrics["longest"]) == (20, 10, 10, 0, 100)
    assert [path.name for path in (tmp_path / "out-200/packs").iterdir()] == ["cap-200"]
    ids = [name for row in read_packs(tmp_path / "out-200/packs/cap-200") for name in row["ids"]]
    assert sorted(ids) == sorted(f"100-{number}" for number in range(10))


def test_texts_over_the_cap_are_cut_behind_a_sentence_where_params_say_so(tmp_path: Path) -> None:
    metrics = run(tmp_path, 200, over="cut")
    assert (metrics["texts"], metrics["samples"], metrics["over_cap"], metrics["cut"]) == (20, 20, 0, 10)
    assert 150 < metrics["longest"] <= 200


def test_all_arms_have_the_same_tokenizer(tmp_path: Path) -> None:
    run(tmp_path, 200)
    run(tmp_path, 400)
    one, other = ((tmp_path / f"out-{words}/tokenizer/tokenizer.json").read_bytes() for words in (200, 400))
    assert one == other


def test_a_cap_that_leaves_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="none of its 20 texts has at most 50 words"):
        run(tmp_path, 50)


def test_more_texts_over_the_context_than_params_allow_stop_the_stage(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="too_long"):
        run(tmp_path, 400, context=64)
