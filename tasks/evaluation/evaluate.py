"""The evaluator on its own: a URL, a checkpoint folder or a registry alias in, a scorecard out.

What it writes into its folder: evaluation.json (what is evaluated, and how), predictions.jsonl, verdicts.jsonl, items.jsonl,
scorecard.json and reliability.json, as the pipeline's stages do. Started again in the same folder it goes on where it stopped: the
journal has every answer that came. Who judges and which benchmark: params.yaml, unless the command line says otherwise. How to decode:
the same for a checkpoint, whose context params.yaml knows; behind a URL as the paper does, unless the command line says otherwise.
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
from tasks.judging.judged import judged as reliable
from tasks.judging.session import judge_answers
from tasks.judging.templates import read_template
from tasks.judging.verdicts import check_scored
from tasks.longbench.adapters import read_items
from tasks.longbench.answers import Method, Refused, answer_all, decoding_of, write_refused
from tasks.longbench.scorecard import Scorecard
from tasks.longbench.scoring import Files, Judged, cards, match, score_all, write_scores
from tasks.schema.errors import BadInput
from tasks.schema.params import PAPERS, Model, Params, load
from tasks.schema.records import BenchmarkItem, Evaluation, Prediction, Reject, Verdict
from tasks.schema.redaction import split_url
from tasks.schema.settings import settings
from tasks.schema.standins import TINY, context_of, is_stand_in, is_tiny, missing_judge
from tasks.schema.urls import Url

REGISTRY = "models:/"
OF_THE_JUDGE = ("judge", "second_judge", "repeats", "judge_prompt_sha256")  # may change: the answers stay, and are judged again
PAPERS_DECODING: dict[str, float] = {"temperature": 0.5, "max_tokens": 32_768}  # of LongBench-Write and the ruler (paper, section 4.1)


class Options(NamedTuple):
    """What the command line says; None: params.yaml's."""

    benchmark: Path | None = None
    format: str | None = None  # of the benchmark file, one of adapters.ADAPTERS
    model: str | None = None  # as the URL's server calls it
    samples: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    agentwrite: bool = False  # the candidate plans and writes paragraph by paragraph, as params.yaml's plan and write sections say
    judged: bool = True  # False: the length scores alone
    fresh: bool = False  # ask for everything anew


def params_here() -> Params:
    """params.yaml, or the profile with the paper's judge where there is none, and a line that says so."""
    path = Path("params.yaml")
    if path.is_file():
        return load(path)
    found = load(PAPERS)
    print(f"no params.yaml here: judged by {found.models.judge.name}, as in the paper; `longwriter use small` writes one", file=sys.stderr)
    return found


class Candidate(NamedTuple):
    """Who is evaluated: a URL, or a folder that the pipeline serves itself."""

    name: str
    url: Url | None
    checkpoint: Path | None


