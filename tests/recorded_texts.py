"""Made texts in the form of recorded answers: prose without repetition, and rows of a prompt and its answer."""

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random

_WHO = ("baker", "surveyor", "teacher", "ferryman", "gardener", "printer", "nurse", "mason", "pilot", "weaver", "judge", "miller")
_DID = ("measured", "repaired", "painted", "sold", "described", "borrowed", "carried", "counted", "cleaned", "watched", "sketched", "named")
_WHAT = ("bridge", "violin", "orchard", "barge", "clock", "greenhouse", "chapel", "lantern", "ledger", "quarry", "kiln", "weathervane")
_HOW = ("slowly", "with great care", "before dawn", "against all advice", "for a small fee", "in the rain", "without a word", "twice")
_WHERE = ("by the river", "above the harbour", "near the station", "at the edge of town", "under the hill", "beside the market")
_WHY = ("because the winter was near", "since nobody else would", "so that the children could see it", "while the others were asleep")


def article(seed: int, *, words: int) -> str:
    """Prose of about so many words, in paragraphs of four sentences, in which no sentence occurs twice."""
    random, sentences, count = Random(seed), list[str](), 0
    while count < words:
        year, parts = 1700 + random.randrange(300), [random.choice(one) for one in (_WHO, _DID, _WHAT, _HOW, _WHERE, _WHY)]
        who, did, what, how, where, why = parts
        sentence = f"In {year} the {who} {did} the {what} {where} {how}, {why}."
        sentences += [] if sentence in sentences else [sentence]
        count += len(sentence.split())
    return "\n\n".join(" ".join(sentences[place : place + 4]) for place in range(0, len(sentences), 4))


def topic(seed: int) -> str:
    random = Random(10_000 + seed)
    return f"the {random.choice(_WHO)} of {seed + 3} {random.choice(_WHAT)}s {random.choice(_WHERE)} and the {random.choice(_WHAT)}"


def write_rows(path: Path, *rows: Mapping[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def good_row(seed: int, *, words: int = 900) -> dict[str, str]:
    return {"instruction": f"Tell me about {topic(seed)}. Write at least {2_000 + seed} words.", "response": article(seed, words=words)}
