"""The contracts: for instructions before planning, for drafts before assembly, for the training set, and for data from outside.

A failed critical expectation stops the run; a failed warning is only shown. Bounds that users choose come from params.yaml. Fixed
bounds (no refusal, no duplicate, no leaked prompt) are in this module.
"""

from tasks.contracts.rules import Contract, Rule, balanced, between, none_of, quantile, rows, total, unique
from tasks.schema.params import Spread, ValidateDataset, ValidateDrafts, ValidateInstructions

# keys of params.yaml
DRAFTS, DATASET = "validate_drafts.within_s_l, validate_drafts.min_s_l", "validate_dataset.within_s_l, validate_dataset.min_s_l"
ROLES = r"^(?:system )?user assistant(?: user assistant)*$"
CHARACTERS = (
    between("no_invisible_characters", "critical", "invisible", "no zero-width characters or direction marks", at_most=0),
    between("no_broken_characters", "critical", "broken", "no replacement or control characters, no halves of any", at_most=0),
)


def instructions(bounds: ValidateInstructions) -> Contract:
    """The contract of the instructions that the teacher will be paid to plan and write."""
    rules = (
        rows(bounds.min_rows, key="validate_instructions.min_rows"),
        unique("unique_ids", "critical", "id", "no id occurs twice"),
        none_of("no_near_duplicates", "critical", "near_duplicate", "no instruction is nearly another"),
        none_of("not_contaminated", "critical", "contaminated", "no instruction is a benchmark prompt, or nearly"),
        none_of("in_its_language", "critical", "wrong_language", "every instruction is in the language that it is filed under"),
        none_of("no_injection", "critical", "steering", "none tries to steer the pipeline's own prompts"),
        *CHARACTERS,
        *_spread(bounds.lengths, "asked", key="validate_instructions.lengths"),
        total(
            "explicit_lengths",
            "warning",
            "explicit",
            f"at least {bounds.min_explicit} name a length (validate_instructions.min_explicit)",
            at_least=bounds.min_explicit,
        ),
        balanced("critical", "language", at_least=bounds.min_language_share, key="validate_instructions.min_language_share"),
    )
    return Contract("validate_instructions", "Instructions", "what the teacher is asked to plan and write", rules, ("asked", "characters"))


def drafts(bounds: ValidateDrafts) -> Contract:
    """The data contract of the teacher's uncleaned drafts. It also compares each draft with its plan."""
    rules = (
        rows(bounds.min_rows, key="validate_drafts.min_rows"),
        unique("unique_ids", "critical", "id", "no id occurs twice"),
        between("one_paragraph_per_step", "critical", "unplanned", "as many paragraphs as the plan has steps", at_least=0, at_most=0),
        between("no_empty_paragraphs", "critical", "empty", "every paragraph has words", at_most=0),
        between(
            "plan_adds_up",
            "critical",
            "plan_s_l",
            f"{bounds.within_s_l:.0%} of the plans add up to the asked length, to an S_l of {bounds.min_s_l:g} or more ({DRAFTS})",
            at_least=bounds.min_s_l,
            mostly=bounds.within_s_l,
        ),
        between(
            "follows_plan",
            "critical",
            "s_l",
            f"{bounds.within_s_l:.0%} of the drafts follow their plan's length, to an S_l of {bounds.min_s_l:g} or more ({DRAFTS})",
            at_least=bounds.min_s_l,
            mostly=bounds.within_s_l,
        ),
        none_of(
            "in_its_language", "critical", "wrong_language", "drafts are in their language (validate_drafts.clean)", mostly=bounds.clean
        ),
        none_of("no_refusals", "critical", "refusal", "no paragraph is a refusal (validate_drafts.clean)", mostly=bounds.clean),
        none_of("only_prose", "critical", "non_prose", "no paragraph is an error message, a page or noise", mostly=bounds.clean),
        none_of("not_cut_off", "critical", "cut_off", "no draft stops in the middle of a sentence", mostly=bounds.clean),
        none_of("no_repeated_paragraphs", "critical", "repeated", "no paragraph comes twice", mostly=bounds.clean),
        between("no_identifiers", "warning", "identifiers", "no line begins with its number in the plan", at_most=0),
        between("no_remarks", "warning", "remarks", "no author's remarks between the paragraphs", at_most=0),
    )
    return Contract("validate_drafts", "Drafts", "what the teacher wrote, before it is cleaned", rules, ("written", "s_l", "paragraphs"))


