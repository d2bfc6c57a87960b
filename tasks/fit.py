"""fit: longest and mean output against the cap on the training outputs, with the lines through them (paper, section 2). Costs nothing.

The figure, its numbers and the lines are kept in git; the arms are those of `study.caps`, whatever else was measured before.
"""

from pathlib import Path

from tasks import stage, store
from tasks.reporting import plots as draw
from tasks.schema.params import Study
from tasks.schema.records import Prediction
from tasks.study.limit import Arm, Limit, Trained, arm, limit, said, table


def run(capped: Path, measured: Path, plots: Path, out: Path, *, study: Study) -> stage.Metrics:
    found = _limit(capped, measured, study)
    store.write_json(plots / "study.json", found)
    store.write_text(plots / "study.csv", table(found))
    store.write_text(plots / "study.svg", _figure(found))
    store.write_json(out / "study.json", found)
    print(f"longest answer: {said(found.longest)}; mean answer: {said(found.mean)}", flush=True)
    lines = {"longest": found.longest, "mean": found.mean}
    slopes = {f"{name}_slope": line.slope for name, line in lines.items() if line}
    errors = {f"{name}_slope_error": line.slope_error for name, line in lines.items() if line and line.slope_error is not None}
    return {"arms": len(found.arms), "rising": int(found.rising), **slopes, **errors}


def _figure(found: Limit) -> str:
    points = {
        "longest answer": [(one.cap, float(one.longest), 0.0) for one in found.arms],
        "mean answer": [(one.cap, one.mean, one.mean_error) for one in found.arms],
    }
    lines = {name: (line.intercept, line.slope) for name, line in zip(points, (found.longest, found.mean), strict=True) if line}
    told = {name: f"{name}: {said(line)}" for name, line in zip(points, (found.longest, found.mean), strict=True)}
    return draw.limit(points, lines=lines, labels=told)


def _limit(capped: Path, measured: Path, study: Study) -> Limit:
    answers = {cap: store.read_list(measured / str(cap) / "answers.jsonl", Prediction) for cap in study.caps}
    drawn = next(iter(answers.values()))[0].decoding
    return limit([_arm(cap, capped, found) for cap, found in answers.items()], temperature=drawn.temperature if drawn else None)


def _arm(cap: int, capped: Path, answers: list[Prediction]) -> Arm:
    metrics = store.read_json(capped / str(cap) / "metrics.json")
    return arm(cap, Trained(samples=metrics["samples"], longest=metrics["longest"]), answers)


if __name__ == "__main__":
    stage.main(run)
