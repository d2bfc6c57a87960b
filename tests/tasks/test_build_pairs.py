"""The build_pairs stage with the rehearsal's judge over HTTP: every prompt becomes a pair or a Reject, the same in any order."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tasks import build_pairs, store
from tasks.longbench.benchmark import BenchmarkPrompt, item_of
from tasks.schema.errors import GateFailed
from tasks.schema.params import BuildPairs, GeneralPairs, Model, Source, load
from tasks.schema.records import Pair, Prediction, Reason, Reject, Verdict
from tasks.training.pair_bias import LengthBias
from tests.conftest import ROOT

JUDGE = Model(name="rehearsal-judge", revision="1", temperature=0.5, max_tokens=500)
COLLECT = load(ROOT / "profiles/rehearsal.yaml").collect
BENCHMARK = "Explain how a canal lock lifts a boat, in about 500 words."
PARAMS = BuildPairs(version=1, prompt="tasks/prompts/judge.txt", tries=2, margin=0.0, max_rejects=0.5)


def run(
    tmp_path: Path, answers: Sequence[Prediction], *, seed: int = 1, params: BuildPairs = PARAMS, judge: Model | None = JUDGE
) -> tuple[dict[str, float], dict[str, Pair], list[Reject]]:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    store.write(folder / "answers.jsonl", answers)
    (folder / "benchmark.jsonl").write_text(json.dumps({"prompt": BENCHMARK, "length": 500}) + "\n")
    inputs = (folder / "answers.jsonl", ROOT / PARAMS.prompt, tmp_path, folder / "benchmark.jsonl")
    metrics = build_pairs.run(*inputs, folder, seed=seed, collect=COLLECT, build_pairs=params, judge_model=judge)
    pairs, rejects = folder / "pairs.jsonl", folder / "rejects.jsonl"
    kept = store.read_list(pairs, Pair) if pairs.stat().st_size else []
    return dict(metrics), {pair.id: pair for pair in kept}, store.read_list(rejects, Reject) if rejects.stat().st_size else []


def answers(request: str, *words: int, ended: bool = True) -> list[Prediction]:
    item = item_of(BenchmarkPrompt(f"Write 100 words about {request}.", 100, id=request))
    return [
        Prediction(
            item=item,
            model="student",
            sample=number,
            response=" ".join([f"{request} text {number}"] + ["word"] * (count - 2)),
            finish_reason="stop" if ended else "length",
            tokens=count,
            seconds=1.0,
        )
        for number, count in enumerate(words)
    ]


SAID = [*answers("owls", 100, 30, 250, 60), *answers("bread", 20, 90, 300, 40), *answers("salt", 50, 50, ended=False)]


def test_requests_in_are_pairs_and_rejects_out(tmp_path: Path) -> None:
    metrics, pairs, rejects = run(tmp_path, SAID)
    assert (metrics["requests"], metrics["pairs"], metrics["answers"], metrics["answers_unscored"]) == (3, 2, 10, 0)
    assert metrics["requests_truncated"] == len(rejects) == 1
    assert (rejects[0].id, rejects[0].reason) == ("salt", Reason.TRUNCATED)
    for pair in pairs.values():
        chosen, rejected = ((side.s_l or 0) + (side.s_q or 0) for side in (pair.chosen, pair.rejected))
        assert chosen > rejected
        assert pair.prompt[-1].content == f"Write 100 words about {pair.id}."


def test_verdicts_and_bias_are_kept(tmp_path: Path) -> None:
    run(tmp_path, SAID)
    assert len(store.read_list(tmp_path / "0/verdicts.jsonl", Verdict)) == 10
    bias = store.read_document(tmp_path / "0/bias.json", LengthBias)
    assert bias.overall
    assert bias.overall.pairs == 2


def test_the_pairs_are_the_same_in_any_order_of_the_answers(tmp_path: Path) -> None:
    _, pairs, _ = run(tmp_path, SAID)
    assert run(tmp_path, random.Random(5).sample(SAID, len(SAID)))[1] == pairs
    assert run(tmp_path, SAID[:4])[1] == {"owls": pairs["owls"]}, "nor do other requests matter"
    others = [run(tmp_path, SAID, seed=seed)[1]["owls"].rejected for seed in range(2, 8)]
    assert any(other != pairs["owls"].rejected for other in others)


def test_more_rejects_than_params_allow_stop_the_stage(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="1 of 3 records rejected"):
        run(tmp_path, SAID, params=PARAMS.model_copy(update={"max_rejects": 0.2}))


def test_without_answers_there_are_no_pairs_and_nobody_is_asked(tmp_path: Path) -> None:
    metrics, pairs, rejects = run(tmp_path, [])
    none = {"requests": 0, "pairs": 0, "general_pairs": 0, "answers": 0, "answers_unscored": 0}
    assert (metrics, pairs, rejects) == (none, {}, [])


def test_without_a_judge_the_length_decides_and_a_loop_is_no_length(tmp_path: Path) -> None:
    (looping,) = answers("owls", 4)
    looping = looping.model_copy(update={"sample": 9, "response": "It was the only thing that he knew and that he wanted. " * 9})
    honest = looping.model_copy(update={"sample": 1, "response": " ".join("x" * (number + 1) for number in range(70))})
    metrics, pairs, _ = run(tmp_path, [looping, honest], judge=None)
    assert metrics["answers_unscored"] == 2
    assert pairs["owls"].chosen.words == 70
    assert pairs["owls"].chosen.s_q is None
    bias = store.read_document(tmp_path / "0/bias.json", LengthBias)
    assert bias.overall
    assert (bias.overall.pairs, bias.overall.s_q, bias.overall.score) == (1, None, None)


GENERAL: list[dict[str, object]] = [
    {"prompt": f"What is number {n} on the list?", "chosen": f"Number {n} is a bird of the sea.", "rejected": "A bird."} for n in range(30)
]
UNFIT: list[tuple[dict[str, object], Reason]] = [
    ({"prompt": BENCHMARK, "chosen": "The water rises, and the boat with it.", "rejected": "It rises."}, Reason.CONTAMINATED),
    ({"prompt": "Help me.", "chosen": "I'm sorry, but I can't help with that request.", "rejected": "Of course."}, Reason.REFUSAL),
    ({"prompt": "What is it?", "chosen": "It is a bird.", "rejected": "It is a bird.\u200b"}, Reason.TIED),
    ({"prompt": "What is it?", "chosen": "It is a bird.", "rejected": "No.", "score_chosen": 7.0, "score_rejected": 7.0}, Reason.TIED),
    ({"prompt": "What now?", "chosen": "Now we wait.", "rejected": "\u200b"}, Reason.EMPTY),
    (GENERAL[3], Reason.DUPLICATE),
    ({"prompt": "What now?", "answer": "Now we wait."}, Reason.MALFORMED),
]


def mixing(folder: Path, *, ratio: float) -> BuildPairs:
    (folder / "pairs").mkdir()
    rows = [*GENERAL, *(row for row, _ in UNFIT)]
    (folder / "pairs/general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Source(name="birds", files=["pairs/general.jsonl"], format="auto", adapter="auto", revision="", licence="CC0-1.0")
    return PARAMS.model_copy(update={"general": GeneralPairs(ratio=ratio, sources=[source])})


def test_general_pairs_follow_the_own_ones_at_the_ratio_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    metrics, pairs, rejects = run(tmp_path, SAID, params=mixing(tmp_path, ratio=6))
    general = [pair for pair in pairs.values() if pair.source]
    assert [pair.asked for pair in pairs.values()] == [100, 100, *[None] * 12], "the student's own come first"
    assert (metrics["pairs"], metrics["general_pairs"], len(general)) == (2, 12, 12)
    counted = sum(value for name, value in metrics.items() if name.startswith("general_")) - 12
    assert counted == len([reject for reject in rejects if reject.source.startswith("birds")]) == len(GENERAL) + len(UNFIT) - 12
    assert sorted(reject.reason for reject in rejects if reject.source.startswith("birds") and reject.reason != Reason.NOT_DRAWN) == sorted(
        reason for _, reason in UNFIT
    )
    (folder,) = (path for path in tmp_path.iterdir() if (path / "bias.json").exists())
    bias = store.read_document(folder / "bias.json", LengthBias)
    assert bias.overall
    assert bias.overall.pairs == 2, "the length bias is that of the student's own pairs"
    assert not list(folder.glob(".*fit.jsonl"))


def test_a_ratio_that_the_sources_cannot_serve_stops_the_stage(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="the ratio asks for 200 general pairs, the sources have 30 that are fit; lower build_pairs"):
        run(tmp_path, SAID, params=mixing(tmp_path, ratio=100))


def test_without_own_pairs_no_general_pair_is_read(tmp_path: Path) -> None:
    params = PARAMS.model_copy(
        update={
            "general": GeneralPairs(
                ratio=5, sources=[Source(name="no", files=["no.jsonl"], format="auto", adapter="auto", revision="", licence="x")]
            )
        }
    )
    assert run(tmp_path, [], params=params)[0]["general_pairs"] == 0
