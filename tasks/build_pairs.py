"""build_pairs: choose one answer and reject one for each prompt, by S_l and judged quality (paper, section 4.3).

The cost is one judge verdict per answer; the journal stores each. A prompt with tied answers, or with too few scored answers, is a
Reject, so prompts = pairs + rejects. bias.json records how the lengths of the answers bias the choice. If models.judge is null, the
length decides alone: S_l in fixed mode, without words in loops and repeated passages.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tasks import stage, store
from tasks.endpoints.roles import open_role
from tasks.judging.templates import read_template
from tasks.judging.verdicts import check_scored, judge_all
from tasks.schema.params import BuildPairs, Model
from tasks.schema.records import Prediction, Verdict
from tasks.training.pair_bias import length_bias
from tasks.training.pair_choice import Rated, by_length, choose, rate


def run(answers: Path, prompt: Path, out: Path, *, seed: int, build_pairs: BuildPairs, judge_model: Model | None) -> stage.Metrics:
    found = store.read_list(answers, Prediction) if answers.stat().st_size else []  # an empty file: alignment is off
    verdicts = stage.run_async(_judged(found, prompt, build_pairs, judge_model)) if found and judge_model else []
    store.write(out / "verdicts.jsonl", verdicts)
    rated = [rate(answer, verdict.rubric) for answer, verdict in zip(found, verdicts, strict=True)] if judge_model else by_length(found)
    requests = _by_request(found, rated)
    pairs, rejects = stage.split([choose(request, rated, seed=seed, margin=build_pairs.margin) for request, rated in requests])
    check_scored(verdicts, kept=out / "verdicts.jsonl")
    stage.check_reject_rate(rejects, of=len(requests), at_most=build_pairs.max_rejects)
    bias = length_bias(pairs)
    store.write(out / "pairs.jsonl", pairs)
    store.write(out / "rejects.jsonl", rejects)
    store.write_json(out / "bias.json", bias)
    reasons = Counter(f"requests_{reject.reason}" for reject in rejects)
    unscored = sum(verdict.rubric is None for verdict in verdicts) if judge_model else len(found)
    longer = {} if bias.overall is None else {"longer_chosen": bias.overall.longer_chosen}
    return {"requests": len(requests), "pairs": len(pairs), **reasons, "answers": len(found), "answers_unscored": unscored, **longer}


async def _judged(answers: Sequence[Prediction], prompt: Path, build_pairs: BuildPairs, model: Model) -> list[Verdict]:
    """One verdict per answer, in the order of the answers."""
    template = read_template(prompt)
    async with open_role("judge", model) as chat:
        return await judge_all(
            chat, answers, template=template, repeats=1, tries=build_pairs.tries, judge=str(model), second=False, label="build_pairs"
        )


def _by_request(answers: Sequence[Prediction], rated: Sequence[Rated]) -> list[tuple[Prediction, list[Rated]]]:
    """(first answer, all rated answers) of each prompt."""
    found: dict[str, tuple[Prediction, list[Rated]]] = {}
    for answer, marked in zip(answers, rated, strict=True):
        found.setdefault(answer.item.id, (answer, []))[1].append(marked)
    return list(found.values())


if __name__ == "__main__":
    stage.main(run)
