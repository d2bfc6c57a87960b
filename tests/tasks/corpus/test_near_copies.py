"""Which texts are nearly an earlier one: as a plain loop over all earlier texts that share a band says it, on data full of copies."""

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.corpus import near_copies
from tasks.corpus.duplicates import ShingledText, jaccard, shingled
from tasks.corpus.near_copies import Near, SketchStore, sketch
from tasks.rehearsal.raw import LENGTHS, good_prompts

LONG = "Write an essay about the craft of clockmaking, its tools, its masters and its place in the life of a small town."


def near(texts: Sequence[ShingledText], *, parts: int = 1, threshold: float = 0.8) -> list[Near]:
    store = SketchStore(None, threshold=threshold)
    size = -(-len(texts) // parts) or 1
    for start in range(0, len(texts), size):
        store.add(sketch([text.shingles for text in texts[start : start + size]], threshold=threshold))
    found = list(store.near(np.arange(len(texts))))
    store.close()
    return found


def one_by_one(texts: Sequence[ShingledText], *, threshold: float) -> list[Near]:
    """The rule, without arrays: of each band a text is compared with the first texts that stay."""
    bands = sketch([text.shingles for text in texts], threshold=threshold).bands
    stay: dict[tuple[int, int], list[int]] = defaultdict(list)
    found = []
    for place, text in enumerate(texts):
        buckets = list(enumerate(bands[place].tolist()))
        others = sorted({other for bucket in buckets for other in stay[bucket]})
        scores = [(other, jaccard(texts[other].shingles, text.shingles)) for other in others]
        if first := next(((other, score) for other, score in scores if score >= threshold), None):
            found.append(Near(place, *first))
            continue
        for bucket in buckets:
            if len(stay[bucket]) < near_copies.BUCKET:
                stay[bucket].append(place)
    return found


def full_of_copies(count: int, seed: int = 3) -> list[ShingledText]:
    """Sentences of few words from few patterns, many of them changed in a word or two."""
    luck = random.Random(seed)
    words = [f"word{number}" for number in range(60)]
    patterns = [luck.sample(words, luck.randint(8, 40)) for _ in range(40)]
    texts = []
    for _ in range(count):
        made = list(luck.choice(patterns))
        for _ in range(luck.choice((0, 1, 1, 2, 4))):
            made[luck.randrange(len(made))] = luck.choice(words)
        texts.append(shingled(" ".join(made), "en"))
    return texts


@pytest.mark.parametrize("threshold", [0.8, 0.5])
@pytest.mark.parametrize("block", [7, 1_024])
def test_the_join_finds_what_one_text_after_the_other_finds(block: int, threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = full_of_copies(700)
    expected = one_by_one(texts, threshold=threshold)
    assert len(expected) > 150
    monkeypatch.setattr(near_copies, "BLOCK", block)
    monkeypatch.setattr(near_copies, "PAIRS", 50)
    assert near(texts, threshold=threshold) == near(texts, parts=7, threshold=threshold) == expected


def test_of_a_crowded_band_the_first_texts_that_stay_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = full_of_copies(800)
    monkeypatch.setattr(near_copies, "BUCKET", 2)
    expected = one_by_one(texts, threshold=0.5)
    monkeypatch.setattr(near_copies, "BLOCK", 50)
    assert near(texts, threshold=0.5) == expected


def test_the_order_of_precedence_decides_which_text_stays() -> None:
    store = SketchStore(None, threshold=0.8)
    store.add(sketch([shingled(text, "en").shingles for text in (LONG, f"{LONG} Thanks!", "Write about the sea.")], threshold=0.8))
    (first,), (last,) = list(store.near(np.array([0, 1, 2]))), list(store.near(np.array([2, 1, 0])))
    assert (first.place, first.other, last.place, last.other) == (1, 0, 0, 1)
    assert first.similarity == last.similarity >= 0.8
    assert list(store.near(np.array([0, 2]))) == list(store.near(np.zeros(0, np.int64))) == []


def test_asks_of_the_pool_that_differ_in_topic_or_length_are_no_copies() -> None:
    for language in ("en", "zh"):
        texts = good_prompts(language)
        assert not near([shingled(text, language) for text in texts])
        assert str(LENGTHS[3]) in texts[3]
        assert not near([shingled(texts[3].replace(str(LENGTHS[3]), str(n)), language) for n in LENGTHS])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=3, max_size=12).map(" ".join), unique=True, max_size=12))
def test_what_stays_is_far_from_each_other_and_what_goes_is_near_to_one_that_stays(lines: list[str]) -> None:
    texts = [shingled(line, "en") for line in lines]
    gone = {one.place: one for one in near(texts)}
    stay = [text.shingles for place, text in enumerate(texts) if place not in gone]
    assert all(jaccard(one, other) < 0.8 for one, other in combinations(stay, 2))
    assert all(one.other not in gone and one.similarity >= 0.8 for one in gone.values())
