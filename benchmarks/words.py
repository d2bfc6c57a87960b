"""Compare the speed of both word counts with the official regex loop in one run, and check them on hard cases; `make bench`.

The texts are recorded answers (HelloBench) and Chinese prompts with their material, 2 to 30 KB each, if ../shared/data has them, and
paragraphs of the rehearsal endpoint. The loop is `count_by_definition`, with two `findall` per text as in the official scripts.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.rehearsal.prose import paragraph
from tasks.text.counts import chinese_share, count_by_definition, count_words
from tasks.text.words import count_fixed

DATA = Path(__file__).parents[2] / "shared" / "data"
ENGLISH = sorted(DATA.glob("hellobench/*/*/*.jsonl"))
CHINESE = [DATA / name for name in ("instructions/writingbench_length.jsonl", "instructions/lifebench_lite.jsonl")]
SIZES = range(2_000, 30_001)  # bytes of UTF-8
EVERY = 10  # only every tenth English text is used
GOES = 30


class Case(NamedTuple):
    text: str
    words: int  # as a person counts
    why: str


HARD_CASES = [
    Case("don't stop", 2, "a contraction is one word"),
    Case("It’s the dogs’ ball, isn’t it?", 6, "curly apostrophes too, and those at a word's end"),
    Case("rock 'n' roll", 3, "quotes around a word are no part of it"),
    Case("a state-of-the-art, well-known idea", 4, "a compound with hyphens is one word"),
    Case("He paused—then left – alone -- again", 6, "dashes part words, hyphens join them"),
    Case("café naïve résumé", 3, "accents"),
    Case("cafe\u0301 nai\u0308ve", 2, "accents as combining marks"),
    Case("Straße Ærø Łódź", 3, "Latin letters beyond ASCII"),
    Case("GPT4 H2O B2B", 3, "letters and digits mixed"),
    Case("1,000.5", 1, "a number with its separators"),
    Case("In 2024, prices rose 3.5% to $12.", 7, "numbers are read aloud as words are"),
    Case("at 12:30 on 2024-01-15", 4, "a time and a date are one each"),
    Case("and/or, he/she", 4, "a slash parts words"),
    Case("the U.S.A. and the U.K., e.g. at 3 p.m.", 9, "initials and abbreviations are one each"),
    Case("R&D at AT&T", 3, "an ampersand inside a name"),
    Case("It ended.Then it began.", 5, "a space that was forgotten"),
    Case("snake_case __init__", 2, "identifiers"),
    Case("使用GPT模型", 5, "Chinese by characters, a name inside it by words"),
    Case("第3章，2024年", 5, "numbers inside Chinese"),
    Case("㐀𠀀𰀀﨑〇々", 6, "Han of the extensions, compatibility, zero and repetition"),
    Case("ひらがなとカタカナ", 9, "kana by characters"),
    Case("コーヒーを飲む。", 7, "with long marks, without the full stop"),
    Case("ﾊﾟﾝ", 2, "half-width kana with its voicing mark"),
    Case("나는 학교에 갑니다", 3, "Hangul by spaces"),
    Case("Привет, как дела?", 3, "Cyrillic"),
    Case("Καλημέρα κόσμε", 2, "Greek"),
    Case("مرحبا بالعالم العربي", 3, "Arabic"),
    Case("كِتَابٌ جَدِيدٌ", 2, "Arabic with vowel signs"),
    Case("می‌خواهم کتاب‌ها", 2, "Persian with non-joiners inside words"),
    Case("שלום עולם צה״ל", 3, "Hebrew, an acronym with its mark"),
    Case("नमस्ते दुनिया क्‍या हाल है", 5, "Devanagari with signs and joiners"),
    Case("வணக்கம் உலகம்", 2, "Tamil with signs"),
    Case("co\u00adoperate zero\u200bwidth \ufeffmark", 4, "a soft hyphen joins, a zero-width space parts"),
    Case("Great 👍🏽 work 👩‍👩‍👧 🇩🇪 1️⃣ ❤️", 2, "emoji are none"),
    Case("• one ① two ★ → three", 3, "bullets, circled numbers and signs are none"),
    Case("1. First\n2. Second\n   - [x] third", 3, "numbers and boxes of a list are none"),
    Case("## **Bold** _move_\n\n---\n\n> `code`", 3, "marks of Markdown are none"),
    Case("| a | b |\n|---|:-:|\n| c | d |", 4, "a table's lines are none"),
    Case("see [the docs](https://example.com/a_b?c=d) now", 4, "a link's address is not read"),
    Case("![a red fox](fox.png) A fox[^1]\n\n[^1]: Red.", 3, "pictures and footnote marks are none"),
    Case("Visit https://example.com/a/b?c=d&e=f today", 3, "an address in the text is one"),
    Case("Write to John.Doe@Example.co.uk.", 3, "an e-mail address is one"),
    Case("```python\nprint(x)\n```", 2, "a fence and its language are none"),
    Case("Tom &amp; <b>Jerry</b><br/>run<!-- soon -->", 3, "tags, comments and entities are none"),
    Case("Ph.D. in node.js v2.0", 4, "a full stop inside a name"),
    Case("…!?— ***", 0, "nothing to read"),
    Case("ฉันรักภาษาไทย", 4, "Thai has no spaces between words"),
    Case("ta có đất nước", 4, "Vietnamese, as written: by syllables"),
]


def english() -> Iterator[str]:
    texts = [text for path in ENGLISH for row in _rows(path) for text in _strings(row["response"])]
    yield from [text for text in texts if len(text.encode()) in SIZES][::EVERY]


def chinese() -> Iterator[str]:
    texts = (text for path in CHINESE if path.exists() for row in _rows(path) for text in _strings(row))
    yield from (text for text in texts if len(text.encode()) in SIZES and chinese_share(text) > 0.5)


def rehearsed(language: str, words: int) -> list[str]:
    """20 texts of one paragraph each: plain words and punctuation."""
    return [paragraph(topic="bread", language=language, words=words, part=2, parts=3, seed=seed) for seed in range(20)]  # type: ignore[arg-type]


def _rows(path: Path) -> Iterator[dict[str, object]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)


def microseconds(counts: list[Callable[[str], int]], texts: list[str]) -> list[float]:
    """Microseconds per text for each count: the fastest of GOES rounds. Rounds alternate, so that a slow moment affects all counts."""
    best = [float("inf")] * len(counts)
    for _ in range(GOES):
        for way, count in enumerate(counts):
            start = time.perf_counter()
            for text in texts:
                count(text)
            best[way] = min(best[way], time.perf_counter() - start)
    return [spent / len(texts) * 1e6 for spent in best]


def speed(name: str, texts: list[str]) -> None:
    assert list(map(count_words, texts)) == list(map(count_by_definition, texts)), name
    loop, paper, fixed = microseconds([count_by_definition, count_words, count_fixed], texts)
    characters = sum(map(len, texts)) / len(texts)
    print(f"{name:34}{len(texts):6}{characters:9,.0f}{loop:9.1f}{paper:9.1f}{loop / paper:8.1f}{fixed:9.1f}{loop / fixed:8.1f}")


def main() -> None:
    print("words counted, mean microseconds a text (the same texts, the same run; the paper's count equal on every one)")
    print(f"{'':34}{'texts':>6}{'chars':>9}{'loop':>9}{'paper':>9}{'x':>8}{'fixed':>9}{'x':>8}")
    answers, requests = list(english()), list(chinese())
    groups = {
        "English, ASCII": [text for text in answers if text.isascii()],
        "English, with curly quotes": [text for text in answers if not text.isascii()],
        "Chinese, with Latin and numbers": requests,
        "the same, over 5,000 characters": [text for text in requests if len(text) > 5_000],
        "English, rehearsed": rehearsed("en", 2_000),
        "Chinese, rehearsed, short": rehearsed("zh", 1_000),
        "Chinese, rehearsed, long": rehearsed("zh", 9_000),
        "Chinese, rehearsed, very long": rehearsed("zh", 27_000),
    }
    for name, texts in groups.items():
        if texts:
            speed(name, texts)
    print(f"\n{'hard cases':44}{'a person':>9}{'paper':>7}{'fixed':>7}")
    for text, words, why in HARD_CASES:
        paper, fixed = count_words(text), count_fixed(text)
        print(f"{why[:43]:44}{words:9}{paper:7}{fixed:7}{'' if fixed == words else '  wrong: ' + ascii(text)}")
    papers, ours = (sum(count(case.text) == case.words for case in HARD_CASES) for count in (count_words, count_fixed))
    print(f"right: paper {papers} of {len(HARD_CASES)}, fixed {ours} of {len(HARD_CASES)}")


if __name__ == "__main__":
    main()
