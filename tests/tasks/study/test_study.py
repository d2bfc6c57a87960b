"""A small real study: two arms are capped, trained, measured on the ruler over HTTP, and fitted. The arm with longer data writes longer."""

import json
from pathlib import Path

import pytest

from tasks import store, train
from tasks.corpus.dataset import write_dataset
from tasks.schema.params import Model, Pack, Predict, Study, load
from tasks.schema.study_results import Limit
from tasks.study import cap, fit, measure
from tests.conftest import ROOT
from tests.tasks.pack_samples import TINY, sample

CAPS = [100, 400]
PASSES = 2
CANDIDATE = Model(name="student", revision="1", temperature=0.5, max_tokens=1024)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_ceiling_rises_with_the_cap(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", [sample(words, number) for number in range(60) for words in (100, 200, 400)])
    asked = [
        {"prompt": f"Write {words} words about bread, version {number}.", "length": words}
        for words in (100, 400)
        for number in (90, 91, 92)
    ]
    (tmp_path / "ruler.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    study = Study(texts="t", ruler="r", caps=CAPS, over="drop", passes=PASSES)
    recipe = load(ROOT / "profiles/rehearsal.yaml").train
    for words in CAPS:
        capped, trained, measured = (tmp_path / name / str(words) for name in ("capped", "trained", "measured"))
        for folder in (capped, trained, measured):
            folder.mkdir(parents=True)
        pack = Pack(context=512, vocabulary=1024, control_cap=0.0, held_out=0, max_rejects=0.0)
        store.write_json(capped / "metrics.json", dict(cap.run(tmp_path / "dataset", words, capped, base=TINY, pack=pack, study=study)))
        train.run(capped / "packs", capped / "tokenizer", trained, seed=42, base=TINY, train=recipe)
        ruler = tmp_path / "ruler.jsonl"
        once = Predict(version=2, samples=1, base=False)
        measure.run(ruler, trained / "checkpoints", PASSES, measured, seed=42, predict=once, candidate_model=CANDIDATE)
    (tmp_path / "out").mkdir()
    metrics = fit.run(tmp_path / "capped", tmp_path / "measured", tmp_path / "plots", tmp_path / "out", study=study)
    kept = tmp_path / "plots/study.json"
    found = store.read_document(kept, Limit)
    assert metrics["rising"] == 1
    assert found.arms[0].longest <= 200 < found.arms[1].longest
    assert found.arms[0].ceiling <= 200 < found.arms[1].ceiling
    assert found.mean
    assert found.mean.slope > 0
