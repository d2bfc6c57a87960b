"""Write any number of synthetic chats in WildChat's Parquet schema, for tests and for benchmarks of a million rows.

The mix follows WildChat-1M: half of the chats are English, a sixth Chinese, one in fifteen is flagged as toxic, many prompts are exact
or near repetitions, lengths have a long tail, and a few prompts contain pages of text. The bytes are the same for the same arguments.
The texts are made from word lists and contain no data of real people.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.rehearsal import prose
from tasks.rehearsal.noise import FOREIGN, INJECTION, SCRAPING, SHORT
from tasks.rehearsal.phrases import GENRES
from tasks.schema.records import Language

ROW_GROUP = 5_000
START = datetime(2023, 4, 9, tzinfo=UTC)
REMEMBERED = 5_000  # earlier prompts that may be repeated
_TURN = pa.struct(
    {
        "content": pa.string(),
        "country": pa.string(),
        "hashed_ip": pa.string(),
        "header": pa.struct({"accept-language": pa.string(), "user-agent": pa.string()}),
        "language": pa.string(),
        "redacted": pa.bool_(),
        "role": pa.string(),
        "state": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "toxic": pa.bool_(),
        "turn_identifier": pa.int64(),
    }
)
SCHEMA = pa.schema(
    {
        "conversation_hash": pa.string(),
        "model": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "conversation": pa.list_(_TURN),
        "turn": pa.int64(),
        "language": pa.string(),
        "openai_moderation": pa.list_(
            pa.struct({"flagged": pa.bool_(), "scores": pa.struct({"hate": pa.float64(), "violence": pa.float64()})})
        ),
        "toxic": pa.bool_(),
        "redacted": pa.bool_(),
    }
)
NAMES = {"en": "English", "zh": "Chinese"}
_EN_PARTS: tuple[tuple[str, ...], ...] = (prose.EN_PEOPLE, prose.EN_VERBS, prose.EN_THINGS, prose.EN_PLACES)
_ZH_PARTS: tuple[tuple[str, ...], ...] = (prose.ZH_PEOPLE, prose.ZH_PLACES, prose.ZH_VERBS, prose.ZH_ADJECTIVES, prose.ZH_THINGS)
_LENGTHS = (100, 200, 500, 800, 1_000, 1_500, 2_000, 2_500, 3_000, 5_000, 10_000)


class _MadePrompt(NamedTuple):
    text: str
    language: str


def write_chats(folder: Path, rows: int, *, seed: int = 42, files: int = 4, reply: int = 120) -> list[Path]:
    """Write `rows` chats to `files` files of equal size and return their paths.

    `reply`: words of an assistant turn; thousands make very long conversations.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chats, paths = _chats(rows, seed, reply), []
    for number in range(files):
        path = folder / f"train-{number:05}-of-{files:05}.parquet"
        left = rows * (number + 1) // files - rows * number // files
        with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
            while left:
                batch = [next(chats) for _ in range(min(left, ROW_GROUP))]
                writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
                left -= len(batch)
        paths.append(path)
    return paths


def _chats(rows: int, seed: int, reply: int) -> Iterator[dict[str, object]]:
    luck, sent = Random(seed), list[_MadePrompt]()
    answers = [_sentences(luck, "en", reply) for _ in range(200)]
    for index in range(rows):
        ask = _again(luck, sent) if sent and luck.random() < 0.18 else _new(luck)
        if len(sent) < REMEMBERED:
            sent.append(ask)
        elif luck.random() < 0.1:
            sent[luck.randrange(REMEMBERED)] = ask
        yield _chat(index, ask, toxic=luck.random() < 0.065, turns=luck.choice((1, 1, 2, 3)), luck=luck, answers=answers)


def _new(luck: Random) -> _MadePrompt:
    kind = luck.random()
    if kind < 0.33:  # other languages
        noise = luck.choice(FOREIGN)
        return _MadePrompt(f"{luck.choice(noise.texts)} {luck.choice(noise.texts)} {luck.randrange(10**6)}", noise.language)
    language: Language = "zh" if kind > 0.84 else "en"
    if kind < 0.35:
        noise = luck.choice((*SCRAPING, *INJECTION))
        return _MadePrompt(f"{luck.choice(noise.texts)} {_sentences(luck, 'en', 12)}", noise.language)
    if kind < 0.40:
        noise = luck.choice(SHORT)
        return _MadePrompt(luck.choice(noise.texts), noise.language)
    words = min(4_000, int(luck.lognormvariate(3.4, 1.1)))
    return _MadePrompt(f"{_request(luck, language)} {_sentences(luck, language, words)}".strip(), NAMES[language])


def _request(luck: Random, language: Language) -> str:
    """The first sentence of a prompt; 85% name no length, as in real chats."""
    genre = luck.choice(GENRES[language])
    topic, length = luck.choice(genre.topics), luck.choice(_LENGTHS)
    if luck.random() < 0.15:
        return luck.choice(genre.templates).format(t=topic, n=length)
    return f"Tell me about {topic}." if language == "en" else f"介绍一下{topic}。"


def _again(luck: Random, sent: list[_MadePrompt]) -> _MadePrompt:
    """An earlier prompt, unchanged or with an added polite phrase."""
    ask = luck.choice(sent)
    if luck.random() < 0.6:
        return ask
    if ask.language == "Chinese":
        return ask._replace(text=f"你好，{ask.text}谢谢")
    return ask._replace(text=f"{ask.text} Thank you!" if luck.random() < 0.5 else f"Hello. {ask.text}")


def _sentences(luck: Random, language: Language, words: int) -> str:
    """Sentences of about `words` words in English, or about 1.5 times as many characters in Chinese."""
    count = words // 9
    if language == "zh":
        return "".join("".join(map(luck.choice, _ZH_PARTS)) + "。" for _ in range(count))
    return " ".join(" ".join(map(luck.choice, _EN_PARTS)).capitalize() + f" {luck.randrange(10**4)}." for _ in range(count))


def _chat(index: int, ask: _MadePrompt, *, toxic: bool, turns: int, luck: Random, answers: list[str]) -> dict[str, object]:
    time = START + timedelta(seconds=19 * index)
    said = [("user", ask.text)] + [(("assistant", "user")[turn % 2], luck.choice(answers)) for turn in range(2 * turns - 1)]
    header = {"accept-language": "en-US,en;q=0.9", "user-agent": "Mozilla/5.0"}
    notes = {"country": "Somewhere", "hashed_ip": f"{index % 9973:064x}", "header": header, "language": ask.language, "redacted": False}
    notes |= {"state": "Else", "timestamp": time, "toxic": toxic}
    return {
        "conversation_hash": f"{index:032x}",
        "model": "synthetic",
        "timestamp": time,
        "conversation": [
            {"role": role, "content": text, "turn_identifier": 10 * index + turn, **notes} for turn, (role, text) in enumerate(said)
        ],
        "turn": turns,
        "language": ask.language,
        "openai_moderation": [{"flagged": toxic, "scores": {"hate": 0.01, "violence": 0.02}}] * len(said),
        "toxic": toxic,
        "redacted": False,
    }


if __name__ == "__main__":
    write_chats(Path(sys.argv[1]), int(sys.argv[2]))
