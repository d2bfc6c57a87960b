"""Plan adherence: which steps of its plan a text is about, in which order, and how near each comes to its word count.

A text does not say which passage stands for which step, and need not have one for each: they are told by what they share. Step
and passage are vectors of tf-idf weights over this text and its plan: a word that is everywhere in the text tells nothing. A
step has the passage that the best assignment of all steps gives it (in doubt, the one at the step's place in the plan), and is
covered if their cosine reaches `ALIKE`. What was written for it runs from there to the passage of the next covered step.

`ALIKE` was set on real texts, against plans of other texts. Of 199 essays by four models, with the essays' own headings for the plan
and left out of the text, it finds 88% of the steps (20% of those of another essay); of Chinese articles, with a paragraph's first
sentence for the step and the rest for its passage, 81% (11%). A step that the text only paraphrases is missed, and scenes of a
story share few words with their summaries (48%, 35%): read a figure beside another model's, not alone. Of the neighbours among
covered headings 81% stand in order, and 53% when the sections are shuffled.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import mean
from typing import TYPE_CHECKING

from tasks.schema.records import Adherence, Step
from tasks.text.counts import chinese_share, count_words, s_l

if TYPE_CHECKING:
    import numpy as np

ALIKE = 0.1  # cosine from which a passage is about a step
MOST = 2000  # passages; of a longer text neighbours are taken together
LOOK = 500_000  # characters of a text whose words are weighed, spread over its passages; all of them are counted
IN_DOUBT = 0.05  # cosine that a whole text's distance from a step's own place in the plan takes from a passage
STEM = 6  # letters of a word that count, so that "governing" and "government" are one
CHINESE = 0.25  # share of Chinese characters from which a text's tokens are its characters
SPACED = 0.06  # share of white space in a text under which its script puts no spaces between words

_BLANK_LINES, _LINES, _SENTENCES = re.compile(r"\n\s*\n"), re.compile(r"\n+"), re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_WORD, _NO_WORD = re.compile(r"\w+"), re.compile(r"\W+")
_HEADING = re.compile(r"#{1,6}\s.*|\*\*[^\n]{1,120}\*\*:?|[^\n]{1,80}[^.!?。！？…,，;；:：\"”’』」)）\n]")


def adherence(plan: Sequence[Step], text: str) -> Adherence:
    """How `text` follows `plan`. An empty text covers nothing. Raises ValueError if the plan has no step."""
    if not plan:
        raise ValueError("no plan to follow")
    passages = passages_of(text, at_least=len(plan))
    places = _places(_alike([step.point for step in plan], passages))
    covered = {step: place for step, place in enumerate(places) if place is not None}
    stands = list(covered.values())
    pairs = [before <= behind for before, behind in pairwise(stands)]
    return Adherence(
        steps=len(plan),
        covered=len(covered) / len(plan),
        ordered=mean(pairs) if pairs else float(bool(covered)),
        s_l=mean(_length_scores(plan, covered, passages)) if covered else 0.0,
    )


def passages_of(text: str, *, at_least: int) -> list[str]:
    """The text's paragraphs, each with its heading; its lines or its sentences, where it has fewer paragraphs than `at_least`."""
    found: list[str] = []
    for border in (_BLANK_LINES, _LINES, _SENTENCES):
        found = list(_with_headings(part.strip() for part in border.split(text) if part.strip()))
        if len(found) >= at_least:
            break
    together = -(-len(found) // MOST)
    return found if together <= 1 else ["\n\n".join(found[first : first + together]) for first in range(0, len(found), together)]


def _with_headings(parts: Iterator[str]) -> Iterator[str]:
    headings: list[str] = []
    for part in parts:
        if _HEADING.fullmatch(part):
            headings.append(part)
        else:
            yield "\n".join([*headings, part])
            headings.clear()
    yield from headings  # of nothing: a text of short lines, or a heading at its end


def _alike(points: Sequence[str], passages: Sequence[str]) -> "np.ndarray":
    """Cosines, a row per step and a column per passage; zeros where there is nothing to compare."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    look = max(LOOK // max(len(passages), 1), 200)
    seen = [passage[:look] for passage in passages]
    tokens = _tokens_of(" ".join([*points, *seen]))
    documents = [tokens(passage) for passage in seen] + [tokens(point[:LOOK]) for point in points]
    if not any(documents[: len(passages)]):
        return np.zeros((len(points), len(passages)))
    weights = TfidfVectorizer(analyzer=_as_it_is, sublinear_tf=True).fit_transform(documents)
    return np.asarray((weights[len(passages) :] @ weights[: len(passages)].T).toarray())


def _as_it_is(tokens: list[str]) -> list[str]:
    return tokens


def _tokens_of(text: str) -> Callable[[str], list[str]]:
    """Stems of words; single characters and pairs of them where the script puts no spaces between words."""
    sample = text[:20_000]
    bare = sum(map(str.isspace, sample)) < SPACED * len(sample)
    return _characters if bare or chinese_share(sample) >= CHINESE else _stems


def _stems(text: str) -> list[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [word[:STEM] for word in _WORD.findall(text.lower()) if word not in ENGLISH_STOP_WORDS]


def _characters(text: str) -> list[str]:
    letters = _NO_WORD.sub("", text.lower())
    return [*letters, *map("".join, pairwise(letters))]


def _places(alike: "np.ndarray") -> list[int | None]:
    """The passage of each step; None: no passage is about it. Two steps may share one, where the text takes them together."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    steps, passages = alike.shape
    if not passages:
        return [None] * steps
    apart = np.abs((np.arange(steps)[:, None] + 0.5) / steps - (np.arange(passages) + 0.5) / passages)
    wanted = alike - IN_DOUBT * apart
    places = wanted.argmax(axis=1)
    own, given = linear_sum_assignment(wanted, maximize=True)
    fits = alike[own, given] >= ALIKE
    places[own[fits]] = given[fits]
    return [int(place) if alike[step, place] >= ALIKE else None for step, place in enumerate(places)]


def _length_scores(plan: Sequence[Step], covered: dict[int, int], passages: Sequence[str]) -> Iterator[float]:
    """S_l of each covered step: the words up to the next covered step's passage. Steps that share them do so by their word counts."""
    starts = sorted(set(covered.values()))
    written = {start: sum(map(count_words, passages[start:end])) for start, end in zip(starts, [*starts[1:], len(passages)], strict=True)}
    asked = {start: sum(plan[step].words for step, place in covered.items() if place == start) for start in starts}
    for start in covered.values():
        yield s_l(asked[start], written[start])
