"""write.takes: several replies to one paragraph's request, of which one is kept.

By rules: the reply that is closest to its words and repeats least. By duels: the teacher compares two replies in both orders, with the
judge's prompt (tasks/prompts/compare.txt); all replies are its own, so it has no model of its own to prefer, and the stage does not depend
on the judge. All decisions depend on replies alone.
"""

from collections.abc import Sequence

from tasks.agentwrite.budget import TOLERANCE
from tasks.agentwrite.paragraph_checks import Earlier
from tasks.endpoints.chat import Chat, user
from tasks.judging.duels import SCHEMA, Place, compared, parse_winner
from tasks.judging.verdicts import first_readable
from tasks.text.counts import count_words
from tasks.text.degeneration import degeneration

TRIES = 2  # replies to a comparison; without a readable one it has no winner


def ranked(texts: Sequence[str], earlier: Earlier, *, asked: int) -> list[str]:
    """The texts, the best by the rules first; equally good ones in their order."""
    return sorted(texts, key=lambda text: penalty(text, earlier, asked=asked))


def penalty(text: str, earlier: Earlier, *, asked: int) -> float:
    """How far the words are off by more than TOLERANCE, plus the shares of repeated n-grams and of sentences that came before.

    0 is best. Each is a share from 0 to 1; the first one may be larger.
    """
    off = max(0.0, abs(count_words(text) - asked) / asked - TOLERANCE)
    look = earlier.look(text)
    again = sum(len(sentence) for sentence in look.sentences if hash(sentence) in earlier.sentences)
    return off + degeneration(text).repetition + again / max(1, len(look.flat))


async def preferred(texts: Sequence[str], chat: Chat, *, prompt: str) -> str:
    """The text that wins against those before it, in duels; the first one if no duel is clear. `prompt`: what the texts were written for.

    A duel is won by the text that both orders name.
    """
    best = texts[0]
    for other in texts[1:]:
        if await _place(best, other, chat, prompt) == "second" and await _place(other, best, chat, prompt) == "first":
            best = other
    return best


async def _place(first: str, second: str, chat: Chat, prompt: str) -> Place | None:
    """Which of two texts the teacher prefers; None: no readable reply."""
    requests = (user(compared(prompt, first, second), sample=attempt, schema=SCHEMA) for attempt in range(TRIES))
    return (await first_readable(chat, requests, lambda reply: parse_winner(reply, (first, second)))).value
