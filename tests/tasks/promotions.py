"""Candidates with scores, and runs of the stage promote, for tests."""

import json
from pathlib import Path
from typing import Any

from tasks import promote, store
from tasks.corpus.dataset import write_dataset
from tasks.longbench.summary import summarise
from tasks.schema.params import Promote, load
from tasks.schema.records import Degeneration, FixedLength, Message, Sample, ScoredItem
from tasks.tracking import registry
from tasks.tracking.client import connect, names
from tasks.tracking.gate import Decision

GATE = Promote(
    mode="paper",
    min_s_bar=50.0,
    min_s_l=60.0,
    min_gain_over_champion=0.0,
    max_group_loss=5.0,
    max_unscored=0.02,
    max_repetition=0.5,
    max_length_variation=None,
    judge_exam=None,
    min_general={},
)
ASKED = (100, 300, 600, 1500, 2500, 3500, 5000, 9000)


def candidate(folder: Path, *, weights: bytes, s_bar: float | None, judge: str = "j", more: int = 0, only: int = 8) -> Path:
    """What train, score, evaluate_general and assemble leave behind, small. `more` is added to the asked lengths of the same items."""
    for model in ("student", "control"):
        (folder / "train/checkpoints" / model).mkdir(parents=True)
        (folder / "train/checkpoints" / model / "model.safetensors").write_bytes(weights + model.encode())
        (folder / "train/checkpoints" / model / "config.json").write_text("{}")
    steps = [{"model": model, "step": step, "loss": 5.0 / step} for model in ("student", "control") for step in (1, 2, 3)]
    (folder / "train/history.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    items = [
        scored(model, asked, s_bar if model == "student" else 30.0, more) for model in ("student", "control") for asked in ASKED[:only]
    ]
    (folder / "score").mkdir()
    store.write(folder / "score/items.jsonl", items)
    cards = {model: summarise([item for item in items if item.model == model], judge=judge) for model in ("student", "control")}
    store.write_json(folder / "score/scorecard.json", {model: card.model_dump(mode="json") for model, card in cards.items()})
    (folder / "general.json").write_text('{"student": {"mmlu": 0.61}}')
    words = (Message(role="user", content="Write."), Message(role="assistant", content="So be it."))
    sample = Sample(id="a", messages=words, language="en", asked_words=3, written_words=3, paragraphs=1, source="pool:1")
    write_dataset(folder / "dataset", [sample])
    return folder


def scored(model: str, asked: int, s_bar: float | None, more: int) -> ScoredItem:
    s_q = None if s_bar is None else 2 * s_bar - 80.0 + asked / 1000
    decay = Degeneration(repetition=0.1, looped=0.0, unfinished=False, switches=0)
    fixed = FixedLength(written=asked, least=asked, most=asked, s_l=75.0)
    whole: dict[str, Any] = {"type": "News", "language": "zh" if asked % 500 else "en", "asked": asked + more, "written": asked}
    return ScoredItem(id=f"i{asked}", model=model, s_l=80.0, s_q=s_q, degeneration=decay, fixed=fixed, **whole)


def run(folder: Path, *, served: bool = True, **bounds: Any) -> Decision:
    """The stage promote; a version that passes is then taken as served, unless the test says otherwise."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    params = load()
    inputs = (folder / "train", folder / "align", folder / "reinforce", folder / "score", folder / "general.json", folder / "dataset", out)
    given: dict[str, Any] = {"seed": params.seed, "base": params.base, "pack": params.pack, "train": params.train, "align": params.align}
    given["reinforce"] = params.reinforce
    promote.run(*inputs, **given, promote=GATE.model_copy(update=bounds))
    decision = Decision.model_validate_json((out / "decision.json").read_text())
    if served and decision.alias == "champion":
        registry.make_champion(decision.version, tags={"served": "2000 of 2000 words"})
    return decision


def aliases() -> dict[str, str]:
    return registry.holders()


def state() -> tuple[dict[str, str], list[tuple[str, str, dict[str, str]]]]:
    """All that the registry says: aliases, and each version's description and tags."""
    versions = connect().search_model_versions(f"name = '{names().model}'")
    return aliases(), sorted((str(one.version), one.description or "", dict(one.tags)) for one in versions)
