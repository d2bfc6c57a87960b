"""A finished run, small: a data folder as the stages leave it."""

import json
from pathlib import Path

from tasks import store
from tasks.corpus.dataset import write_dataset
from tasks.judging.judged import judged
from tasks.longbench.summary import summarise
from tasks.schema.contract_results import ContractVerdict, Outcome
from tasks.schema.records import (
    Answer,
    BenchmarkItem,
    Decoding,
    Duel,
    Language,
    Message,
    Pair,
    Prediction,
    Reason,
    Reject,
    Rubric,
    Sample,
    ScoredItem,
    Served,
    Verdict,
)
from tasks.text.counts import s_l
from tasks.tracking.gate import Axis, Decision
from tasks.training.pair_bias import length_bias


def finished_run(data: Path, *, hostile: str = "", scored: bool = True) -> Path:
    """A data folder as the stages leave it, small; `hostile` is put wherever data may contain text."""
    languages: tuple[Language, Language] = ("en", "zh")
    messages = (Message(role="user", content="Write."), Message(role="assistant", content="So be it."))
    samples = [
        Sample(id=f"s{n}", messages=messages, language=languages[n // 50 % 2], asked_words=n, written_words=n, paragraphs=1, source="f:1")
        for n in range(100, 900, 50)
    ]
    (data / "assemble").mkdir(parents=True)
    write_dataset(data / "assemble/dataset", samples)
    write_evaluation(data, languages, hostile, scored)
    seen = {"collect": [Reason.SHORT_ASK, Reason.SHORT_ASK, Reason.TOXIC], "assemble": [Reason.TOO_SHORT], "pack": []}
    for stage, reasons in seen.items():
        rejects = [Reject(id=None, stage=stage, reason=reason, detail=hostile, source="f:1") for reason in reasons]
        store.write(data / stage / "rejects.jsonl", rejects)
        store.write_json(data / stage / "metrics.json", {"rejects": len(rejects), "prompt_tokens": 12_345})
    outcome = Outcome(
        name="unique_ids", severity="critical", meaning=hostile or "no id twice", success=True, observed=None, unexpected_count=0, ids=()
    )
    for stage, title in {"validate_instructions": "Instructions", "validate_drafts": "Drafts", "validate_dataset": "Training set"}.items():
        store.write_json(
            data / stage / "verdict.json", ContractVerdict(name=stage, title=title, passed=True, rows=16, expectations=(outcome,))
        )
    axes = (Axis(name="s_bar", value=None, bound=50.0, passed=False), Axis(name="unscored", value=0.0, bound=0.02, passed=True))
    reason = hostile or "not all axes hold"
    runs = {"training_run": "run-1", "evaluation_run": "run-2"}
    decision = Decision(
        version="2", model="student", alias="challenger", passed=False, axes=axes, reason=reason, champion_before="1", **runs
    )
    store.write_json(data / "promote/decision.json", decision)
    history = [{"model": model, "step": step, "loss": 5 / step} for model in ("student", "control") for step in (1, 2, 3)]
    store.write_json(data / "build_pairs/bias.json", length_bias([preference(asked, hostile) for asked in (100, 200, 800)]))
    store.write(data / "build_pairs/rejects.jsonl", [])
    steps = [{"model": "aligned", "step": step, "loss": 0.6 / step, "reward_chosen": 0.1 * step, "margin": 0.2 * step} for step in (1, 2)]
    (data / "align").mkdir()
    (data / "align/history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in steps))
    (data / "reinforce").mkdir()
    (data / "reinforce/history.jsonl").write_text("")
    (data / "train").mkdir()
    (data / "train/history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
    return data


def preference(asked: int, hostile: str) -> Pair:
    chosen, rejected = (Answer(text=hostile, ended=True, words=words, s_l=90.0, s_q=60.0) for words in (asked, asked // 2))
    return Pair(id=str(asked), prompt=(Message(role="user", content=hostile),), asked=asked, chosen=chosen, rejected=rejected)


def write_evaluation(data: Path, languages: tuple[Language, Language], hostile: str, scored: bool) -> None:
    items, predictions = [], []
    for model, limit in (("student", 900), ("aligned", 850), ("control", 200)):
        for place, asked in enumerate((100, 200, 400, 800)):
            language, kind = languages[place % 2], hostile or "News"
            item = BenchmarkItem(id=f"b{place}", prompt=f"Ask {hostile}", type=kind, length=asked, language=language)
            written = min(asked, limit)
            answer = f"{hostile} " + "word " * written
            predictions.append(
                Prediction(
                    item=item,
                    model=model,
                    response=answer,
                    finish_reason="stop",
                    tokens=written,
                    seconds=0.1,
                    reasoning=f"First I think. {hostile}",
                )
            )
            score, quality = s_l(asked, written), 60.0 if scored else None
            items.append(
                ScoredItem(id=item.id, model=model, type=kind, language=language, asked=asked, written=written, s_l=score, s_q=quality)
            )
    store.write(data / "predict/predictions.jsonl", predictions)
    store.write(data / "score/items.jsonl", items)
    cards = {model: summarise([item for item in items if item.model == model]) for model in ("student", "aligned", "control")}
    store.write_json(data / "score/scorecard.json", {model: card.model_dump(mode="json") for model, card in cards.items()})
    write_judged(data, [item.id for item in items[:4]], hostile)


def write_judged(data: Path, ids: list[str], hostile: str) -> None:
    fair, poor = (Rubric(**dict.fromkeys(Rubric.model_fields, score)) for score in (4, 2))
    said = {"model": "student", "replies": ("r",), "problem": None}
    verdicts = [Verdict(id=own, repeat=n, rubric=fair, judge=f"j {hostile}", **said) for own in ids for n in (0, 1)]  # type: ignore[arg-type]
    verdicts += [Verdict(id=own, second=True, rubric=poor, judge=f"k {hostile}", **said) for own in ids]  # type: ignore[arg-type]
    sides = {"a": "student", "b": "control", "judge": "j", "replies": ("r", "r"), "problem": None}
    duels = [Duel(id=own, a_first="a", b_first="a" if n else "b", **sides) for n, own in enumerate(ids)]  # type: ignore[arg-type]
    store.write_json(data / "score/reliability.json", judged(verdicts, duels))
    store.write_json(data / "evaluate_general/general.json", {"student": {f"mmlu {hostile}": 0.5}})
    decoding = Decoding(name="student", revision="1", temperature=0.5, max_tokens=64, seed=1, checkpoint="c")
    drawn = {"version": "2", "alias": "challenger", "asked": 10_000, "written": 9_876, "s_l": 99.4, "tokens": 12_000, "seconds": 1.5}
    ended = {"finish_reason": "stop", "problem": hostile or None, "template": "t", "decoding": decoding}
    store.write_json(data / "serve/served.json", Served(**drawn, **ended))  # type: ignore[arg-type]


def with_base(data: Path) -> Path:
    """The same run with the base model as a candidate that wrote half of what the student did."""
    items = store.read_list(data / "score/items.jsonl", ScoredItem)
    items += [
        item.model_copy(update={"model": "base", "written": item.written // 2, "s_l": s_l(item.asked, item.written // 2)})
        for item in items
        if item.model == "student"
    ]
    models = dict.fromkeys(item.model for item in items)
    cards = {model: summarise([item for item in items if item.model == model]) for model in models}
    store.write(data / "score/items.jsonl", items)
    store.write_json(data / "score/scorecard.json", {model: card.model_dump(mode="json") for model, card in cards.items()})
    return data
