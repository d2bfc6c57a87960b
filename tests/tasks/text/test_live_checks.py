import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.rehearsal.prose import paragraph
from tasks.text.live_checks import EVERY, LiveCheck, StoppedReply, Watch, find_stop

CHINESE = "\n\n".join(paragraph(topic="石桥", language="zh", words=120, part=n, parts=30, seed=2) for n in range(1, 31))
ENGLISH = "\n\n".join(paragraph(topic="the bridge", language="en", words=120, part=n, parts=30, seed=2) for n in range(1, 31))
LOOP = "And so the day went by, and nobody in the town said a word about it. "
TEXTS = (ENGLISH, CHINESE, ENGLISH[:3000] + LOOP * 100, ENGLISH[:2000] + CHINESE, "I cannot help with that. " + ENGLISH, "  \n" + LOOP * 90)


@given(st.sampled_from(TEXTS), st.lists(st.integers(1, 3000), min_size=1, max_size=30))
def test_the_verdict_is_the_same_however_the_text_comes_in_pieces(text: str, sizes: list[int]) -> None:
    check, found, place = LiveCheck(Watch("en", 2000)), None, 0
    while place < len(text) and found is None:
        size = sizes[place % len(sizes)]
        found, place = check.add(text[place : place + size]), place + size
    assert found == find_stop(text, Watch("en", 2000))


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (CHINESE, "zh"), (ENGLISH, "unknown"), (CHINESE, "unknown")])
def test_a_good_text_is_read_to_its_end(text: str, language: str) -> None:
    assert find_stop(text, Watch(language, 3600)) is None


def test_a_refrain_a_quotation_and_code_do_not_stop_a_text() -> None:
    song = "\n\n".join(f"{ENGLISH[n * 700 : n * 700 + 700]}\n\nRow, row, row your boat, gently down the stream." for n in range(8))
    quoted = f"{ENGLISH[:2000]}\n\nEr sagte: „Das Brot ist noch warm, und der Ofen brennt seit dem frühen Morgen.“\n\n{ENGLISH[2000:]}"
    code = (
        ENGLISH[:2000]
        + "\n\n```python\n"
        + "\n".join(f"ofen_{n} = backe(brot_{n}, grad={n})" for n in range(80))
        + "\n```\n\n"
        + ENGLISH[2000:]
    )
    for text in (song, quoted, code):
        assert find_stop(text, Watch("en", 4000)) is None


@pytest.mark.parametrize("block", ["no ", LOOP, "好的。", "这座桥很老，桥下的水很清。", "- \n"])
def test_a_loop_is_stopped_soon_after_it_begins(block: str) -> None:
    found = find_stop(ENGLISH[:1200] + block * 4000, Watch("unknown", None))
    assert found
    assert found.cause == "loop"
    assert int(found.evidence.split("character ")[1].split(":")[0]) <= 1200 + 1600 + EVERY


def test_a_long_block_that_comes_again_and_again_is_a_loop_too() -> None:
    assert find_stop(ENGLISH[:1700] * 12, Watch("en", 100_000)) is not None


def test_it_is_far_too_long_only_far_beyond_the_words() -> None:
    assert find_stop(ENGLISH, Watch("en", 1000)) is None
    assert find_stop(ENGLISH, Watch("en", 700)) == StoppedReply("too_long", "over 2800 words, 700 asked for", at=15200)


def test_a_short_text_is_never_stopped() -> None:
    assert find_stop(LOOP * 5, Watch("zh", 1)) is None
