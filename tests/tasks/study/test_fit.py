"""From measured arms to the figure that git stores."""

from pathlib import Path

import pytest

from tasks import store
from tasks.longbench.benchmark import BenchmarkPrompt, item_of
from tasks.schema.errors import BadInput
from tasks.schema.params import Study
from tasks.schema.records import Decoding, Prediction
from tasks.schema.study_results import Limit
from tasks.study import fit

CAPS = [100, 200, 400]


def measured(tmp_path: Path, caps: list[int]) -> None:
    drawn = Decoding(name="student", revision="1", temperature=0.5, max_tokens=64, seed=1, checkpoint="c")
    for cap in caps:
        said = [
            Prediction(
                item=item_of(BenchmarkPrompt("Write.", asked)),
                model=f"cap-{cap}",
                response="word " * min(asked, cap + 5),
                finish_reason="stop",
                tokens=1,
                seconds=1.0,
                decoding=drawn,
            )
            for asked in (50, 100, 800)
        ]
        store.write(tmp_path / "measured" / str(cap) / "answers.jsonl", said)
        store.write_json(tmp_path / "capped" / str(cap) / "metrics.json", {"samples": cap, "longest": cap - 1, "packs": 3})


def run(tmp_path: Path, caps: list[int]) -> dict[str, float]:
    (tmp_path / "out").mkdir()
    study = Study(texts="t", ruler="r", caps=caps, over="drop", passes=1)
    return dict(fit.run(tmp_path / "capped", tmp_path / "measured", tmp_path / "plots", tmp_path / "out", study=study))


def test_figure_numbers_and_lines_are_written_for_the_caps_of_params(tmp_path: Path) -> None:
    measured(tmp_path, [*CAPS, 9999])
    metrics = run(tmp_path, CAPS)
    assert (metrics["arms"], metrics["rising"], metrics["longest_slope"]) == (3, 1, pytest.approx(1.0))
    assert metrics["ceiling_slope"] < 1.0  # of three answers, 95% is between the two longest
    kept = tmp_path / "plots/study.json"
    found = store.read_document(kept, Limit)
    assert [(one.cap, one.trained, one.longest) for one in found.arms] == [(100, 99, 105), (200, 199, 205), (400, 399, 405)]
    assert found.temperature == 0.5
    assert (tmp_path / "plots/study.csv").read_text().count("\n") == 4
    svg = (tmp_path / "plots/study.svg").read_text()
    assert "longest answer: 5 + 1.00" in svg
    assert "95% of the answers within" in svg
    assert "cap on the training outputs" in svg


def test_an_arm_that_was_not_measured_is_named(tmp_path: Path) -> None:
    measured(tmp_path, CAPS)
    with pytest.raises(BadInput, match=r"measured/800/answers\.jsonl: no such file"):
        run(tmp_path, [*CAPS, 800])
