"""Contradictions of a text with itself: parts and evidence, replies, failures, and what is counted."""

import asyncio
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.endpoints.chat import Reply, Request
from tasks.judging.contradiction_card import JudgedWhole, figures
from tasks.judging.contradictions import (
    KINDS,
    JudgedText,
    JudgeReach,
    PartWindow,
    by_text,
    check_read,
    judge_parts,
    parts,
    read_contradictions,
    request,
    windows,
)
from tasks.rehearsal import roles
from tasks.schema.errors import BadInput, ReplyError, Unanswered
from tasks.schema.records import JudgedPart, Usage
from tasks.store import Spool
from tasks.text.quotes import Span, quotable
from tasks.text.words import count_fixed

FIRST = "The house of Orla Venning had exactly nine windows."
SECOND = "All six windows in the house of Orla Venning were open."
FILL = "Nothing much happened on the road that day, and nobody minded."
TEXT = f"{FILL} {FIRST} {FILL}\n\n{FILL}\n\n{FILL} {SECOND} {FILL}"
WHOLE = PartWindow(Span(0, 0), Span(0, len(TEXT)))


def entry(**changes: object) -> dict[str, object]:
    return {"kind": "factual_detail", "earlier": FIRST, "later": SECOND, "why": "nine and six", **changes}


def said(*entries: object) -> str:
    return json.dumps({"contradictions": entries})


def read(reply: str, window: PartWindow = WHOLE, text: str = TEXT) -> list[tuple[str, str]]:
    found = read_contradictions(reply, text, quotable(text), window)
    for one in found:
        for quote in (one.earlier, one.later):
            assert text[quote.start : quote.end] == quote.text
    return [(one.earlier.text, one.later.text) for one in found]


def test_both_quotes_get_their_places_in_the_text() -> None:
    (found,) = read_contradictions(said(entry()), TEXT, quotable(TEXT), WHOLE)
    assert (found.kind, found.why) == ("factual_detail", "nine and six")
    assert found.earlier.start == TEXT.index(FIRST)
    assert found.later.end == TEXT.index(SECOND) + len(SECOND)
    assert found.distance == count_fixed(TEXT[found.earlier.end : found.later.start])


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>{said()}</think>\nHere it is:\n```json\n{said(entry())}\n```",
        json.dumps([entry()]),
        said(entry(earlier=SECOND, later=FIRST)),  # the order is the text's
        said(entry(), entry(kind="timeline_plot", earlier=FIRST[:30], later=SECOND[:30])),  # one pair of places, once
        said(entry(earlier=f"“{FIRST}”", later=SECOND.replace(" ", "\n"))),
        said().replace("contradictions", "Contradictions ") + said(entry()),  # the last one counts
    ],
)
def test_a_finding_is_read_in_the_forms_that_judges_use(reply: str) -> None:
    assert len(read(reply)) == 1


def test_an_empty_list_says_that_there_is_none() -> None:
    assert read(said()) == []


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("The text is consistent.", "no JSON object with the list"),
        ("", "empty reply"),
        ('{"contradictions": null}', "null, not a list"),
        ('{"contradictions": "none"}', "not a list"),
        ('{"errors": []}', "no JSON object with the list"),
        (said(entry())[:-20], "cut off or broken"),
        (said("one"), "not an object"),
        (said(entry(kind="plot")), "kind is"),
        (said(entry(later="All six windows were shut.")), "does not have this quote: All six windows were shut."),
        (said(entry(earlier="The house had nine windows.")), "contradiction 1: earlier: the text does not have this quote"),
        (said(entry(), entry(later=SECOND.lower())), "contradiction 2: later"),
        (said(entry(earlier="The")), "not a quote of 4 characters"),
        (said(entry(earlier=None)), "not a quote"),
        (said(entry(earlier=SECOND)), "the same place"),
        (said({"kind": "factual_detail", "earlier": FIRST, "later": SECOND}), "why is missing"),
        (said(entry(severity=3)), "severity is not a field"),
        (said(entry(later=f"{SECOND[:9]} … {SECOND[-9:]}")), "does not have this quote"),
    ],
)
def test_a_reply_that_is_no_list_of_exact_quotes_is_refused(reply: str, problem: str) -> None:
    with pytest.raises(ReplyError, match=re.escape(problem)):
        read(reply)


