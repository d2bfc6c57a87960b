"""Evaluates a candidate model without the pipeline: takes a URL, a checkpoint folder or a registry alias, returns a scorecard.

Writes evaluation.json (what is evaluated, and how), predictions.jsonl, verdicts.jsonl, items.jsonl, scorecard.json and reliability.json
into its folder, in the formats of the pipeline's stages. A rerun in the same folder resumes: the journal has every reply received. Judge
and benchmark come from params.yaml unless the command line names others. Decoding comes from params.yaml for a checkpoint and from the
paper for a URL, unless the command line says otherwise.
"""

import hashlib
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.endpoints.roles import only_model, open_role
from tasks.evaluation.planned import check_languages, through_agentwrite
from tasks.judging.exam_card import EXAMS, read_exams
from tasks.judging.judged import judged as reliable
from tasks.judging.session import Judgement
from tasks.judging.templates import read_template
from tasks.judging.verdicts import check_scored
from tasks.longbench.adapters import read_items
from tasks.longbench.answers import Answers, Method, answer_all, decoding_of, model_with
from tasks.longbench.scorecard import Scorecard
from tasks.longbench.scoring import Files, cards, match, score_all, write_scores
from tasks.models.local import local_folder
from tasks.schema.errors import BadInput
from tasks.schema.params import PAPERS, Model, Params, load
from tasks.schema.records import BenchmarkItem, Evaluation, Prediction
from tasks.schema.redaction import split_url
from tasks.schema.settings import settings
from tasks.schema.standins import TINY, context_of, is_stand_in, is_tiny, missing_judge
from tasks.schema.urls import Url

REGISTRY = "models:/"
OF_THE_JUDGE = ("judge", "second_judge", "repeats", "judge_prompt_sha256")  # may change: the answers are kept and judged again
PAPERS_DECODING: dict[str, float] = {"temperature": 0.5, "max_tokens": 32_768}  # for LongBench-Write and the ruler (paper, section 4.1)


class EvaluateOptions(NamedTuple):
    """Options of the command line; None: use params.yaml."""

    benchmark: Path | None = None
    format: str | None = None  # format of the benchmark file, a key of adapters.ADAPTERS
    model: str | None = None  # the model's name at the URL's server
    samples: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    agentwrite: bool = False  # the candidate model plans and writes by paragraphs; sections plan and write of params.yaml
    judged: bool = True  # False: length scores only
    fresh: bool = False  # request all replies again


def params_here() -> Params:
    """Loads params.yaml. Without one, loads the profile with the paper's judge and says so in one line."""
    path = Path("params.yaml")
    if path.is_file():
        return load(path)
    found = load(PAPERS)
    judged = found.models.judge.name if found.models.judge else "nobody"
    print(f"no params.yaml here: judged by {judged}, as in the paper; `longwriter use small` writes one", file=sys.stderr)
    return found


class EvaluatedModel(NamedTuple):
    """The model that is evaluated: a URL, or a folder that the pipeline serves."""

    name: str
    url: Url | None
    checkpoint: Path | None


def evaluate(candidate: str, out: Path, *, params: Params, options: EvaluateOptions) -> Scorecard:
    """Predicts, judges and scores. Each file is written once it is complete.

    Raises BadInput if candidate or benchmark are not valid, or if `out` has another evaluation; ReplyError if no verdict could be read.
    """
    from tasks.stage import run_async

    candidate = split_url(candidate)
    benchmark = options.benchmark or Path(params.benchmark)
    items, skipped = read_items(benchmark, options.format)
    if skipped:
        print(f"{benchmark}: rows without a length that can be read, left out: {len(skipped)}, such as {skipped[0]}", file=sys.stderr)
    if options.agentwrite:
        check_languages(items)
    who = resolve(candidate)
    model = run_async(model_of(who, params, options, [item.prompt for item in items]))
    judged = options.judged and has_judge(who, model, params)
    template = Path(params.judge.prompt)
    asked = Evaluation(
        candidate=str(candidate),
        benchmark=str(benchmark),
        benchmark_sha256=_digest(items),
        format=options.format,
        samples=options.samples or params.predict.samples,
        method="agentwrite" if options.agentwrite else "one call",
        decoding=decoding_of(
            model,
            seed=params.seed,
            checkpoint=store.folder_digest(who.checkpoint) if who.checkpoint else None,
        ),
        judge=str(params.models.judge) if judged else None,
        second_judge=str(params.models.second_judge) if judged and params.models.second_judge else None,
        repeats=params.judge.repeats,
        judge_prompt_sha256=read_template(template).digest if judged else None,
    )
    evaluation = begun(asked, out, fresh=options.fresh)
    method = through_agentwrite(params.plan, params.write.text_only, max_tokens=model.max_tokens) if options.agentwrite else None
    answers, said = Answers(out), Judgement(out) if judged else None
    run_async(_predict(who, items, answers, evaluation, method))
    answers.write(out / "predictions.jsonl")
    if said:
        first, second = params.models.judge, params.models.second_judge
        run_async(said.ask(out / "predictions.jsonl", read_template(template), judge=params.judge, first=first, second=second))
    card = _score(out, said)
    if said:
        check_scored(said.verdicts(), kept=out / "verdicts.jsonl")
    return card


def folder_of(candidate: str) -> Path:
    """Returns the default folder of an evaluation: evaluations/NAME, in characters that a folder name may have."""
    candidate = split_url(candidate)
    name = (
        candidate.removeprefix(REGISTRY)
        if candidate.startswith(REGISTRY)
        else candidate.partition("://")[2] or Path(candidate).resolve().name
    )
    return Path("evaluations") / re.sub(r"[^\w.@-]+", "-", name).strip("-.")


