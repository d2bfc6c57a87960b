"""Files in the authors' forms, made here, so that the tests that read such files run everywhere.

The layout is that of `../shared/data`: longbench_write/ (prompts, ruler, the judge's prompt), instructions/ (prompts of other origin) and
hellobench/ (recorded answers). Where the authors' own files are at hand, the same tests read them too (`data` in conftest.py).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from random import Random

from tasks.rehearsal.prose import paragraph
from tasks.rehearsal.raw import good_prompts
from tasks.schema.records import Language

Row = Mapping[str, object]

KINDS = {
    "a comprehensive article": "keyword_writing",
    "a first-person narrative story": "roleplaying_writing",
    "a well-structured screenplay": "screenplay_writing",
    "an engaging story": "story_writing",
    "a well-structured, argumentative essay": "argumentative_writing",
}
LENGTHS = (2000, 4000, 8000, 16000)  # words, of HelloBench
MODELS = {"half": 0.5, "exact": 1.0}  # recorded models, and how much of the requested length they write
PROMPTS = 1  # of each kind of HelloBench
HALVES = 60  # prompts of LongBench-Write in each language

_NOUNS = (
    *("lighthouse", "orchard", "violin", "glacier", "railway", "market", "theatre", "beehive"),
    *("harbour", "desert", "library", "mill", "volcano", "kitchen", "balloon"),
)
_TASKS = ("history", "daily work", "decline and return", "place in old songs")
_ADVICE = (
    "Begin with a scene that a visitor would notice first, and name the season.",
    "Quote two people who disagree, and let the reader decide between them.",
    "Explain every technical term in passing, without a glossary at the end.",
    "Keep the paragraphs short, and give each part a heading of its own.",
    "Close with an outlook on the next twenty years rather than with a summary.",
    "Avoid figures that a child of ten could not picture.",
    "Mention the smell, the sound and the light of the place at least once.",
    "Compare it with something that every household owns.",
)
_THINGS = ("灯塔", "果园", "小提琴", "冰川", "铁路", "集市", "剧院", "蜂箱", "港口", "沙漠", "图书馆", "磨坊", "火山", "厨房", "气球")
_THEMES = ("的历史", "的日常工作", "的衰落与复兴", "在老歌里的样子")
_HINTS = (
    "开头请写一个游客最先注意到的场景，并交代季节。",
    "引用两位意见相反的人的话，让读者自己判断。",
    "专业词语随文解释，不要在结尾列出词汇表。",
    "段落要短，每一部分都要有自己的小标题。",
    "结尾写未来二十年的展望，不要写总结。",
    "不要用十岁孩子想象不出来的数字。",
    "至少一次写到那里的气味、声音和光线。",
    "把它和每个家庭都有的东西作比较。",
)
_HEADS = ("What a morning there sounds like", "The people who keep it going", "A quarrel about money", "What the records say of it")


def make(folder: Path) -> Path:
    """Write all files below a folder."""
    english, chinese = _prompts("en"), _prompts("zh")
    _write(folder / "longbench_write/longbench_write.jsonl", [*english, *chinese])
    _write(folder / "longbench_write/longbench_write_en.jsonl", english)
    ruler = [f"Write a {{}}-word report on the {noun}." for noun in _NOUNS[:4]] + [f"写一篇{{}}字的{thing}报告。" for thing in _THINGS[:4]]
    rungs = (100, 200, 500, 1000, 2000, 4000)
    _write(
        folder / "longbench_write/longwrite_ruler.jsonl",
        [{"prompt": text.format(length), "type": "Report", "length": length} for text, length in product(ruler, rungs)],
    )
    (folder / "longbench_write/judge.txt").write_text("Judge.\n<prompt>\n$INST$\n</prompt>\n<answer>\n$RESPONSE$\n</answer>\n")
    _write_instructions(folder / "instructions")
    for model, share in MODELS.items():
        for length in LENGTHS:
            path = f"hellobench/length_constrained/{model}/heuristic_text_generation_{length // 1000}k_results.jsonl"
            _write(folder / path, _answers(share, length))
    _write(folder / "hellobench/main/made/chat_results.jsonl", _chats())
    return folder


def essay(topic: str, language: Language, *, words: int, seed: int) -> dict[str, str]:
    """Paragraphs of prose of about `words` words in all, under their headings."""
    heads = [f"{head}: {topic}" for head in _HEADS]
    return {
        head: paragraph(topic=topic, language=language, words=words // len(heads), part=part, parts=len(heads), seed=seed)
        for part, head in enumerate(heads, start=1)
    }


def _prompts(language: Language) -> list[Row]:
    """Prompts of some sentences that state their length: exactly, or as a least or a most."""
    english = language == "en"
    things, themes, hints = (_NOUNS, _TASKS, _ADVICE) if english else (_THINGS, _THEMES, _HINTS)
    forms = ("a text of {} words", "at least {} words", "no more than {} words") if english else ("{}字", "不少于{}字", "不超过{}字")
    rows: list[Row] = []
    for number, (theme, thing) in enumerate(product(themes, things)):
        length, more = 500 + 100 * number, " ".join(Random(f"{language}{number}").sample(hints, 3))
        said = forms[number % 3].format(length)
        text = f"Write about the {theme} of the {thing}: {said}. {more}" if english else f"请写一写{thing}{theme}，{said}。{more}"
        rows.append({"prompt": text, "type": "Report", "length": length})
    return rows[:HALVES]


def _write_instructions(folder: Path) -> None:
    every = [(language, text) for language in ("en", "zh") for text in good_prompts(language)]
    _write(folder / "asked.jsonl", [{"instruction": text} for _, text in every])
    whole = "\n".join(paragraph(topic="面包", language="zh", words=240, part=part, parts=80, seed=part) for part in range(1, 81))
    material = {"index": 0, "domain1": "Food", "query": f"请把下面的文章缩写成300字。\n{whole}"}
    stated = [{"index": number, "domain1": "Law", "query": f"Write {number * 50} words on courts."} for number in range(1, 21)]
    unstated = [{"index": number, "domain1": "Arts", "query": "Write ten slides."} for number in range(21, 26)]
    _write(folder / "writingbench_length.jsonl", [material, *unstated[:1], *stated, *unstated[1:]])
    english = [
        f"Tell the {theme} of the {noun}. It must be {{word_count_type}} {{word_count}} words long." for theme in _TASKS for noun in _NOUNS
    ]
    chinese = [f"说说{thing}{theme}，长度{{word_count_type}}{{word_count}}字。" for theme in _THEMES for thing in _THINGS]
    filled = [("en", text) for text in english[:30]] + [("cn", text) for text in chinese[:30]]
    _write(folder / "lifebench_lite.jsonl", [{"id": n, "type": "QA", "lang": lang, "task": text} for n, (lang, text) in enumerate(filled)])


def _answers(share: float, length: int) -> Iterable[Row]:
    for number, (opening, noun) in enumerate(product(KINDS, _NOUNS[:PROMPTS])):
        asked = f"Write {opening} on the {noun}.\n6. Ensure that it is no shorter than {length} words.\n"
        written = essay(f"the {noun}", "en", words=int(length * share), seed=number)
        text = "\n\n".join(f"## {head}\n\n{body}" for head, body in written.items())
        yield {"id": f"heuristic_text_generation_{number:03}", "instruction": asked, "response": text}


def _chats() -> Iterable[Row]:
    for number, text in enumerate(good_prompts("en")[:60]):
        answer = "\n\n".join(essay("this", "en", words=240, seed=number).values())
        yield {"id": f"chat_{number:03}", "instruction": text, "response": answer}


def _write(path: Path, rows: Iterable[Row] | Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