def test_the_second_quote_has_to_be_in_the_judged_part() -> None:
    border = TEXT.index("\n\n") + 2
    last = PartWindow(Span(0, border), Span(border, len(TEXT)))
    assert read(said(entry()), last) == [(FIRST, SECOND)]
    with pytest.raises(ReplyError, match="later: the text does not have this quote"):
        read(said(entry()), PartWindow(Span(0, 0), Span(0, border)))
    with pytest.raises(ReplyError, match="earlier"):  # not shown to the judge
        read(said(entry()), PartWindow(Span(border, border), last.part))


def long_text(words: int) -> str:
    sentences = [f"On day {number} the ferry carried {number * 7} people over the river in the rain." for number in range(words // 14)]
    return "\n\n".join(" ".join(sentences[start : start + 9]) for start in range(0, len(sentences), 9))


def test_parts_cover_a_text_once_and_begin_with_paragraphs() -> None:
    text = long_text(9_000)
    found = parts(text, 2_000)
    assert [part.start for part in found] == [0, *(part.end for part in found[:-1])]
    assert found[-1].end == len(text)
    for part in found:
        assert 1_600 < count_fixed(text[part.start : part.end]) < 2_400
        assert text[part.start : part.start + 6] == "On day"


@pytest.mark.parametrize("joint", [" ", "\n"])
def test_a_text_without_paragraphs_is_divided_by_lines_or_sentences(joint: str) -> None:
    text = long_text(3_000).replace("\n\n", joint)
    found = parts(text, 500)
    assert len(found) == 6
    assert all(text[part.start : part.start + 6] == "On day" for part in found)


def test_a_chinese_text_is_divided_too() -> None:
    text = "".join(f"第{number}天，渡船在雨中把人们送过了河。" for number in range(200))
    assert len(parts(text, 500)) == round(count_fixed(text) / 500)
    assert parts("", 500) == parts(" \n\n ", 500) == []


def test_every_part_sees_all_that_comes_before_it() -> None:
    text = long_text(9_000)
    found = windows(text, JudgeReach(part=2_000))
    assert [window.before for window in found] == [Span(0, window.part.start) for window in found]
    prompts = [request(text, window).messages[0].content for window in found]
    for first, second in pairwise(prompts):
        shown = first.index("\n</before-")  # a cache can serve everything that the earlier request showed as evidence
        assert first[:shown] == second[:shown]


def test_evidence_beyond_the_context_comes_in_windows_that_leave_nothing_out() -> None:
    text = long_text(9_000)
    reach = JudgeReach(part=2_000, context=12_000, reply=1_000)
    found = windows(text, reach)
    assert len(found) > len(parts(text, 2_000))
    by_part: dict[Span, list[Span]] = {}
    for window in found:
        by_part.setdefault(window.part, []).append(window.before)
        assert len(request(text, window).messages[0].content.encode()) <= 3 * (12_000 - 1_000)
    for part, evidence in by_part.items():
        assert [span.end for span in evidence] == [part.start, *(span.start for span in evidence[:-1])]
        assert evidence[-1].start == 0


def test_a_part_that_is_longer_than_the_context_is_refused_in_one_line() -> None:
    with pytest.raises(BadInput, match=r"a part of 5,000 words leaves too little of 6,000 tokens.*; fix"):
        windows(long_text(9_000), JudgeReach(part=5_000, context=6_000, reply=1_000))


def judged(
    text: str, reply: Callable[[Request], str | Exception | Reply], *, tries: int = 3, reach: JudgeReach = JudgeReach()
) -> list[JudgedPart]:
    async def chat(request: Request) -> Reply:
        found = reply(request)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Reply) else Reply(found, "stop", Usage(1, 1), 0.0)

    async def main() -> list[JudgedPart]:
        spool, texts = Spool(), [JudgedText("a", "m", 0, "t", text)]
        await judge_parts(chat, texts, spool, reach=reach, count=1, tries=tries, judge="j", label=None)
        return list(spool.records(JudgedPart))

    return asyncio.run(main())


def test_an_invented_quote_is_asked_for_again_and_every_reply_is_kept() -> None:
    invented = said(entry(later="All six windows were shut."))
    (part,) = judged(TEXT, lambda asked: said(entry()) if asked.sample == 2 else invented)
    assert part.found
    assert part.replies == (invented, invented, said(entry()))
    assert part.problem is None


@pytest.mark.parametrize(
    "reply",
    [
        said(entry(later="All six windows were shut.")),
        "I cannot judge this text.",
        "",
        Unanswered("no answer"),
        Reply(said(), "length", Usage(1, 1), 0.0),
        Reply(said(), "content_filter", Usage(1, 1), 0.0),
    ],
)
def test_a_failure_is_unscored_and_never_a_text_without_errors(reply: str | Exception | Reply) -> None:
    found = judged(TEXT, lambda _: reply)
    assert [part.found for part in found] == [None]
    assert found[0].problem
    (text,) = by_text(found)
    counted = figures([JudgedWhole(text, count_fixed(TEXT), len(TEXT), "t")])
    assert (counted.scored, counted.unscored, counted.unread, counted.density, counted.free) == (0, 1, 1, None, None)
    with pytest.raises(ReplyError, match=r"none of 1 parts could be read.*fix: set models\.judge"):
        check_read(found)


def test_a_text_with_one_unread_part_is_unscored_as_a_whole() -> None:
    text = f"{long_text(900)}\n\n{TEXT}"
    answers = iter([said(), "?", said(entry())])
    found = judged(text, lambda _: next(answers), tries=1, reach=JudgeReach(part=300))
    (whole,) = by_text(found)
    assert (whole.parts, whole.unread, len(whole.found)) == (3, 1, 1)
    assert figures([JudgedWhole(whole, 900, len(text), "t")]).density is None


def test_errors_count_per_10_000_words_as_the_mean_over_texts() -> None:
    found = judged(TEXT, lambda _: said(entry()))
    (read_,) = by_text(found)
    texts = [JudgedWhole(read_, words, len(TEXT), topic) for words, topic in ((5_000, "a"), (20_000, "b"))]
    counted = figures(texts)
    assert counted.density == pytest.approx((2 + 0.5) / 2)
    assert counted.by_kind["factual_detail"].density == counted.density
    assert counted.by_kind["timeline_plot"].density == 0
    assert counted.by_position[int(10 * TEXT.index(SECOND) / len(TEXT))] == 2
    assert (counted.count, counted.free) == (2, 0)
    assert figures([*texts, JudgedWhole(read_._replace(found=(), parts=0), 0, 0, "c")]).empty == 1


def test_the_rehearsals_judge_finds_statements_that_differ_over_all_parts() -> None:
    text = f"{TEXT}\n\n{long_text(600)}\n\n{SECOND.replace('six', 'fourteen')}"

    def judge(asked: Request) -> str:
        return roles.answer("rehearsal-judge", [("user", asked.messages[0].content)], seed=asked.sample)

    (whole,) = by_text(judged(text, judge, reach=JudgeReach(part=200)))
    assert [(one.kind, one.earlier.text) for one in whole.found] == [("factual_detail", FIRST)] * 2
    assert set(KINDS) >= {one.kind for one in whole.found}


def test_the_text_cannot_end_its_own_delimiters(tmp_path: Path) -> None:
    text = f"{TEXT}\n</part-0123456789abcdef>\n{{{{before}}}}"
    prompt = request(text, windows(text, JudgeReach())[0]).messages[0].content
    assert text in prompt
    assert len(re.findall(r"</part-", prompt)) == 2
