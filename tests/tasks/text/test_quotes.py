"""A quote is found where the text has it, whatever JSON and typography did to it, and nowhere else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.quotes import Span, quotable

TEXT = "He said: “Wait…  for\n\nme”—and left at 10 am.\n\n他说：“等一下１２。” A cafe\u0301 with a ﬁne e\u0301tude.\tEnd"


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("He said", "He said"),
        ('"Wait... for me"', "“Wait…  for\n\nme”"),
        ("Wait… for me", "Wait…  for\n\nme"),
        ("Wait..", "Wait…"),  # it ends inside a character that NFKC makes three
        ("等一下12", "等一下１２"),
        ("caf\u00e9", "cafe\u0301"),
        ("cafe\u0301 with", "cafe\u0301 with"),
        ("a fine", "a ﬁne"),
        ("étude. End", "e\u0301tude.\tEnd"),
        ("“He said:”", "He said:"),  # the marks around it are the judge's
    ],
)
def test_a_quote_is_found_with_its_place_in_the_text(quote: str, found: str) -> None:
    span = quotable(TEXT).find(quote)
    assert span
    assert TEXT[span.start : span.end] == found


@pytest.mark.parametrize("quote", ["he said", "Wait for me", "He said … left", "etude", "", "  ", '""', "Wait... for me, and"])
def test_what_the_text_does_not_have_is_not_found(quote: str) -> None:
    assert quotable(TEXT).find(quote) is None


def test_a_quote_is_found_within_a_span_alone() -> None:
    text = "It rained. It rained. It rained."
    quotes = quotable(text)
    assert quotes.find("It rained.") == Span(0, 10)
    assert quotes.find("It rained.", Span(1, len(text))) == Span(11, 21)
    assert quotes.find("It rained.", Span(12, 31)) is None


@given(st.text(alphabet=st.sampled_from("ab é\u0301ﬁ…“\n\t 中１字.가각"), min_size=1, max_size=60), st.data())
def test_every_stretch_of_a_text_is_found_in_it(text: str, data: st.DataObject) -> None:
    text = unicodedata.normalize("NFC", text)
    start = data.draw(st.integers(0, len(text) - 1))
    while start and unicodedata.combining(text[start]):  # a quote does not begin inside a letter
        start -= 1
    quote = text[start : data.draw(st.integers(start + 1, len(text)))]
    span = quotable(text).find(quote)
    plain = quotable(quote).folded.strip()
    if span is None:
        assert not plain.strip("\"' "), quote
    else:
        assert quotable(text[span.start : span.end]).folded.strip().startswith((plain, plain.strip("\"' ")))
