"""`longwriter eval ci`: an evaluation in CI. Writes the difference to a baseline and the gate as a comment; exits with 1 if the gate fails.

Without a candidate, the rehearsal's stage `score` is brought up to date (unchanged stages are restored from DVC's cache or remote) and its
student is evaluated. A candidate (URL, checkpoint folder, models:/longwriter@challenger) is evaluated by the evaluator. Writes comment.md,
scorecard.json and items.jsonl into OUT, so that the next run has a baseline with items.

The floors of promote.min_general decide what is measured of general ability. Scores that exist are read: the registered version's tags, or
the output of the stage evaluate_general beside the scores. A floor without a score is measured: by that stage in the rehearsal, else by the
harness on the candidate's checkpoint. A URL has no checkpoint, and given SCORES run nothing: there a floor without a score fails.

Every option can also be set by an environment variable: make and CI pass values that way, so no shell interprets them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tasks import store
from tasks.evaluation.baseline import KEPT, Baseline, committed, of_side, read_baseline
from tasks.evaluation.difference import Condition, Found, code, compared, difference, gate, page
from tasks.evaluation.display import MEASURES
from tasks.judging.exam_card import EXAMS, read_exams
from tasks.longbench.compare import Side, read_side
from tasks.longbench.samples import Mode
from tasks.longbench.scorecard import Scorecard
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput, GateFailed, PipelineError
from tasks.schema.params import Params, load
from tasks.schema.records import Abilities
from tasks.schema.redaction import redact, split_url
from tasks.stage import one_line_errors
from tasks.tracking.gate import GENERAL, Axis, Contest, weigh

if TYPE_CHECKING:
    from tasks.tracking.registry import Version

SCORES = Path("data/score")
SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file that GitHub Actions shows on a run's page

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class EvaluationFailed(PipelineError):
    """The rehearsal's run failed; its own error is on standard error."""

    def __init__(self, exit_code: int):
        super().__init__("the rehearsal's evaluation did not finish; its own error is above")
        self.exit_code = exit_code


class CiOptions(NamedTuple):
    """Options of `longwriter eval ci`. An empty string means not given."""

    candidate: str  # a `Url` if a URL was given
    model: str | None
    benchmark: Path | None
    scores: Path | None
    baseline: str
    base: str
    out: Path


class Seen(NamedTuple):
    """What is evaluated, and what it is compared with."""

    side: Side
    card: Scorecard
    before: Baseline | None
    general: Mapping[str, float | None]  # scores of the stage evaluate_general, by task
    contest: Contest | None  # None: no other version is champion, or the candidate is not from the registry


@app.command()
def ci_eval(
    candidate: Annotated[str, typer.Option(envvar="CANDIDATE", help="URL, checkpoint folder or models:/longwriter@challenger")] = "",
    model: Annotated[str, typer.Option(envvar="MODEL", help="name of the model on the server, if the server has several")] = "",
    benchmark: Annotated[
        Path | None, typer.Option(envvar="BENCHMARK", help="benchmark for the candidate; default: the one in params.yaml")
    ] = None,
    scores: Annotated[Path | None, typer.Option(envvar="SCORES", help="use this score folder; nothing is run")] = None,
    baseline: Annotated[str, typer.Option(envvar="BASELINE", help="a score folder, or a file of scores")] = "",
    base: Annotated[
        str, typer.Option(envvar="BASE", help="git revision whose metrics/scores.json is the baseline if BASELINE cannot be read")
    ] = "",
    out: Annotated[Path, typer.Option(envvar="OUT", file_okay=False, help="folder for comment.md and the scores")] = Path("ci-eval"),
) -> None:
    """Evaluate, report the difference to a baseline, and check the gate: exit code 1 with the failing conditions if it fails."""
    with one_line_errors():
        options = CiOptions(split_url(candidate), model or None, benchmark, scores, baseline, base, out)
        try:
            failing = run(options, load())
        except PipelineError as error:
            _publish(page(_title(options), [f"No scores: {code(redact(str(error)))}"]), out)
            raise
        if failing:
            raise GateFailed(f"gate: {'; '.join(failing)}")


