"""Stand-ins: the rehearsal's models, which answer by rules, and its tiny student. Checks where they may be used.

A stand-in never judges, selects or writes for real models and real data: its scores would look like a language model's. For the same
reason a tiny student's decoding is not used for another checkpoint.
"""

from pathlib import Path

import orjson

from tasks.schema.params import Model, Params
from tasks.schema.settings import PREFIX, Role, Settings

NAME = "rehearsal-"  # prefix of the rehearsal's model names
SOURCE = "rehearsal"  # name in collect.sources of the rehearsal's own rows
TINY = "tiny"  # base.model of the student that the pipeline creates
MARK = "longwriter_stand_in"  # key in the config.json of a checkpoint that the pipeline created


def is_stand_in(model: Model) -> bool:
    """Whether the rehearsal answers for this model."""
    return model.name.startswith(NAME)


def is_tiny(checkpoint: Path) -> bool:
    """Whether this checkpoint folder was trained from the tiny student. Reads the mark in its config.json."""
    try:
        return orjson.loads((checkpoint / "config.json").read_bytes()).get(MARK) is True
    except (OSError, ValueError, AttributeError):
        return False


def context_of(checkpoint: Path) -> int | None:
    """Returns the context length in tokens from a checkpoint's config.json; None if it is not stated."""
    try:
        found = orjson.loads((checkpoint / "config.json").read_bytes()).get("max_position_embeddings")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, int) and found > 0 else None


def missing_judge(params: Params, own: Settings) -> str | None:
    """One line with the setting that names a judge, if params.yaml has only the rehearsal's; None if there is a judge."""
    if params.models.judge is None:
        return "S_q is not scored: models.judge is null; name a judge in params.yaml to score quality"
    if not is_stand_in(params.models.judge) or own.url("judge"):
        return None
    return (
        f"S_q is not scored: models.judge ({params.models.judge.name}) is a stand-in that answers by rules; "
        f"set models.judge.name in params.yaml and {PREFIX}JUDGE_URL"
    )


def misplaced(params: Params, own: Settings) -> list[str]:
    """Stand-ins that would answer for real data or judge a real model: one line each, with the key and the fix."""
    data = [source.name for source in params.collect.sources if source.name != SOURCE]
    found: list[str] = []
    if data and not params.collect.recorded:
        found += [_line("selector", params.models.selector, own, f"the source {data[0]} is not the rehearsal's")]
        found += [_line("teacher", params.models.teacher, own, f"the source {data[0]} is not the rehearsal's")]
    if params.base.model != TINY:
        found += [_line("judge", params.models.judge, own, f"base.model ({params.base.model}) is a real model")]
        found += [_line("second_judge", params.models.second_judge, own, f"base.model ({params.base.model}) is a real model")]
    return list(filter(None, found))


def _line(role: Role, model: Model | None, own: Settings, why: str) -> str:
    if model is None or not is_stand_in(model) or own.url(role):
        return ""
    fix = f"set models.{role}.name in params.yaml and {PREFIX}{role.upper()}_URL"
    return f"models.{role} ({model.name}) is a stand-in that answers by rules, and {why}; fix: {fix}"