def training_set(bounds: ValidateDataset, *, context: int, within_context: float) -> Contract:
    """The contract of the training set: the long texts and the general chats."""
    rules = (
        total(
            "enough_rows",
            "critical",
            "long",
            f"at least {bounds.min_rows:,} long texts (validate_dataset.min_rows)",
            at_least=bounds.min_rows,
        ),
        *conversations(bounds),
        between("words_as_declared", "critical", "miscounted", "written_words is what a recount gives", at_least=0, at_most=0),
        *_spread(bounds.lengths, "long_written", key="validate_dataset.lengths"),
        balanced("critical", "long_language", at_least=bounds.min_language_share, key="validate_dataset.min_language_share"),
        none_of("not_contaminated", "critical", "contaminated", "no request is a benchmark prompt, or nearly"),
        none_of("no_near_duplicates", "critical", "near_duplicate", "no long text's request is nearly another"),
        between(
            "within_context",
            "critical",
            "tokens",
            f"{within_context:.0%} of the conversations fit into {context:,} tokens of the base's tokenizer (pack.context)",
            at_most=context,
            mostly=within_context,
        ),
    )
    drawn = ("long_written", "s_l", "tokens", "repetition")
    return Contract("validate_dataset", "Training set", "the long texts and the general chats that are mixed in", rules, drawn)


def outside(bounds: ValidateDataset, *, context: int | None) -> Contract:
    """The contract of data from outside: without the rules on the number of rows and the distribution of lengths and languages."""
    rules = [
        none_of("readable", "critical", "problem", "every row is a conversation with text in it"),
        *conversations(bounds),
        none_of("not_contaminated", "critical", "contaminated", "no request is a benchmark prompt, or nearly"),
        none_of("no_near_duplicates", "warning", "near_duplicate", "no request is nearly another"),
    ]
    if context:
        rules.append(between("within_context", "critical", "tokens", f"every conversation fits into {context:,} tokens", at_most=context))
    drawn = ("written", "s_l", "repetition", *(["tokens"] if context else []))
    return Contract("check", "Outside data", "rows from elsewhere", rules, drawn)


def conversations(bounds: ValidateDataset) -> tuple[Rule, ...]:
    """The rules for any conversation to train on."""
    return (
        unique("unique_ids", "critical", "id", "no id occurs twice"),
        unique("unique_answers", "critical", "answer_digest", "no answer occurs twice"),
        unique("unique_prompts", "warning", "prompt_digest", "no request occurs twice"),
        Rule(
            "roles_in_order",
            "critical",
            "ExpectColumnValuesToMatchRegex",
            {"column": "roles", "regex": ROLES},
            "a user asks, the assistant answers",
        ),
        between("answered", "critical", "written", "every answer has words", at_least=1),
        between(
            "follows_length",
            "critical",
            "s_l",
            f"{bounds.within_s_l:.0%} of the rows that ask for a length have an S_l of {bounds.min_s_l:g} or more ({DATASET})",
            at_least=bounds.min_s_l,
            mostly=bounds.within_s_l,
        ),
        none_of("in_its_language", "critical", "wrong_language", "answers are in the language of their request"),
        between(
            "little_repetition",
            "critical",
            "repetition",
            f"at most {bounds.max_repetition:.0%} of an answer's sentences occur before in it (validate_dataset.max_repetition)",
            at_most=bounds.max_repetition,
        ),
        between("no_identifiers", "critical", "identifiers", "no line begins with its number in the plan", at_most=0),
        none_of("no_refusals", "critical", "refusal", "no answer is a refusal, or says that it is not the whole"),
        none_of("no_leaked_prompts", "critical", "leaked", "no answer quotes a prompt, or a chat format's marks"),
        none_of("not_cut_off", "critical", "cut_off", "no answer stops in the middle of a sentence"),
        none_of("no_remarks", "warning", "remark", "no answer begins or ends with its author's remarks"),
        *CHARACTERS,
    )


def _spread(lengths: Spread, column: str, *, key: str) -> tuple[Rule, ...]:
    """Rules on the 10%, 50% and 90% quantiles of the lengths."""
    parts = ((0.1, lengths.p10), (0.5, lengths.p50), (0.9, lengths.p90))
    return tuple(
        quantile("critical", column, q, at_least=bounds.min, at_most=bounds.max, key=f"{key}.p{q * 100:.0f}") for q, bounds in parts
    )
