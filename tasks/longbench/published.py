"""The overall LongBench-Write scores that the paper publishes (arXiv 2408.07055), each with its certainty.

`secondary` figures were read in texts that quote the paper. `recalled` figures were noted from memory: check them in the paper before use.
Published scores are one run with one judge (gpt-4o-2024-05-13). A rerun of Llama-3.1-8B-Instruct elsewhere gave an S_l of 46.4 instead of
50.0, so a gap of 3 to 4 points is not evidence of a difference.
"""

import hashlib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal, NamedTuple

from tasks.schema.errors import BadInput

Certainty = Literal["secondary", "recalled"]
ITEMS = 120
PROMPTS = "af43ba4521271182"  # first 16 hex digits of the SHA-256 over the sorted ids (prompts and lengths) of LongBench-Write's items
RERUN_GAP = 4.0  # points; observed between two runs of one model


class Figure(NamedTuple):
    """A published score with its certainty."""

    value: float  # 0 to 100
    certainty: Certainty


class PublishedScores(NamedTuple):
    """The published scores of one model."""

    model: str
    s_l: Figure
    s_q: Figure
    s_bar: Figure


def is_papers(ids: Iterable[str]) -> bool:
    """Whether these ids are exactly those of the paper's LongBench-Write items. An id names a prompt with its length."""
    return hashlib.sha256("".join(sorted(ids)).encode()).hexdigest()[: len(PROMPTS)] == PROMPTS


def _row(model: str, s_bar: float, s_l: float, s_q: float, certainty: Certainty, *, of_s_bar: Certainty | None = None) -> PublishedScores:
    return PublishedScores(model, Figure(s_l, certainty), Figure(s_q, certainty), Figure(s_bar, of_s_bar or certainty))


TABLE = (
    _row("Claude-3.5-Sonnet", 80.7, 73.7, 87.7, "recalled", of_s_bar="secondary"),
    _row("GPT-4o", 78.6, 65.3, 91.8, "recalled"),
    _row("GPT-4o-mini", 77.6, 64.9, 90.3, "recalled"),
    _row("GPT-4-Turbo", 67.3, 47.2, 87.4, "recalled"),
    _row("GLM-4-9B-chat", 68.3, 51.0, 85.5, "recalled", of_s_bar="secondary"),
    _row("Llama-3.1-8B-Instruct", 60.3, 50.0, 70.6, "secondary"),
    _row("Llama-3.1-70B-Instruct", 65.6, 50.8, 80.3, "recalled"),
    _row("Mistral-Large", 77.0, 65.6, 88.3, "recalled"),
    _row("Suri-I-ORPO", 56.6, 59.6, 53.5, "recalled"),
    _row("LongWriter-8B", 79.8, 77.4, 82.2, "recalled"),
    _row("LongWriter-9B", 80.5, 78.6, 82.3, "secondary"),
    _row("LongWriter-9B-DPO", 84.0, 82.6, 85.4, "recalled", of_s_bar="secondary"),
)


def published(name: str) -> PublishedScores:
    """Returns the table row of a model; the name is case-insensitive. Raises BadInput that suggests the closest name."""
    by_name = {row.model.lower(): row for row in TABLE}
    if name.lower() not in by_name:
        near = get_close_matches(name.lower(), by_name, n=1)
        fix = f"use {by_name[near[0]].model}" if near else f"use one of {', '.join(row.model for row in TABLE)}"
        raise BadInput(f"paper:{name}", "no such model in the paper's table", fix=fix)
    return by_name[name.lower()]