def run(options: CiOptions, params: Params) -> list[str]:
    """Evaluates, writes the comment, and returns the gate's failing conditions."""
    given = _baseline(options)
    folder = _evaluated(options, params)
    with _registry(options.candidate):
        seen = _seen(folder, options.candidate, given, params.promote.mode)
    seen = seen._replace(general=_with_floors(seen.general, options, params))
    seen, found = _compared(seen, options)
    axes = weigh(seen.card, general=seen.general, contest=seen.contest, promote=params.promote)
    conditions = [*map(_condition, axes), *([] if seen.contest else _regression(found, params.promote.mode))]
    _keep(folder, options.out)
    _publish(page(_title(options), [gate(conditions), difference(seen.card, seen.before, found)]), options.out)
    print(f"{options.out / 'comment.md'}: {'; '.join(condition.text for condition in conditions)}", flush=True)
    return [condition.text for condition in conditions if not condition.passed]


def _baseline(options: CiOptions) -> Baseline | None:
    """Reads the baseline before the evaluation costs anything. BASE is used if BASELINE cannot be read.

    The base's items come from an earlier run. The change under test may use another format or benchmark, and must not fail because of
    that.
    """
    if options.baseline:
        try:
            return read_baseline(options.baseline)
        except BadInput as error:
            if not options.base:
                raise
            print(f"{error}: {options.base} instead", file=sys.stderr, flush=True)
    if not options.base:
        return None
    found = committed(options.base)
    if found is None:
        print(f"{options.base} has no {KEPT}: no baseline", file=sys.stderr, flush=True)
    return found


def _evaluated(options: CiOptions, params: Params) -> Path:
    """The folder of the scores. Raises the evaluator's errors, and EvaluationFailed if the rehearsal fails."""
    if options.scores:
        return options.scores
    if options.candidate:
        from tasks.evaluation.evaluate import EvaluateOptions, evaluate, folder_of

        folder = options.out / folder_of(options.candidate).name
        evaluate(options.candidate, folder, params=params, options=EvaluateOptions(benchmark=options.benchmark, model=options.model))
        return folder
    ended = subprocess.run([sys.executable, "-m", "flows.cli", "flow", "evaluation"], check=False)
    if ended.returncode:
        raise EvaluationFailed(ended.returncode if ended.returncode > 0 else 128 - ended.returncode)
    return SCORES


def _seen(folder: Path, candidate: str, given: Baseline | None, mode: Mode) -> Seen:
    """Reads the scores; with several models, those of the student. A registered version is also compared with the champion, which is the
    default baseline.
    """
    side = read_side(str(folder))
    exam = read_exams(EXAMS).get(side.judge) if side.judge else None
    card = summarise(side.answers, judge=side.judge).model_copy(update={"exam": exam})
    version = _registered(candidate)
    if version is None:
        return Seen(side, card, given, _general(folder.parent / "evaluate_general" / "general.json", side.model), None)
    from tasks.tracking.champion_scores import contest, items_of
    from tasks.tracking.client import names
    from tasks.tracking.registry import champion_for, holders

    general = {name.removeprefix(GENERAL): version.score(name) for name in version.tags if name.startswith(GENERAL)}
    champion = champion_for(version, holders().get(names().aliases.champion))
    if champion is None:
        return Seen(side, card, given, general, None)
    found = contest(side, champion, mode=mode)
    return Seen(side, card, given or (of_side(items_of(champion)) if found.comparison else None), general, found)


def _compared(seen: Seen, options: CiOptions) -> tuple[Seen, Found]:
    """Compares with the baseline, paired if possible. If no item can be paired and BASE is set, only the baseline's figures are used."""
    try:
        return seen, compared(seen.side, seen.before)
    except BadInput as error:
        if not options.base or seen.before is None:
            raise
        print(f"{error}: only its figures are compared", file=sys.stderr, flush=True)
        return seen._replace(before=seen.before._replace(side=None)), {}


