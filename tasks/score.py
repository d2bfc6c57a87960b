"""score: compute S_l, S_q and their mean S̄, overall and by length bin, language and type (paper, section 4.1). Calls no model.

Every mean has a 95% interval, in paper and fixed mode. The stage also measures the written lengths (the ruler), degeneration, and the
judge's reliability. `above_cap` tests the paper's claim: student minus control in mean S_l, over prompts that request more words than
the control's cap (control_cap times the longest requested length).
"""

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tasks import stage, store
from tasks.judging.exam_card import read_exams
from tasks.judging.judged import Judged
from tasks.judging.pairwise import tally
from tasks.judging.reliability import Gathered
from tasks.longbench.scorecard import Scorecard, flat
from tasks.longbench.scoring import Files, cards, match, score_all, write_scores
from tasks.longbench.summary import mean_s_l
from tasks.schema.params import Pack
from tasks.schema.records import Duel, Prediction, ScoredItem, Verdict


def run(predictions: Path, judged: Path, exams: Path, out: Path, *, pack: Pack) -> stage.Metrics:
    files, gathered = Files(predictions, judged / "verdicts.jsonl"), Gathered()
    is_judged = files.verdicts.stat().st_size > 0  # empty: models.judge is null
    verdicts = gathered.passing(store.read(files.verdicts, Verdict)) if is_judged else None
    matched = match(store.read(predictions, Prediction), verdicts, files)
    items = score_all(store.read(predictions, Prediction), matched)
    found = cards(items, matched, read_exams(exams))
    write_scores(out, items, found)
    duels = judged / "duels.jsonl"
    told = tally(store.read(duels, Duel) if duels.stat().st_size else ())
    store.write_json(out / "reliability.json", Judged(judge=gathered.reliability() if is_judged else None, duels=tuple(told)))
    _write_ruler(out / "ruler.csv", items)
    return {**flat(found), **_above_cap(items, found, share=pack.control_cap)}


def _above_cap(items: list[ScoredItem], cards: Mapping[str, Scorecard], *, share: float) -> dict[str, float]:
    """Each model's mean S_l above the control's cap, and `above_cap` (student minus control) if both were evaluated."""
    cap = share * max(item.asked for item in items)
    means = {model: mean_s_l([item for item in items if item.model == model], over=cap) for model in cards}
    found = {f"{model}_s_l_above_cap": value for model, value in means.items() if value is not None}
    student, control = means.get("student"), means.get("control")
    return found | ({"above_cap": student - control} if student is not None and control is not None else {})


def _write_ruler(path: Path, items: list[ScoredItem]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("model", "asked", "written", "language"))
        writer.writerows((item.model, item.asked, item.written, item.language) for item in items)


if __name__ == "__main__":
    stage.main("PREDICTIONS JUDGED EXAMS OUT", lambda params: partial(run, pack=params.pack))
