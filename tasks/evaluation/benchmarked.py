"""Evaluates a model, or recorded answers, on a benchmark that is a plug-in: its own items, its own score.

Writes into its folder: evaluation.json (what is evaluated, and how), predictions.jsonl, grades.jsonl (every reply of the judge),
items.jsonl (the values of each answer) and scores.json. A rerun in the same folder resumes: the journal has every reply received.
"""

import hashlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.benchmarks.answering import AskedAnswers, ask_all, by_id
from tasks.benchmarks.grading import Grade, check_graded, count_questions, grade_all
from tasks.benchmarks.interface import Benchmark, GivenAnswer, Item, Suite
from tasks.benchmarks.registry import benchmark, open_suite
from tasks.benchmarks.results import AllScores, BenchmarkScores, ScoredAnswer, collected, score_answers, sum_up
from tasks.endpoints.roles import open_role
from tasks.evaluation.answer_rows import Answered, answers_in
from tasks.evaluation.evaluate import EvaluatedModel, EvaluateOptions, begun, has_judge, model_of, resolve
from tasks.evaluation.logs import rows_of
from tasks.evaluation.recorded import models_in
from tasks.longbench.answers import decoding_of, model_with
from tasks.longbench.benchmark import BenchmarkRow
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, Params
from tasks.schema.records import Evaluation, Reject
from tasks.schema.redaction import split_url
from tasks.schema.settings import settings
from tasks.schema.standins import missing_judge
from tasks.stage import run_async

PROMPTS = ("prompt", "instruction", "query", "input")
FILES = ("predictions.jsonl", "grades.jsonl", "items.jsonl", "scores.json")
NO_ITEM, OTHER = "answers no item of the benchmark", "name another benchmark, which has the prompts of this file, or remove the row"


class Opened(NamedTuple):
    """A benchmark with its files read, restricted to some of its groups."""

    one: Benchmark
    suite: Suite

    @property
    def digest(self) -> str:
        """SHA-256 over the items."""
        return hashlib.sha256("".join(item.model_dump_json() for item in self.suite.items).encode()).hexdigest()


def opened(name: str, *, data: Path | None = None, only: str | None = None) -> Opened:
    """Reads a benchmark's fetched files. Raises BadInput if one is missing or changed, or if there is no group `only`."""
    one = benchmark(name)
    suite = open_suite(one, data)
    if only is None:
        return Opened(one, suite)
    kept = tuple(item for item in suite.items if item.group == only)
    if not kept:
        groups = dict.fromkeys(item.group for item in suite.items)
        raise BadInput("--only", f"no group {only!r} in {name}", fix=f"use one of {', '.join(map(repr, groups))}")
    return Opened(one, suite._replace(items=kept))


def evaluate_on(opened: Opened, candidate: str, out: Path, *, params: Params, options: EvaluateOptions) -> dict[str, BenchmarkScores]:
    """Asks the model, then the judge, and sums up. Raises the errors of `evaluate`."""
    candidate = split_url(candidate)
    who = resolve(candidate)
    model = run_async(model_of(who, params, options, [item.prompt for item in opened.suite.items]))
    judge = params.models.judge if options.judged and has_judge(who, model, params) else None
    asked = Evaluation(
        candidate=str(candidate),
        benchmark=opened.one.card.name,
        benchmark_sha256=opened.digest,
        format=None,
        samples=options.samples or params.predict.samples,
        method="one call",
        decoding=decoding_of(model, seed=params.seed, checkpoint=store.folder_digest(who.checkpoint) if who.checkpoint else None),
        judge=str(judge) if judge else None,
        second_judge=None,
        repeats=params.judge.repeats,
        judge_prompt_sha256=None,
    )
    evaluation = begun(asked, out, fresh=options.fresh)
    answers = AskedAnswers(store.Spool(out), store.Spool(out))
    run_async(_ask(who, opened.suite, answers, evaluation))
    answers.answers.write(out / FILES[0])
    rejects = out / "rejects.jsonl"
    rejects.unlink(missing_ok=True)
    if len(answers.refused):
        store.write(rejects, answers.refused.records(Reject))
    return _graded(opened, out, judge=judge, params=params)


def score_on(opened: Opened, answers: Path, out: Path | None, *, params: Params | None) -> dict[str, BenchmarkScores]:
    """Scores recorded answers by the benchmark's own rules and, with `params`, by their judge. Without `out` nothing is kept.

    Raises BadInput for a row that answers none of the benchmark's items, BadSettings if the judge has no endpoint.
    """
    judge = params.models.judge if params else None
    if params and (problem := missing_judge(params, settings())):
        raise BadInput("--judge", problem, fix="name a judge, or leave out --judge")
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch)
        store.write(folder / FILES[0], recorded(opened.suite, answers))
        return _graded(opened, folder, judge=judge, params=params)


