from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.corpus.duplicates import jaccard, near_duplicates, normal, shingled, text_id
from tasks.rehearsal.raw import LENGTHS, asks

LONG = "Write an essay about the craft of clockmaking, its tools, its masters and its place in the life of a small town."


def test_the_id_is_the_same_for_texts_that_differ_in_case_space_and_normal_form_only() -> None:
    assert text_id("  Café\n CRÈME ") == text_id("Cafe\u0301 crème")
    assert text_id("one") != text_id("two")
    assert len(text_id("")) == 16
    assert normal("A\u2028 b") == "a b"


def test_a_copy_with_a_courtesy_is_found_and_the_earlier_one_stays() -> None:
    texts = [shingled(text, "en") for text in (LONG, f"{LONG} Thanks!", "Write about the sea.")]
    found = near_duplicates(texts, threshold=0.8)
    assert list(found) == [texts[1].id]
    assert found[texts[1].id].id == texts[0].id


def test_asks_of_the_pool_that_differ_in_topic_or_length_are_no_copies() -> None:
    english, chinese = asks("en"), asks("zh")
    assert not near_duplicates([shingled(text, "en") for text in english], threshold=0.8)
    assert not near_duplicates([shingled(text, "zh") for text in chinese], threshold=0.8)
    for language, text in (("en", english[3]), ("zh", chinese[3])):
        assert str(LENGTHS[3]) in text
        assert not near_duplicates([shingled(text.replace(str(LENGTHS[3]), str(n)), language) for n in LENGTHS], threshold=0.8)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=3, max_size=12).map(" ".join), unique=True, max_size=12))
def test_what_stays_is_far_from_each_other_and_what_goes_is_near_to_one_that_stays(lines: list[str]) -> None:
    texts = [shingled(line, "en") for line in lines]
    found = near_duplicates(texts, threshold=0.8)
    kept = {text.id: text.shingles for text in texts if text.id not in found}
    assert all(jaccard(one, other) < 0.8 for one, other in combinations(kept.values(), 2))
    assert all(match.id in kept and match.similarity >= 0.8 for match in found.values())
