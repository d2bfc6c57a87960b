"""Compares a candidate model with the champion prompt by prompt, using the champion's scored answers from its promotion."""

import tempfile
from pathlib import Path

from tasks.longbench.compare import Side, paired, read_side
from tasks.longbench.samples import Mode
from tasks.longbench.scorecard import Scorecard, bin_of, read_scorecards
from tasks.schema.errors import BadInput
from tasks.tracking.client import GONE, connect
from tasks.tracking.gate import Contest
from tasks.tracking.registry import Version

ITEMS, CARD = "items.jsonl", "scorecard.json"
CANDIDATE, STUDENT = "candidate", "student"  # the version's tag with its name among the scored models; the name without that tag
RESCORE = (
    "evaluate version {0} again (`longwriter eval run models:/NAME/{0} --out evaluations/v{0}`), "
    "hand it in (`longwriter models evaluated {0} evaluations/v{0}`) and promote again"
)


def contest(candidate: Side, champion: Version, *, mode: Mode) -> Contest:
    """Returns the comparison, or why there is none: no items, no common items, another judge, another length."""
    try:
        other = items_of(champion)
        if candidate.judge != other.judge:
            problem = f"another judge scored it: {other.judge or 'nobody known'}, and {candidate.judge or 'nobody known'} this one"
            raise BadInput(other.name, problem)
        found = paired(candidate, other, mode=mode)
    except BadInput as error:
        return Contest(champion.number, None, f"{error.path}: {error.problem}; {RESCORE.format(champion.number)}")
    return Contest(champion.number, found, unmatched=_unmatched(candidate, other, mode))


def items_of(version: Version) -> Side:
    """Returns the scored items in a version's evaluation run. Raises BadInput if it has none."""
    name, run_id = f"version {version.number}", version.tags.get("evaluation_run")
    if not run_id:
        raise BadInput(name, "its evaluation is not known")
    with tempfile.TemporaryDirectory() as scratch:
        kept = _download(name, run_id, Path(scratch))
        if ITEMS not in kept:
            raise BadInput(name, f"its evaluation run {run_id} keeps no {ITEMS}")
        return read_side(f"{Path(scratch) / ITEMS}:{model_of(version)}")._replace(name=name)


def scorecard_of(version: Version) -> Scorecard | None:
    """The scorecard in a version's evaluation run; None if it was not evaluated. Raises BadInput if the run or its scorecard is gone."""
    name, run_id = f"version {version.number}", version.tags.get("evaluation_run")
    if not run_id:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        if CARD not in _download(name, run_id, Path(scratch)):
            raise BadInput(name, f"its evaluation run {run_id} keeps no {CARD}", fix=RESCORE.format(version.number))
        cards = read_scorecards(Path(scratch) / CARD)
    return cards.get(model_of(version)) or (next(iter(cards.values())) if len(cards) == 1 else None)


def model_of(version: Version) -> str:
    """The version's name among the models of its evaluation: student, aligned or reinforced."""
    return version.tags.get(CANDIDATE, STUDENT)


def _download(name: str, run_id: str, folder: Path) -> set[str]:
    from mlflow.exceptions import MlflowException

    client = connect()
    try:
        kept = {entry.path for entry in client.list_artifacts(run_id)} & {ITEMS, CARD}
        for path in kept:
            client.download_artifacts(run_id, path, str(folder))
    except MlflowException as error:
        if error.error_code != GONE:
            raise
        raise BadInput(name, f"its evaluation run {run_id} is gone") from None
    return kept


def _unmatched(candidate: Side, champion: Side, mode: Mode) -> tuple[str, ...]:
    """Length bins and languages of the champion's prompts without any answer of the candidate model."""
    theirs, ours = champion.scores(mode), candidate.scores(mode)
    groups: dict[str, bool] = {}
    for identity, prompt in theirs.items():
        for group in (bin_of(prompt.asked), prompt.language):
            groups[group] = groups.get(group, False) or identity in ours
    return tuple(group for group, matched in groups.items() if not matched)
