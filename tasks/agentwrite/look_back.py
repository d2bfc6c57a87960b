"""Search what was written for passages that concern the next paragraph, by BM25 (bm25s, method lucene).

Documents are a few sentences each, so that a quote is short and exact. Chinese has no spaces between words: its terms are pairs of
characters. The same paragraphs and query give the same quotes on every machine: scores are rounded, and of equal ones the later wins.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bm25s import BM25

PASSAGE = 400  # bytes from which a document ends with its sentence
DIGITS = 3  # of a score
_SENTENCE = re.compile(r"[^.!?。！？\n]{1,2000}(?:[.!?。！？]+[\"'”’」』)]{0,3}|\n|\Z)\s*")
_TERM = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")
_HAN = re.compile(r"[\u3400-\u9fff]")


class QuotedPassage(NamedTuple):
    """A few sentences of a paragraph, exactly as written. `number`: the paragraph's, from 1."""

    number: int
    text: str


class LookBack:
    """The searchable part of a text. It is indexed when it is searched for the first time after it grew."""

    def __init__(self) -> None:
        self._passages = list[QuotedPassage]()
        self._terms, self._known = list[list[str]](), set[str]()
        self._index: BM25 | None = None

    def add(self, number: int, paragraph: str) -> None:
        """Make paragraph `number` searchable."""
        for text in passages(paragraph):
            self._passages.append(QuotedPassage(number, text))
            self._terms.append(terms(text))
            self._known.update(self._terms[-1])
        self._index = None

    def find(self, query: str, *, room: int) -> list[QuotedPassage]:
        """The best passages for a query, in the order of the text, in at most `room` bytes together. Empty if no term of it occurs."""
        asked = [term for term in terms(query) if term in self._known]
        if not asked:
            return []
        scores = self._indexed().get_scores(asked)
        order = sorted(range(len(self._passages)), key=lambda place: (-round(float(scores[place]), DIGITS), -place))
        chosen, left = list[int](), room
        for place in order:
            size = len(self._passages[place].text.encode()) + 1
            if round(float(scores[place]), DIGITS) <= 0 or size > left:
                break
            chosen.append(place)
            left -= size
        return [self._passages[place] for place in sorted(chosen)]

    def _indexed(self) -> "BM25":
        if self._index is None:
            from bm25s import BM25

            self._index = BM25(method="lucene")
            self._index.index(self._terms, show_progress=False)
        return self._index


def passages(paragraph: str) -> list[str]:
    """A paragraph in passages of whole sentences, each of at least PASSAGE bytes but the last."""
    found, current = list[str](), ""
    for sentence in _SENTENCE.findall(paragraph):
        current += sentence
        if len(current.encode()) >= PASSAGE:
            found.append(current.strip())
            current = ""
    return [text for text in (*found, current.strip()) if text and text in paragraph]


def terms(text: str) -> list[str]:
    """The search terms of a text: its words in lower case, and every two neighbouring Chinese characters."""
    found = list[str]()
    for run in _TERM.findall(text.casefold()):
        found += [run[place : place + 2] for place in range(max(1, len(run) - 1))] if _HAN.match(run) else [run]
    return found


def rendered(passages: Sequence[QuotedPassage]) -> str:
    """Passages as quotes in a prompt."""
    return "\n".join(f'Paragraph {one.number}: "{one.text}"' for one in passages)