def _registry(candidate: str) -> AbstractContextManager[None]:
    """Reports MLflow errors in one line. MLflow is imported only for a candidate from the registry."""
    if not candidate.startswith("models:/"):
        return nullcontext()
    from tasks.tracking.client import answering

    return answering()


def _registered(candidate: str) -> "Version | None":
    """The registered version that a registry address of the pipeline's own model names; None for any other candidate."""
    if not candidate.startswith("models:/"):
        return None
    from tasks.tracking.client import names
    from tasks.tracking.registry import ADDRESS, aliased, version

    address = ADDRESS.fullmatch(candidate)
    if not address or address["name"] != names().model:
        return None
    return version(address["number"]) if address["number"] else aliased(address["alias"])


def _general(path: Path, model: str) -> Mapping[str, float | None]:
    """The model's scores by task from the stage evaluate_general; empty without the file, or if it lists only other models."""
    return store.read_document(path, Abilities).root.get(model, {}) if path.is_file() else {}


def _with_floors(known: Mapping[str, float | None], options: CiOptions, params: Params) -> Mapping[str, float | None]:
    """The scores by task, with those that a floor needs and nobody measured yet. Writes general.json of what is measured into OUT.

    Raises HarnessFailed or BadInput if the harness cannot measure a floor's task, EndpointError or ServerError for the candidate's server.
    """
    wanted = [task for task in params.promote.min_general if known.get(task) is None]
    if not wanted or options.scores or not options.candidate or options.candidate.startswith(("http://", "https://")):
        return known
    from tasks.stage import run_async

    scores = run_async(_abilities(options.candidate, wanted, params))
    store.write_json(options.out / "general.json", Abilities({options.candidate: scores}))
    return {**known, **scores}


async def _abilities(candidate: str, wanted: Sequence[str], params: Params) -> dict[str, float | None]:
    """Measures these tasks of a checkpoint; evaluate_general.tasks has the files of those that are no tasks of the harness."""
    from tasks.endpoints.roles import endpoint_of
    from tasks.evaluation.evaluate import resolve
    from tasks.harness.measure import check, measure
    from tasks.harness.taskfile import is_file, read

    checkpoint = resolve(candidate).checkpoint
    assert checkpoint, "only a URL has no checkpoint"
    files = {read(Path(task)).name: task for task in params.evaluate_general.tasks if is_file(task)}
    general = params.evaluate_general.model_copy(update={"tasks": [files.get(task, task) for task in wanted]})
    check(general.tasks)
    async with endpoint_of("candidate", params.models.candidate, checkpoint=checkpoint) as there:
        found = await measure(general, there, checkpoint=checkpoint)
    return {score.task: score.value for score in found.scores}


def _condition(axis: Axis) -> Condition:
    return Condition(axis.name, str(axis), axis.passed)


def _regression(found: Found, mode: Mode) -> list[Condition]:
    """A paired verdict of "worse" than the baseline fails the gate; "cannot tell" does not."""
    comparison = found.get(mode)
    if comparison is None:
        return []
    row = [row for row in comparison.rows if row.group == "overall"][-1]
    seen = f"baseline {MEASURES[row.measure]} {row.difference:+z.2f} {row.interval or ''}".rstrip()
    holds = comparison.verdict != "worse"
    return [Condition("baseline", f"{seen}, not worse ({comparison.verdict}): {'holds' if holds else 'fails'}", holds)]


def _title(options: CiOptions) -> str:
    return f"Evaluation of {code(options.candidate)}" if options.candidate else "Rehearsal evaluation"


def _keep(folder: Path, out: Path) -> None:
    for name in ("scorecard.json", "items.jsonl"):
        if (folder / name).is_file() and folder.resolve() != out.resolve():
            out.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, out / name)


def _publish(comment: str, out: Path) -> None:
    with store.replacing(out / "comment.md") as scratch:
        scratch.write_text(comment, encoding="utf-8")
    if summary := os.environ.get(SUMMARY):
        with open(summary, "a", encoding="utf-8") as file:
            file.write(comment)


if __name__ == "__main__":
    app()
