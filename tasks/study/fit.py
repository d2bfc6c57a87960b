"""fit: longest, ceiling and mean output length against the cap, with fitted lines (paper, section 2). No model calls.

The figure, its numbers and the lines are kept in git. Only the arms in `study.caps` are used, even if others were measured.
"""

from functools import partial
from pathlib import Path

from tasks import plots as draw
from tasks import stage, store
from tasks.schema.params import Study
from tasks.schema.records import External, Prediction
from tasks.schema.study_results import Arm, Limit
from tasks.study.limit import ArmTraining, arm, limit, said, table


class Capped(External):
    """The metrics of the stage cap that are used here."""

    samples: int
    longest: int


def run(capped: Path, measured: Path, plots: Path, out: Path, *, study: Study) -> stage.Metrics:
    """Fit the lines and write study.json, study.csv and study.svg. Returns slopes and their standard errors."""
    found = _limit(capped, measured, study)
    store.write_json(plots / "study.json", found)
    store.write_text(plots / "study.csv", table(found))
    store.write_text(plots / "study.svg", draw.limit(found, label=lambda name, line: f"{name}: {said(line)}"))
    store.write_json(out / "study.json", found)
    lines = {"longest": found.longest, "ceiling": found.ceiling, "mean": found.mean}
    print("; ".join(f"{name}: {said(line)}" for name, line in lines.items()), flush=True)
    slopes = {f"{name}_slope": line.slope for name, line in lines.items() if line}
    errors = {f"{name}_slope_error": line.slope_error for name, line in lines.items() if line and line.slope_error is not None}
    return {"arms": len(found.arms), "rising": int(found.rising), **slopes, **errors}


def _limit(capped: Path, measured: Path, study: Study) -> Limit:
    answers = {cap: store.read_list(measured / str(cap) / "answers.jsonl", Prediction) for cap in study.caps}
    drawn = next(iter(answers.values()))[0].decoding
    arms = [_arm(cap, capped, found, study.passes) for cap, found in answers.items()]
    return limit(arms, temperature=drawn.temperature if drawn else None)


def _arm(cap: int, capped: Path, answers: list[Prediction], passes: int) -> Arm:
    trained = store.read_document(capped / str(cap) / "metrics.json", Capped)
    return arm(cap, ArmTraining(samples=trained.samples, longest=trained.longest), answers, passes=passes)


if __name__ == "__main__":
    stage.main("CAPPED MEASURED PLOTS OUT", lambda params: partial(run, study=params.study))
