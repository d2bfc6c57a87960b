"""Every measure over text takes linear time: long repetitive texts end within pytest's time limit."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from tasks.agentwrite import paragraph_checks, plan_fields, plan_json, plan_text
from tasks.contracts import measures
from tasks.corpus import duplicates, likeness, personal, toxicity
from tasks.endpoints.chat import Reply
from tasks.judging import duels, rubric
from tasks.schema.errors import ReplyError
from tasks.schema.records import Instruction, Message, Step, Usage
from tasks.text import (
    adherence,
    cleaning,
    counts,
    degeneration,
    endings,
    folding,
    languages,
    length_requests,
    meta_comments,
    non_prose,
    offers,
    plan_markup,
    prompt_leak,
    thoughts,
    unicode,
    words,
    wrong_language,
)

PROMPT = "Write a 2,000-word story about a lighthouse keeper who learns to swim in the cold sea."
INSTRUCTION = Instruction(id="a", text=PROMPT, language="en", words=2000, source="a:1")
STEPS = (Step(point="the sea", words=100), Step(point="the shore and its boats", words=200))
SCORED = likeness.repeats([PROMPT, "Write an essay about the bread of the valley."])
WINNERS = '{"winner": "first"} {"winner": "tie"}'


def measured(prompt: str, answer: str) -> object:
    turns = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
    return measures.measure(measures.MeasuredRow(1, "a", "a:1", turns, "", 2000), SCORED)


def fault(text: str) -> object:
    earlier = paragraph_checks.Earlier(INSTRUCTION, "Paragraph 1 - Main Point: the sea - Word Count: 100 words")
    found = paragraph_checks.find_fault(Reply(text, "stop", Usage(1, 1), 1.0), earlier, asked=len(text) // 6)
    earlier.add(text)
    return found


MEASURES: dict[str, Callable[[str], object]] = {
    "thoughts": thoughts.split_thoughts,
    "ending": lambda text: endings.ending(text, finish_reason=""),
    "broken off": endings.broken_off,
    "end tokens": endings.strip_tokens,
    "markup": endings.markup,
    "declined": offers.declined,
    "offers": offers.offers_more,
    "normalization": lambda text: unicode.normalized("NFKC", text),
    "folding": lambda text: folding.fold(folding.normal(text)),
    "length request": length_requests.parse_length_request,
    "cleaning": cleaning.clean,
    "unseen characters": cleaning.unseen,
    "refusal": cleaning.refusal,
    "repeated paragraphs": lambda text: cleaning.repeated(text.split("\n\n")),
    "identity": duplicates.text_id,
    "shingles": lambda text: duplicates.shingled(text, "en"),
    "language": languages.language_of,
    "switches of language": languages.latin_switches,
    "foreign text": lambda text: wrong_language.other_language(text, "en"),
    "leaks": lambda text: prompt_leak.leaked(text, request=PROMPT, language="en"),
    "contamination": lambda text: SCORED(text, "en"),
    "remarks": meta_comments.strip_meta_comments,
    "scaffolding": lambda text: plan_markup.strip_plan_markup(text, point="the sea and the shore"),
    "identifiers": plan_markup.identifiers,
    "toxic words": lambda text: toxicity.toxic_word(text.lower()),
    "no prose": non_prose.find_non_prose,
    "paragraph checks": fault,
    "a plan": lambda text: plan_text.parse_plan(text, max_paragraphs=1_000),
    "a plan in JSON": lambda text: plan_json.read_plan(text, max_paragraphs=1_000),
    "a plan's count": plan_fields.take_count,
    "a plan's label": plan_fields.is_labelled,
    "a plan's point": plan_fields.point_of,
    "words": counts.count_words,
    "words as a person counts": words.count_fixed,
    "a length constraint": lambda text: words.constraint(text, 500),
    "adherence": lambda text: adherence.adherence(STEPS, text),
    "degeneration": degeneration.degeneration,
    "repetition": measures.repetition,
    "the contract's measures of an answer": lambda text: measured(PROMPT, text),
    "the contract's measures of a request": lambda text: measured(text, "Bread."),
    "a verdict": rubric.parse_rubric,
    "planted verdicts": rubric.planted,
    "a winner": duels.parse_winner,
    "planted winners": lambda text: duels.parse_winner(WINNERS, (text,)),
}
SHAPES = {
    "spaces": " ",
    "ideographic spaces": "\u3000",
    "line ends": "\r\n",
    "tabs and line ends": "\t\n",
    "a letter": "a",
    "letters": "a ",
    "digits": "1 ",
    "a comma": "1,",
    "quotes": '"',
    "fences": "```\n",
    "stars": "**a",
    "dashes": "- ",
    "a table": "| a ",
    "brackets": "([{",
    "JSON": '{"a":',
    "tags": "</s> ",
    "Han": "的",
    "lengths": "1000字",
    "marks": "\u0327\u0301",
    "a sentence": "The sea was calm, and the boats lay still.\n\n",
    "an apology": "I'm sorry, but I can't ",
    "a plan": "Paragraph 1 - Main Point: a - Word Count: 100 words\n",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("size", [200_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_measure_of_a_long_text_of_one_piece_ends(shape: str, size: int) -> None:
    """Of 200,000 characters already, the square is 40 billion steps."""
    text = SHAPES[shape] * (size // len(SHAPES[shape])) + "x"
    for measure in MEASURES.values():
        with suppress(ReplyError):
            measure(text)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["1-", "555-123-4567 ", "a@b.co ", "-----BEGIN PRIVATE KEY-----", "1.1.1.1 ", "sk-a", "GB82 WEST "])
def test_personal_data_is_masked_in_linear_time(piece: str) -> None:
    personal.masked(piece * (100_000 // len(piece)), "en")


def test_an_ideographic_space_is_white_space() -> None:
    assert cleaning.clean("　　船长看着大海。\n　　他什么也没有说。") == "船长看着大海。\n他什么也没有说。"
    assert cleaning.clean("王　明　　来了。　\n　\n　\n　\n好。") == "王 明 来了。\n\n好。"


def test_marks_in_a_row_stay_and_text_around_them_is_normalized() -> None:
    marks = "\u0327\u0301" * 100
    assert unicode.normalized("NFC", f"cafe\u0301 x{marks} e\u0301.") == f"caf\u00e9 x{marks} \u00e9."
