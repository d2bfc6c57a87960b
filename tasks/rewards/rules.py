"""Rewards by rule, each from 0 to 1. Linear in the text.

The length counts words outside loops and repeated passages only: otherwise a policy that repeats itself up to the requested length would
be paid for it. What is punished is punished once: a loop lowers `repetition`, and it lowers `length` because its words do not count.
"""

from tasks.rewards.interface import Reward, WrittenAnswer
from tasks.schema.records import BenchmarkItem
from tasks.text.cleaning import refusal
from tasks.text.degeneration import degeneration
from tasks.text.offers import declined
from tasks.text.unrepeated import count_without_loops
from tasks.text.words import constraint

WITHIN = 0.1  # share of the requested length by which the full reward reaches beyond the prompt's length band
MOST = 2.0  # times the upper end of the band, at which the reward is 0
NATURAL = 0.08  # share of repeated 4-grams that a natural long text has (POLARIS, arXiv 2606.04095)
SOFT = 0.2  # share of the limit of tokens over which an overlong answer is punished
BLANK = 0.1  # an answer with fewer words than this share of the requested length has no substance


def length(prompt: BenchmarkItem, answer: WrittenAnswer) -> float:
    """1 in the band around the requested length; below it written ÷ lower end; above it falling to 0 at MOST × the upper end.

    The shape is LongWriter-Zero's (arXiv 2506.18841). The band is the prompt's own (such as "500 to 700 words"), WITHIN wider.
    """
    asked, written = constraint(prompt.prompt, prompt.length), count_without_loops(answer.text)
    low, high = (1 - WITHIN) * asked.least, (1 + WITHIN) * asked.most
    if written < low:
        return written / low
    return 1.0 if written <= high else max(0.0, (MOST - written / high) / (MOST - 1))


def repetition(prompt: BenchmarkItem, answer: WrittenAnswer) -> float:
    """1 without repeats; less by the share of words in loops, and by the share of repeated 4-grams beyond NATURAL."""
    if not answer.text.strip():
        return 0.0  # an empty text repeats nothing, which must not be the best answer
    found = degeneration(answer.text)
    return max(0.0, 1 - found.looped - max(0.0, found.repetition - NATURAL))


def ended(prompt: BenchmarkItem, answer: WrittenAnswer) -> float:
    """1 if the policy ended the answer itself, 0 if the limit of tokens cut it off."""
    return float(answer.ended)


def substance(prompt: BenchmarkItem, answer: WrittenAnswer) -> float:
    """0 for a blank answer, for one with hardly any words, and for a refusal or an excuse for a shorter text; else 1."""
    asked = constraint(prompt.prompt, prompt.length)
    words = count_without_loops(answer.text)
    return float(words >= max(1.0, BLANK * asked.least) and not refusal(answer.text) and not declined(answer.text))


def overlong(answer: WrittenAnswer, max_tokens: int) -> float:
    """0 up to the last SOFT of the limit of tokens, then falling to -1 at the limit (DAPO, arXiv 2503.14476, equation 13)."""
    free = (1 - SOFT) * max_tokens
    return -min(1.0, max(0.0, answer.tokens - free) / (max_tokens - free))


LENGTH = Reward("length", "words outside loops, in the band around the requested length", rule=length)
REPETITION = Reward("repetition", "no loops and repeated phrases", rule=repetition)
ENDED = Reward("ended", "the answer ends by itself", rule=ended)
SUBSTANCE = Reward("substance", "neither blank nor a refusal", rule=substance)
