"""score: S_l, S_q and their mean S̄, overall, by length bin, language and type (paper, section 4.1). Costs nothing.

Every mean with its 95% interval, how far the answers reach (the ruler) and how they degenerate.
Also the paper's claim in small: `above_cap`, the points of S_l that the student has over the control where more is asked
for than the control's cap, which is control_cap times the longest asked length.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from tasks import stage, store
from tasks.longbench.summary import Scorecard, flat, mean_s_l, score_item, summarise
from tasks.schema.errors import BadInput
from tasks.schema.params import Pack
from tasks.schema.records import Prediction, ScoredItem, Verdict


def run(predictions: Path, verdicts: Path, out: Path, *, pack: Pack) -> stage.Metrics:
    answers = store.read_list(predictions, Prediction)
    judged = _matched(answers, predictions, verdicts)
    items = [_scored(answer, judged[answer.item.id, answer.model]) for answer in answers]
    cards = {model: _card(model, items, judged) for model in dict.fromkeys(item.model for item in items)}
    store.write(out / "items.jsonl", items)
    store.write_json(out / "scorecard.json", {model: card.model_dump(mode="json") for model, card in cards.items()})
    _write_ruler(out / "ruler.csv", items)
    return {**flat(cards), **_above_cap(items, cards, share=pack.control_cap)}


def _scored(answer: Prediction, verdict: Verdict) -> ScoredItem:
    return score_item(answer.item, answer.model, answer.response, verdict.rubric, finish_reason=answer.finish_reason)


def _card(model: str, items: list[ScoredItem], judged: Mapping[tuple[str, str], Verdict]) -> Scorecard:
    judges = sorted({verdict.judge for verdict in judged.values() if verdict.model == model})
    return summarise([item for item in items if item.model == model], judge="; ".join(judges))


def _matched(answers: list[Prediction], predictions: Path, verdicts: Path) -> dict[tuple[str, str], Verdict]:
    """The verdict of each answer, by item and model, never by order. Raises BadInput unless they match one to one."""
    asked: set[tuple[str, str]] = set()
    for line, answer in enumerate(answers, 1):
        key = (answer.item.id, answer.model)
        if key in asked:
            raise BadInput(predictions, f"{key[0]} by {key[1]} is there twice", line=line, field="item.id", mend="run predict again")
        asked.add(key)
    judged: dict[tuple[str, str], Verdict] = {}
    for line, verdict in enumerate(store.read(verdicts, Verdict), 1):
        key = (verdict.id, verdict.model)
        if key not in asked or key in judged:
            problem = "is there twice" if key in judged else f"has no prediction in {predictions}"
            raise BadInput(verdicts, f"{key[0]} by {key[1]} {problem}", line=line, field="id", mend="run judge again")
        judged[key] = verdict
    for identity, model in sorted(asked - judged.keys()):
        raise BadInput(verdicts, f"no verdict on {identity} by {model}", field="id", mend="run judge again")
    return judged


def _above_cap(items: list[ScoredItem], cards: Mapping[str, Scorecard], *, share: float) -> dict[str, float]:
    """Mean S_l above the control's cap per model, and `above_cap`, student minus control, where both were evaluated."""
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
    stage.main(run)