def recorded(suite: Suite, path: Path) -> Iterator[GivenAnswer]:
    """Yields the recorded answers of a file, a folder of files, or a folder with one folder per model.

    A row answers the item with its prompt, or with its id. The same item again is its next sample. A model is named by its rows, else by
    its folder, else by the file. Raises BadInput with file and line for
    a row that answers no item.
    """
    finder = _Finder(suite)
    for model, own in (models_in(path) or {path.stem if path.is_file() else path.name: path}).items():
        predictions = own / FILES[0]
        for row in rows_of(predictions if predictions.is_file() else own):
            own_answers = suite.answers_of(row.data) if suite.answers_of else ()
            yield from (finder.known(answer, row, model=answer.model or model) for answer in own_answers)
            if not own_answers:
                yield from (finder.answer(answered, model=answered.model or model) for answered in answers_in(row))


class _Finder:
    """Matches recorded rows with items."""

    def __init__(self, suite: Suite):
        self._suite, self._items = suite, by_id(suite.items)
        self._by_prompt: dict[str, Item] = {}
        for item in suite.items:
            self._by_prompt.setdefault(item.prompt.strip(), item)
        self._samples: dict[tuple[str, str], set[int]] = {}

    def answer(self, found: Answered, *, model: str) -> GivenAnswer:
        row, content = found.entry, found.content
        item = self._item(row)
        return GivenAnswer(
            id=item.id,
            prompt=item.prompt,
            model=model,
            sample=self._sample(row, item, model),
            response=content.text,
            finish_reason=found.finish_reason,
            reasoning=content.reasoning,
            inline=content.inline,
        )

    def known(self, answer: GivenAnswer, row: BenchmarkRow, *, model: str) -> GivenAnswer:
        """An answer that the benchmark read itself."""
        item = self._items.get(answer.id)
        if item is None:
            raise row.bad("input", NO_ITEM, fix=OTHER)
        return answer.model_copy(update={"model": model, "prompt": item.prompt, "sample": self._sample(row, item, model)})

    def _item(self, row: BenchmarkRow) -> Item:
        for name in PROMPTS:
            if isinstance(text := row.data.get(name), str) and (item := self._by_prompt.get(text.strip())):
                return item
        if item := self._items.get(self._suite.identify(row.data)):
            return item
        raise row.bad(next((name for name in (*PROMPTS, "id", "index") if name in row.data), "prompt"), NO_ITEM, fix=OTHER)

    def _sample(self, row: BenchmarkRow, item: Item, model: str) -> int:
        taken, given = self._samples.setdefault((model, item.id), set()), row.data.get("sample")
        sample = given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else max(taken, default=-1) + 1
        if sample in taken:
            raise row.bad("sample", f"sample {sample} of {item.id} is there twice")
        taken.add(sample)
        return sample


async def _ask(who: EvaluatedModel, suite: Suite, answers: AskedAnswers, evaluation: Evaluation) -> None:
    drawn = evaluation.decoding
    async with open_role("candidate", model_with(drawn), seed=drawn.seed, checkpoint=who.checkpoint, url=who.url) as chat:
        name = drawn.name if who.url else who.name
        await ask_all(chat, suite, answers, model=name, samples=evaluation.samples, decoding=drawn)


def _graded(opened: Opened, out: Path, *, judge: Model | None, params: Params | None) -> dict[str, BenchmarkScores]:
    """Grades, scores and sums up the answers in a folder."""
    suite, items, answers = opened.suite, by_id(opened.suite.items), out / FILES[0]
    grades = store.Spool(out)
    if judge and params:
        room = max(judge.max_tokens, opened.one.judge_tokens)  # shorter replies would be cut off, and unscored
        judge = judge.model_copy(update={"max_tokens": room})
        total = count_questions(suite, items, store.read(answers, GivenAnswer), repeats=params.judge.repeats)
        if total:
            print(f"{opened.one.card.title}: {total:,} verdicts are asked of {judge}", file=sys.stderr)
            run_async(_grade(suite, items, answers, grades, total=total, judge=judge, params=params))
    grades.write(out / FILES[1])
    graded = collected(grades.records(Grade))
    store.write(out / FILES[2], score_answers(suite, items, store.read(answers, GivenAnswer), graded))
    scored = store.read_list(out / FILES[2], ScoredAnswer)
    if not scored:
        raise BadInput(answers, "no answer in it", fix="give a file with answers to the benchmark's items")
    found = sum_up(opened.one, suite, scored, graded, judge=str(judge) if judge and len(grades) else None)
    store.write_json(out / FILES[3], AllScores(found))
    check_graded(grades.records(Grade), kept=str(out / FILES[1]))
    return found


async def _grade(
    suite: Suite, items: Mapping[str, Item], answers: Path, grades: store.Spool, *, total: int, judge: Model, params: Params
) -> None:
    async with open_role("judge", judge) as chat:
        given = store.read(answers, GivenAnswer)
        await grade_all(
            chat, suite, items, given, grades, total=total, repeats=params.judge.repeats, tries=params.judge.tries, judge=str(judge)
        )
