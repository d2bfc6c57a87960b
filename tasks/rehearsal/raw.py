"""Write the rehearsal's raw files: `python -m tasks.rehearsal.raw data/raw` writes pool.jsonl, benchmark.jsonl and ruler.jsonl.

The pool has the format of WildChat-1M: good prompts for long texts, with lengths balanced over two languages, and the noise of a
real pool. The benchmark has the fields of LongBench-Write, the same kinds of prompts, and its own topics. Everything is made from
lists and rules, with the same bytes for the same seed, and contains no data of real people.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import orjson

from tasks import store
from tasks.rehearsal.noise import DEPENDENT, FLAGGED, FOREIGN, INJECTION, SCRAPING, SHORT, UNBOUNDED
from tasks.rehearsal.phrases import GENRES, Genre
from tasks.schema.records import Language

LENGTHS = (100, 200, 400, 800)  # words, or characters of Chinese
RULER_PROMPTS = 4  # per language
PER_LENGTH = 52  # good prompts per length and language
TOO_LONG = ("5,000", "8000", "10,000", "12000", "20,000", "50000")
NAMES: dict[Language, str] = {"en": "English", "zh": "Chinese"}
START = datetime(2024, 3, 1, 8, tzinfo=UTC)
_THANKS: dict[Language, tuple[str, str]] = {"en": ("", " Thanks!"), "zh": ("请问，", "谢谢。")}
_REPLIES = {
    "English": "Of course. Here is a first draft; tell me what you would like to change.",
    "Chinese": "好的，下面是初稿，您看看还需要修改什么。",
}

Row = dict[str, Any]


def main(folder: Path, *, seed: int = 42) -> None:
    """Write the three files into `folder`."""
    _write(folder / "pool.jsonl", pool(seed))
    _write(folder / "benchmark.jsonl", benchmark())
    _write(folder / "ruler.jsonl", ruler())


def pool(seed: int) -> list[Row]:
    """About 640 chats in random order."""
    draw = Random(seed)
    good = [(NAMES[language], text) for language in GENRES for text in good_prompts(language)]
    rows = [(language, text, False, False) for language, text in (*good, *_copies(good, draw), *_leaks(draw), *_too_long())]
    for noise in (*SHORT, *UNBOUNDED, *SCRAPING, *DEPENDENT, *INJECTION, *FLAGGED, *FOREIGN):
        rows += [(noise.language, text, noise.toxic, noise.redacted) for text in noise.texts]
    rows += [("English", "", False, False), ("Chinese", "   ", False, False)]
    draw.shuffle(rows)
    return [_chat(index, *row, turns=draw.choice((1, 1, 1, 2))) for index, row in enumerate(rows)]


def good_prompts(language: Language) -> list[str]:
    """PER_LENGTH good prompts per length. A topic recurs only after all topics were used, then with another template."""
    wanted = PER_LENGTH * len(LENGTHS)
    rounds = (entry for turn in range(wanted) for entry in _round(GENRES[language], turn))
    return [template.format(t=topic, n=length) for (template, topic), length in zip(islice(rounds, wanted), cycle(LENGTHS), strict=False)]


def _round(genres: Sequence[Genre], turn: int) -> Iterator[tuple[str, str]]:
    """Each topic once. The template advances by one per turn, with a shift against the cycle of lengths."""
    for genre in genres:
        for index, topic in enumerate(genre.topics):
            yield genre.templates[(index + index // len(LENGTHS) + turn) % len(genre.templates)], topic


def benchmark() -> list[Row]:
    """The benchmark items, sorted by length: 32, four per length and language."""
    items = []
    for genres in GENRES.values():
        topics = [(genre, topic, place) for genre in genres for place, topic in enumerate(genre.benchmark)]
        for index, (genre, topic, place) in enumerate(topics):
            length = LENGTHS[index % len(LENGTHS)]
            prompt = genre.templates[place % len(genre.templates)].format(t=topic, n=length)
            items.append({"prompt": prompt, "type": genre.type, "length": length})
    return sorted(items, key=lambda item: item["length"])


def ruler() -> list[Row]:
    """48 items in the format of LongWrite-Ruler: four prompts per language, six lengths; the last two exceed all training texts."""
    asked = [genre for genres in GENRES.values() for genre in genres[:RULER_PROMPTS]]
    lengths = (*LENGTHS, 2 * LENGTHS[-1], 4 * LENGTHS[-1])
    return [
        {"prompt": genre.templates[0].format(t=genre.benchmark[-1], n=length), "type": genre.type, "length": length}
        for length in lengths
        for genre in asked
    ]


def _copies(good: list[tuple[str, str]], draw: Random) -> Iterator[tuple[str, str]]:
    """Exact copies, copies that differ only in white space, and copies with an added polite phrase."""
    for index, (language, text) in enumerate(draw.sample(good, 64)):
        before, after = _THANKS["en" if language == "English" else "zh"]
        yield language, (text, f"  {text}\n", f"{text}{after}", f"{before}{text}")[index % 4]


def _leaks(draw: Random) -> Iterator[tuple[str, str]]:
    """Benchmark prompts for the pool, unchanged or slightly changed."""
    for index, item in enumerate(draw.sample(benchmark(), 16)):
        prompt = item["prompt"]
        language = "English" if prompt.isascii() else "Chinese"
        before, after = ("Hi there! ", " Thank you very much.") if language == "English" else ("你好，", "非常感谢！")
        yield language, f"{before}{prompt}{after}" if index % 2 else prompt


def _too_long() -> Iterator[tuple[str, str]]:
    for language, genres in GENRES.items():
        for length, genre in zip(TOO_LONG, genres, strict=True):
            yield NAMES[language], genre.templates[0].format(t=genre.topics[-1], n=length)


def _chat(index: int, language: str, text: str, toxic: bool, redacted: bool, *, turns: int) -> Row:
    reply = _REPLIES.get(language, _REPLIES["English"])
    again = "Thank you, please make it a little warmer." if language != "Chinese" else "谢谢，语气再温和一点。"
    said = [("user", text), ("assistant", reply), ("user", again), ("assistant", reply)][: 2 * turns]
    flags = {"language": language, "toxic": toxic, "redacted": redacted}
    return {
        "conversation_hash": sha256(f"{index}:{text}".encode()).hexdigest()[:32],
        "model": "rehearsal",
        "timestamp": (START + timedelta(minutes=7 * index)).isoformat(),
        "conversation": [
            {"role": role, "content": content, **flags, "turn_identifier": 1000 * index + turn} for turn, (role, content) in enumerate(said)
        ],
        "turn": turns,
        **flags,
    }


def _write(path: Path, rows: Sequence[Row]) -> None:
    with store.replacing(path) as scratch:
        scratch.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
