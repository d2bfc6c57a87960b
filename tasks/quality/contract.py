"""The contract as data: which built-in expectation holds which measure to which bound, and how much it matters.

A critical expectation that fails stops the run; a warning is shown. Bounds of taste come from params.yaml, bounds of
sanity (no refusal, no duplicate, no identifier) stand here.
"""

from typing import Any, Literal, NamedTuple

from tasks.schema.params import Validate

Severity = Literal["critical", "warning"]
ROLES = r"^(?:system )?user assistant(?: user assistant)*$"


class Rule(NamedTuple):
    """One expectation: its name here, Great Expectations' class, its arguments, and what it means in a sentence."""

    name: str
    severity: Severity
    expectation: str
    arguments: dict[str, Any]
    meaning: str


def contract(validate: Validate) -> tuple[Rule, ...]:
    """Every rule of the contract, in the order in which they are shown."""
    return (
        Rule(
            "enough_rows",
            "critical",
            "ExpectTableRowCountToBeBetween",
            {"min_value": validate.min_rows},
            f"at least {validate.min_rows} rows",
        ),
        Rule("unique_ids", "critical", "ExpectColumnValuesToBeUnique", {"column": "id"}, "no id occurs twice"),
        Rule("unique_answers", "critical", "ExpectColumnValuesToBeUnique", {"column": "answer_digest"}, "no answer occurs twice"),
        Rule("unique_prompts", "warning", "ExpectColumnValuesToBeUnique", {"column": "prompt_digest"}, "no prompt occurs twice"),
        Rule(
            "roles_in_order",
            "critical",
            "ExpectColumnValuesToMatchRegex",
            {"column": "roles", "regex": ROLES},
            "a user asks, the assistant answers",
        ),
        _between("answered", "critical", "written", "every answer has words", at_least=1),
        _between("words_as_declared", "critical", "miscounted", "written_words is what a recount gives", at_least=0, at_most=0),
        _between(
            "follows_length",
            "critical",
            "s_l",
            f"{validate.within_s_l:.0%} of the rows have an S_l of {validate.min_s_l:g} or more",
            at_least=validate.min_s_l,
            mostly=validate.within_s_l,
        ),
        Rule(
            "languages_balanced",
            "critical",
            "ExpectColumnMeanToBeBetween",
            {"column": "rarer", "min_value": validate.min_language_share},
            f"the rarer language has {validate.min_language_share:.0%} of the rows or more",
        ),
        _between("in_its_language", "critical", "own_script", "half of an answer or more is in its language's script", at_least=0.5),
        _between(
            "little_repetition",
            "critical",
            "repetition",
            f"at most {validate.max_repetition:.0%} of an answer's sentences occur before in it",
            at_most=validate.max_repetition,
        ),
        _between("no_identifiers", "critical", "identifiers", "no paragraph begins with its number in the plan", at_most=0),
        _between("no_refusals", "critical", "refusal", "no answer is a refusal", at_most=0),
        _between("no_invisible_characters", "critical", "invisible", "no zero-width characters or direction marks", at_most=0),
        _between("no_broken_characters", "critical", "broken", "no replacement or control characters", at_most=0),
        _between("ends_a_sentence", "warning", "ends_well", "95% of the answers end with a sentence's end", at_least=1, mostly=0.95),
    )


def _between(
    name: str,
    severity: Severity,
    column: str,
    meaning: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    mostly: float = 1,
) -> Rule:
    arguments = {"column": column, "min_value": at_least, "max_value": at_most, "mostly": mostly}
    return Rule(name, severity, "ExpectColumnValuesToBeBetween", arguments, meaning)