def resolve(candidate: str) -> EvaluatedModel:
    """Resolves `http…`, `models:/NAME@ALIAS` or a checkpoint folder. Raises BadInput for anything else, and for an unknown alias."""
    candidate = split_url(candidate)
    if candidate.startswith(("http://", "https://")):
        return EvaluatedModel(str(candidate), candidate, None)
    if candidate.startswith(REGISTRY):
        from tasks.tracking.client import answering  # loads MLflow
        from tasks.tracking.registry import fetch

        with answering():
            return EvaluatedModel(candidate.removeprefix(REGISTRY), None, fetch(candidate))
    folder = Path(local_folder(candidate))
    if not (folder / "config.json").is_file():
        problem = "no config.json in it" if folder.is_dir() else "no such folder"
        raise BadInput(candidate, problem, fix=f"give a checkpoint folder, a GGUF file, a URL, or {REGISTRY}NAME@ALIAS")
    return EvaluatedModel(Path(candidate).resolve().name, None, folder)


def has_judge(who: EvaluatedModel, model: Model, params: Params) -> bool:
    """False if only a stand-in could judge a real candidate model; then prints which setting names a judge."""
    if is_tiny(who.checkpoint) if who.checkpoint else is_stand_in(model):
        return True
    if problem := missing_judge(params, settings()):
        print(problem, file=sys.stderr)
    return problem is None


async def model_of(who: EvaluatedModel, params: Params, options: EvaluateOptions, prompts: Sequence[str]) -> Model:
    """The candidate model with its decoding, and the name that the URL's server uses.

    The decoding of params.yaml is for the pipeline's own checkpoints. The decoding of a tiny student does not suit another model, which is
    decoded as in the paper within its context.
    """
    model, decoding = params.models.candidate, {}
    if who.checkpoint is None or (params.base.model == TINY and not is_tiny(who.checkpoint)):
        decoding = PAPERS_DECODING | ({"max_tokens": _room(who.checkpoint, prompts)} if who.checkpoint else {})
    given = {"temperature": options.temperature, "max_tokens": options.max_tokens, "name": options.model}
    if who.url and not options.model:
        given["name"] = await only_model(who.url, settings().api_key("candidate"))
    return Model(**(model.model_dump() | {"revision": ""} | decoding | {key: value for key, value in given.items() if value is not None}))


def _room(checkpoint: Path, prompts: Sequence[str]) -> int:
    """Tokens allowed for an answer: the paper's 32,768, or what the longest prompt leaves of the context, at one byte per token at
    worst.
    """
    context = context_of(checkpoint)
    longest = max(len(prompt.encode()) for prompt in prompts)
    return min(int(PAPERS_DECODING["max_tokens"]), max(context // 2, context - longest)) if context else int(PAPERS_DECODING["max_tokens"])


def begun(asked: Evaluation, out: Path, *, fresh: bool) -> Evaluation:
    """Returns the evaluation recorded in `out` if it matches; otherwise records the new one. Raises BadInput if `out` has another one.

    A URL does not identify the weights behind it, so replies recorded earlier must not be reused. Therefore each folder gets a random
    revision, which is part of the journal's keys.
    """
    path = out / "evaluation.json"
    if path.is_file() and not fresh:
        known = store.read_document(path, Evaluation)
        same = asked.model_copy(update={"decoding": asked.decoding.model_copy(update={"revision": known.decoding.revision})})
        for field in Evaluation.model_fields:
            if field not in OF_THE_JUDGE and getattr(known, field) != getattr(same, field):
                raise BadInput(path, "the folder holds another evaluation", field=field, fix="choose another --out, or add --fresh")
        if same != known:  # same answers; the judge changed or was added
            store.write_json(path, same)
        return same
    revision = "" if asked.decoding.checkpoint and not fresh else secrets.token_hex(4)
    begun = asked.model_copy(update={"decoding": asked.decoding.model_copy(update={"revision": revision})})
    store.write_json(path, begun)
    return begun


async def _predict(
    who: EvaluatedModel, items: Sequence[BenchmarkItem], answers: Answers, evaluation: Evaluation, method: Method | None
) -> None:
    drawn = evaluation.decoding
    async with open_role("candidate", model_with(drawn), seed=drawn.seed, checkpoint=who.checkpoint, url=who.url) as chat:
        name = drawn.name if who.url else who.name
        await answer_all(chat, items, answers, model=name, samples=evaluation.samples, decoding=drawn, method=method)


def _score(out: Path, said: Judgement | None) -> Scorecard:
    """Score the folder's predictions, by what the judges said of them."""
    files = Files(out / "predictions.jsonl", out / "verdicts.jsonl")
    for path in (files.verdicts, out / "reliability.json"):
        path.unlink(missing_ok=True)  # an earlier judge's; the journal has its replies
    if said:
        said.write_verdicts(out)
        store.write_json(out / "reliability.json", reliable(said.verdicts(), ()))
    judged = match(store.read(files.predictions, Prediction), said.verdicts() if said else None, files)
    items = score_all(store.read(files.predictions, Prediction), judged)
    found = cards(items, judged, read_exams(EXAMS))
    write_scores(out, items, found)
    (card,) = found.values()
    return card


def _digest(items: Sequence[BenchmarkItem]) -> str:
    """SHA-256 of the items, independent of the file's format and name."""
    return hashlib.sha256("".join(item.model_dump_json() for item in items).encode()).hexdigest()
