"""build_pairs: choose one answer and reject one for each prompt, by S_l and judged quality (paper, section 4.3).

The cost is one judge verdict per answer; the journal stores each. A prompt with tied answers, or with too few scored answers, is a
Reject, so prompts = pairs + rejects. bias.json records how the lengths of the answers bias the choice. If models.judge is null, the
length decides alone: S_l in fixed mode, without words in loops and repeated passages.

`build_pairs.general` adds preference pairs of other datasets, `ratio` of them for each of the student's own pairs. They are cleaned and
checked like general chats, and follow the student's pairs in pairs.jsonl.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple

from tasks import stage, store
from tasks.corpus.general_pairs import fit_pairs
from tasks.corpus.likeness import scored_on
from tasks.corpus.mixing import Wanted, mixed
from tasks.endpoints.roles import open_role
from tasks.judging.templates import read_template
from tasks.judging.verdicts import check_scored, judge_all
from tasks.schema.params import BuildPairs, Collect, Model
from tasks.schema.records import Pair, Prediction, Reject, Rubric, Verdict
from tasks.training.pair_bias import length_bias
from tasks.training.pair_choice import by_length, choose, rate


class _Judged(NamedTuple):
    """An answer by its place in its file, and its verdict."""

    start: int  # byte
    rubric: Rubric | None


def run(
    answers: Path,
    prompt: Path,
    folder: Path,
    benchmark: Path,
    out: Path,
    *,
    seed: int,
    collect: Collect,
    build_pairs: BuildPairs,
    judge_model: Model | None,
) -> stage.Metrics:
    """`folder` and `benchmark`: local files of the general sources, and what pairs are compared with to keep the benchmark out."""
    verdicts, pairs, rejects, reasons = store.Spool(out), store.Spool(out), store.Spool(out), Counter[str]()
    wanted = answers.stat().st_size > 0  # else params want no alignment
    if wanted and judge_model:
        stage.run_async(_judge(answers, verdicts, prompt, build_pairs, judge_model))
    requests = _by_request(answers, verdicts if judge_model else None) if wanted else {}
    for place, judged in enumerate(requests.values()):
        found = [store.read_at(answers, one.start, Prediction) for one in judged]
        rated = [rate(answer, one.rubric) for answer, one in zip(found, judged, strict=True)] if judge_model else by_length(found)
        made = choose(found[0], rated, seed=seed, margin=build_pairs.margin)
        (rejects if isinstance(made, Reject) else pairs).put(place, made)
        reasons.update([f"requests_{made.reason}"] if isinstance(made, Reject) else [])
    verdicts.write(out / "verdicts.jsonl")
    check_scored(verdicts.records(Verdict), kept=out / "verdicts.jsonl")
    stage.check_reject_rate(rejects.records(Reject), of=len(requests), at_most=build_pairs.max_rejects)
    bias = length_bias(pairs.records(Pair))
    store.write_json(out / "bias.json", bias)
    general = Wanted(Pair, "build_pairs", "general pairs", round(build_pairs.general.ratio * len(pairs)))
    found_pairs = fit_pairs(build_pairs.general, folder, scored_on(benchmark, folder, collect)) if general.number else ()
    with mixed(general, found_pairs, out, seed=seed) as mix:
        store.write(out / "pairs.jsonl", chain(pairs.records(Pair), mix.taken()))
        store.write(out / "rejects.jsonl", chain(rejects.records(Reject), _counted(mix.rejects(), reasons)))
    answered = sum(map(len, requests.values()))
    unscored = sum(one.rubric is None for judged in requests.values() for one in judged)
    longer = {} if bias.overall is None else {"longer_chosen": bias.overall.longer_chosen}
    counts = {"requests": len(requests), "pairs": len(pairs), "general_pairs": general.number, **reasons}
    return {**counts, "answers": answered, "answers_unscored": unscored, **longer}


def _counted(rejects: Iterator[Reject], reasons: Counter[str]) -> Iterator[Reject]:
    """`rejects`, counted by reason: rows of the general sources = general_pairs + these."""
    for reject in rejects:
        reasons[f"general_{reject.reason}"] += 1
        yield reject


async def _judge(answers: Path, verdicts: store.Spool, prompt: Path, build_pairs: BuildPairs, model: Model) -> None:
    """One verdict on each answer, in the answers' order."""
    template, given = read_template(prompt), store.read(answers, Prediction)
    ask = partial(judge_all, count=store.count(answers), template=template, repeats=1, tries=build_pairs.tries, second=False)
    async with open_role("judge", model) as chat:
        await ask(chat, given, verdicts, judge=str(model), label="build_pairs")


def _by_request(answers: Path, verdicts: store.Spool | None) -> dict[str, list[_Judged]]:
    """The answers to each prompt, in their order, with their verdicts if there is a judge. Memory holds no texts."""
    found: dict[str, list[_Judged]] = {}
    rubrics = repeat(None) if verdicts is None else (verdict.rubric for verdict in verdicts.records(Verdict))
    for (start, answer), rubric in zip(store.placed(answers, Prediction), rubrics, strict=verdicts is not None):
        found.setdefault(answer.item.id, []).append(_Judged(start, rubric))
    return found


if __name__ == "__main__":
    stage.main(
        "ANSWERS PROMPT FOLDER BENCHMARK OUT",
        lambda params: partial(
            run, seed=params.seed, collect=params.collect, build_pairs=params.build_pairs, judge_model=params.models.judge
        ),
    )
