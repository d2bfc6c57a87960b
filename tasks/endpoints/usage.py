"""Tokens that a reply is charged for: the endpoint's own counts, if they are possible.

The counts decide what the spend cap allows, so they are checked. A missing or unreadable count is replaced by the expected count. A count
that is too high is cut to the most that the request can have taken.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tasks.endpoints.chat import Request
from tasks.schema.records import Usage

BYTES_PER_TOKEN = 3.0  # of a prompt, to estimate its cost before the call: English has 4 to 5, Chinese about 3
TOKENS_PER_WORD = 2.0  # of a reply; above English's 1.3 a word and Chinese's 1 a character
TEMPLATE = 1024  # tokens that the chat template and the endpoint's own instructions may add to a prompt


class Charge(NamedTuple):
    """The tokens charged for a reply, and the problem with the endpoint's counts; None: no problem."""

    usage: Usage
    problem: str | None


def expected(request: Request, max_tokens: int, *, thoughts: int = 0) -> Usage:
    """Returns the expected usage of a request, estimated high: no cached tokens. `thoughts`: tokens that the model may think."""
    return expected_for(prompt_bytes(request), request.words, max_tokens, thoughts=thoughts)


def expected_for(prompt: int, words: int | None, max_tokens: int, *, thoughts: int = 0) -> Usage:
    """As `expected`, for a prompt of `prompt` bytes and a request for `words` words (None: no requested length)."""
    answer = max_tokens if words is None else min(max_tokens, words * TOKENS_PER_WORD + thoughts)
    return Usage(round(prompt / BYTES_PER_TOKEN), round(answer))


def expected_of(text: str, max_tokens: int) -> int:
    """Returns the expected completion tokens of a text, estimated high."""
    return min(max_tokens, max(1, round(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)))


def most(prompt: int, max_tokens: int) -> Usage:
    """Returns the most that a request with a prompt of so many bytes can take: a token has at least one byte, and a reply at most
    max_tokens tokens.
    """
    return Usage(prompt + TEMPLATE, max_tokens)


def charge(reported: object, *, expected: Usage, most: Usage, empty: bool) -> Charge:
    """Returns the tokens charged for a reply. `reported` is the body's `usage`, of any shape. `empty`: the reply has no text, so 0 is
    possible.

    0 prompt tokens, or 0 completion tokens for a reply with text, are taken as missing counts.
    """
    counts = reported if isinstance(reported, Mapping) else {}
    prompt, wrong_prompt = _count(counts, "prompt_tokens", least=1, expected=expected.prompt, most=most.prompt)
    completion, wrong_answer = _count(
        counts, "completion_tokens", least=0 if empty else 1, expected=expected.completion, most=most.completion
    )
    cached, wrong_cached = _cached(counts.get("prompt_tokens_details"), prompt=prompt)
    problem = "no usage" if not counts else wrong_prompt or wrong_answer or wrong_cached
    return Charge(Usage(prompt, completion, cached), problem)


def _count(counts: Mapping[str, object], name: str, *, least: int, expected: int, most: int) -> tuple[int, str | None]:
    value = counts.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        kind = "no" if value is None else f"{type(value).__name__} as"
        return max(least, expected), f"{kind} {name}"
    if value < least:
        return max(least, expected), f"{'negative' if value < 0 else '0 as'} {name}"
    return (value, None) if value <= most else (most, f"more {name} than the request can take")


def _cached(details: object, *, prompt: int) -> tuple[int, str | None]:
    """Cached prompt tokens, which are cheaper. An impossible count is taken as 0."""
    value = details.get("cached_tokens") if isinstance(details, Mapping) else None
    if value is None:
        return 0, None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= prompt:
        return value, None
    return 0, "cached_tokens that are no part of prompt_tokens"


def prompt_bytes(request: Request) -> int:
    """The size of the request's messages."""
    return sum(len(message.content.encode()) for message in request.messages)
