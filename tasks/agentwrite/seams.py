"""Seams between chapters that were written at the same time: does a paragraph repeat or contradict what was written before it?

The rules compare texts only. A paragraph repeats another if it begins with one of its sentences, if many of its n-grams are the other's, or
if both have the same heading. It contradicts one if it has one of its sentences with other figures.
"""

import re
from collections.abc import Sequence

from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.schema.records import Reason
from tasks.text.counts import chinese_share
from tasks.text.unicode import normalized

SHARED = 0.3  # share of a paragraph's n-grams that are the other's
RUN = 8  # words, or Chinese characters, of an n-gram: so long that a small vocabulary does not repeat it by chance
LEAST = 20  # n-grams of a paragraph that is compared
SENTENCE = {False: 30, True: 12}  # characters of a sentence that has no other meaning by chance: spaced scripts, Chinese
HEADING = 80  # characters
_FIGURE = re.compile(r"\d[\d.,]*")
_END = re.compile(r"[.!?][\"'”’)]*(?:\s+|$)|[。！？]|\n")


def seam_fault(paragraph: str, before: Sequence[str], openings: Sequence[str] = ()) -> Unwritable | None:
    """Why a paragraph cannot begin a chapter; None if it can.

    `before`: the last paragraphs of the chapter before; `openings`: the first ones of all earlier chapters.
    """
    own = _flat(paragraph)
    grams = grams_of(own, RUN)
    ends = [("the last paragraph of the chapter before", before[-1])] if before else []
    others = [("a paragraph at the end of the chapter before", other) for other in before[-2::-1]]
    for where, other in (*ends, *others, *(("the beginning of an earlier chapter", opening) for opening in openings)):
        if heading := _same_heading(paragraph, other):
            return Unwritable(Reason.REPEATED, f"the heading of {where}: {heading}")
        if said := _same_beginning(own, _flat(other)):
            return Unwritable(Reason.REPEATED, f"it begins with a sentence of {where}: {said[:80]}")
        if found := _other_figures(own, _flat(other)):
            return Unwritable(Reason.REPEATED, f"a sentence of {where} with other figures: {found[:80]}")
        known = set(grams_of(_flat(other), RUN))
        share = sum(gram in known for gram in grams) / len(grams) if len(grams) >= LEAST else 0.0
        if share > SHARED:
            return Unwritable(Reason.REPEATED, f"{share:.0%} of its runs of eight words are those of {where}: {own[:60]}")
    return None


def grams_of(flat: str, size: int) -> list[tuple[str, ...]]:
    """The n-grams of a casefolded text: of its words, or of its characters if it has hardly any spaces."""
    parts = flat.split()
    if len(parts) < len(flat) / 20:
        parts = [sign for sign in flat if sign.isalnum()]
    return [tuple(parts[place : place + size]) for place in range(len(parts) - size + 1)]


def _flat(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in normalized("NFC", text).casefold().splitlines())


def _same_heading(one: str, other: str) -> str | None:
    """The heading that begins both paragraphs."""
    headings = [text.strip().partition("\n") for text in (one, other)]
    names = [
        first.strip(" #*_").casefold()
        for first, line, _ in headings
        if line and len(first) <= HEADING and not first.rstrip().endswith((".", "。"))
    ]
    return names[0] if len(names) == 2 and names[0] == names[1] and names[0] else None


def _same_beginning(one: str, other: str) -> str | None:
    """The first sentence of a text, if it is a sentence of the other one too."""
    first = next((said.strip() for said in _END.split(one) if said.strip()), "")
    return first if _is_long(first) and first in (said.strip() for said in _END.split(other)) else None


def _is_long(sentence: str) -> bool:
    """Whether a sentence does not recur by chance."""
    return len(sentence) >= SENTENCE[chinese_share(sentence) > 0.5]


def _other_figures(one: str, other: str) -> str | None:
    """A sentence that is in both texts, but with other figures."""
    theirs = {key: figures for key, figures, _ in _with_figures(other)}
    return next((said for key, figures, said in _with_figures(one) if theirs.get(key, figures) != figures), None)


def _with_figures(flat: str) -> list[tuple[str, tuple[str, ...], str]]:
    """Each sentence with figures: without them, the figures, and the sentence itself."""
    found = []
    for sentence in _END.split(flat):
        key, figures = _FIGURE.sub("#", sentence).strip(), tuple(figure.rstrip(".,") for figure in _FIGURE.findall(sentence))
        if figures and _is_long(key):
            found.append((key, figures, sentence.strip()))
    return found