def evaluate(candidate: str, out: Path, *, params: Params, options: Options) -> Scorecard:
    """Predict, judge and score; the files are written one by one, each when it is whole.

    Raises BadInput where candidate or benchmark are not what they have to be, or `out` holds another evaluation.
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
    model = run_async(_model(who, params, options, items))
    judged = options.judged and _has_judge(who, model, params)
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
    evaluation = _begun(asked, out, fresh=options.fresh)
    method = through_agentwrite(params.plan, params.write) if options.agentwrite else None
    refused: list[Reject] = []
    predictions = run_async(_predict(who, items, evaluation, method, refused.append))
    store.write(out / "predictions.jsonl", predictions)
    write_refused(out, refused)
    verdicts = run_async(_judge(predictions, template, params)) if judged else []
    card = _score(predictions, verdicts, out)
    check_scored(verdicts, kept=out / "verdicts.jsonl")
    return card


def folder_of(candidate: str) -> Path:
    """Where an evaluation goes if nobody says: evaluations/NAME, with the name in letters that a folder may have."""
    candidate = split_url(candidate)
    name = (
        candidate.removeprefix(REGISTRY)
        if candidate.startswith(REGISTRY)
        else candidate.partition("://")[2] or Path(candidate).resolve().name
    )
    return Path("evaluations") / re.sub(r"[^\w.@-]+", "-", name).strip("-.")


def resolve(candidate: str) -> Candidate:
    """`http…`, `models:/NAME@ALIAS` or a checkpoint folder. Raises BadInput for anything else, and for an alias that is none."""
    candidate = split_url(candidate)
    if candidate.startswith(("http://", "https://")):
        return Candidate(str(candidate), candidate, None)
    if candidate.startswith(REGISTRY):
        from tasks.tracking.client import answering  # loads MLflow
        from tasks.tracking.registry import fetch

        with answering():
            return Candidate(candidate.removeprefix(REGISTRY), None, fetch(candidate))
    folder = Path(candidate)
    if not (folder / "config.json").is_file():
        problem = "no config.json in it" if folder.is_dir() else "no such folder"
        raise BadInput(candidate, problem, fix=f"give a checkpoint folder, a URL, or {REGISTRY}NAME@ALIAS")
    return Candidate(folder.resolve().name, None, folder)


def _has_judge(who: Candidate, model: Model, params: Params) -> bool:
    """False, and a line that says which setting names a judge, where only a stand-in would judge a real candidate."""
    if is_tiny(who.checkpoint) if who.checkpoint else is_stand_in(model):
        return True
    if problem := missing_judge(params, settings()):
        print(problem, file=sys.stderr)
    return problem is None


async def _model(who: Candidate, params: Params, options: Options, items: Sequence[BenchmarkItem]) -> Model:
    """The candidate as it is asked: how to decode, and the name by which the URL's server knows it.

    params.yaml's decoding is for the pipeline's own checkpoints. A tiny student's says nothing about another model, which is decoded
    as in the paper, as far as its context goes.
    """
    model, decoding = params.models.candidate, {}
    if who.checkpoint is None or (params.base.model == TINY and not is_tiny(who.checkpoint)):
        decoding = PAPERS_DECODING | ({"max_tokens": _room(who.checkpoint, items)} if who.checkpoint else {})
    given = {"temperature": options.temperature, "max_tokens": options.max_tokens, "name": options.model}
    if who.url and not options.model:
        given["name"] = await only_model(who.url, settings().api_key("candidate"))
    return Model(**(model.model_dump() | {"revision": ""} | decoding | {key: value for key, value in given.items() if value is not None}))


def _room(checkpoint: Path, items: Sequence[BenchmarkItem]) -> int:
    """Tokens of an answer: the paper's 32,768, or what the longest prompt leaves of the context, at a byte a token at worst."""
    context = context_of(checkpoint)
    longest = max(len(item.prompt.encode()) for item in items)
    return min(int(PAPERS_DECODING["max_tokens"]), max(context // 2, context - longest)) if context else int(PAPERS_DECODING["max_tokens"])


def _begun(asked: Evaluation, out: Path, *, fresh: bool) -> Evaluation:
    """The evaluation that `out` holds, if it is the one that is asked for, else that one, with its record written.

    A URL does not say which weights answer, so that its answers must not be taken for those of the day before: the revision is
    drawn at random for each folder, and with it the journal's keys.
    """
    path = out / "evaluation.json"
    if path.is_file() and not fresh:
        known = store.read_document(path, Evaluation)
        same = asked.model_copy(update={"decoding": asked.decoding.model_copy(update={"revision": known.decoding.revision})})
        for field in Evaluation.model_fields:
            if field not in OF_THE_JUDGE and getattr(known, field) != getattr(same, field):
                raise BadInput(path, "the folder holds another evaluation", field=field, fix="name another --out, or give --fresh")
        if same != known:  # the same answers, judged by another judge, or judged at last
            store.write_json(path, same)
        return same
    revision = "" if asked.decoding.checkpoint and not fresh else secrets.token_hex(4)
    begun = asked.model_copy(update={"decoding": asked.decoding.model_copy(update={"revision": revision})})
    store.write_json(path, begun)
    return begun


async def _predict(
    who: Candidate, items: Sequence[BenchmarkItem], evaluation: Evaluation, method: Method | None, refused: Refused
) -> list[Prediction]:
    drawn = evaluation.decoding
    model = Model(name=drawn.name, revision=drawn.revision, temperature=drawn.temperature, max_tokens=drawn.max_tokens)
    async with open_role("candidate", model, seed=drawn.seed, checkpoint=who.checkpoint, url=who.url) as chat:
        name = drawn.name if who.url else who.name
        return await answer_all(chat, items, model=name, samples=evaluation.samples, decoding=drawn, method=method, refused=refused)


async def _judge(predictions: Sequence[Prediction], template: Path, params: Params) -> list[Verdict]:
    first, second = params.models.judge, params.models.second_judge
    return (await judge_answers(predictions, read_template(template), judge=params.judge, first=first, second=second)).verdicts


def _score(predictions: list[Prediction], verdicts: list[Verdict], out: Path) -> Scorecard:
    for name in ("verdicts.jsonl", "reliability.json"):
        (out / name).unlink(missing_ok=True)  # an earlier judge's; the journal has its replies
    if verdicts:
        store.write(out / "verdicts.jsonl", verdicts)
        store.write_json(out / "reliability.json", reliable(verdicts, ()))
    unjudged: Judged = {(p.item.id, p.model, p.sample): () for p in predictions}
    judged = match(predictions, verdicts, Files(out / "predictions.jsonl", out / "verdicts.jsonl")) if verdicts else unjudged
    items = score_all(predictions, judged)
    found = cards(items, judged)
    write_scores(out, items, found)
    (card,) = found.values()
    return card


def _digest(items: Sequence[BenchmarkItem]) -> str:
    """Of what is asked, whatever file it stands in."""
    return hashlib.sha256("".join(item.model_dump_json() for item in items).encode()).hexdigest()
