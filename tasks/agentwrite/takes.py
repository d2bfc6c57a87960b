"""write.takes: several replies to one paragraph's request, of which one is kept.

By rules: the reply that is closest to its words and repeats least. By duels: the teacher compares two replies in both orders, with the
judge's prompt (tasks/prompts/compare.txt); all replies are its own, so it has no model of its own to prefer, and the stage does not depend
on the judge. All decisions depend on replies alone.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from tasks.agentwrite.budget import TOLERANCE
from tasks.agentwrite.paragraph_checks import Earlier
from tasks.endpoints.chat import Reply, Request, user
from tasks.judging.duels import SCHEMA, Place, parse_winner
from tasks.judging.templates import mark
from tasks.prompts import fill
from tasks.schema.errors import ReplyError
from tasks.schema.finish import Finish
from tasks.text.counts import count_words

GRAM = 4  # words, or Chinese characters, of an n-gram
TRIES = 2  # replies to a comparison; without a readable one it has no winner
Ask = Callable[[Request], Awaitable[Reply | None]]


class Take(NamedTuple):
    """A usable reply and its penalty: 0 is best."""

    text: str
    penalty: float


def ranked(texts: Sequence[str], earlier: Earlier, *, asked: int) -> list[str]:
    """The texts, the best by the rules first; equally good ones in their order."""
    takes = [Take(text, penalty(text, earlier, asked=asked)) for text in texts]
    return [take.text for take in sorted(takes, key=lambda take: take.penalty)]


def penalty(text: str, earlier: Earlier, *, asked: int) -> float:
    """How far the words are off by more than TOLERANCE, plus the shares of repeated n-grams and of sentences that came before.

    Each is a share from 0 to 1; the first one may be larger.
    """
    off = max(0.0, abs(count_words(text) - asked) / asked - TOLERANCE)
    look = earlier.look(text)
    again = sum(len(sentence) for sentence in look.sentences if hash(sentence) in earlier.sentences)
    return off + repeated_share(look.flat) + again / max(1, len(look.flat))


def repeated_share(flat: str, size: int = GRAM) -> float:
    """The share of a text's n-grams that came before in it. `flat`: casefolded, with single spaces."""
    units = grams_of(flat, size)
    return 1 - len(set(units)) / len(units) if units else 0.0


def grams_of(flat: str, size: int = GRAM) -> list[tuple[str, ...]]:
    """The n-grams of a casefolded text: of its words, or of its characters if it has hardly any spaces."""
    parts = flat.split()
    if len(parts) < len(flat) / 20:
        parts = [sign for sign in flat if sign.isalnum()]
    return [tuple(parts[place : place + size]) for place in range(len(parts) - size + 1)]


async def preferred(texts: Sequence[str], ask: Ask, *, prompt: str) -> str:
    """The text that wins against those before it, in duels; the first one if no duel is clear. `prompt`: what the texts were written for.

    A duel is won by the text that both orders name.
    """
    best = texts[0]
    for other in texts[1:]:
        if await _place(best, other, ask, prompt) == "second" and await _place(other, best, ask, prompt) == "first":
            best = other
    return best


async def _place(first: str, second: str, ask: Ask, prompt: str) -> Place | None:
    """Which of two texts the teacher prefers; None: no readable reply."""
    compared = fill("compare", prompt=prompt, first=first, second=second, mark=mark(prompt, first, second))
    for attempt in range(TRIES):
        if (reply := await ask(user(compared, sample=attempt, schema=SCHEMA))) is None:
            return None
        try:
            if reply.finish is not Finish.CUT:
                return parse_winner(reply.text, (first, second))
        except ReplyError:
            continue
    return None
