"""Write paragraphs of an exact length, in English and Chinese, for the rehearsal's teacher. Rules and word lists, no language model.

The texts are simple enough for a tiny model to learn: a heading numbers the part, a paragraph is a sequence of short sentences with
ordered openers, and the last part ends with a special sentence. Deterministic for the same arguments on any machine.
"""

import random
import re

from tasks.schema.records import Language
from tasks.text.counts import count_words

EN_CORE, ZH_CORE = 6, 8  # words, or characters, of the shortest sentence
EN_SENTENCE, ZH_SENTENCE = 10, 14  # words, or characters, of a typical sentence
EN_OPENERS, EN_CLOSING, EN_ENDING = ("First", "Next", "Then", "Also"), "Finally", "Altogether"
ZH_OPENERS, ZH_CLOSING, ZH_ENDING = ("首先", "其次", "然后", "另外"), "最后", "总之"
EN_PEOPLE = (
    "the reader", "the teacher", "a friend", "the writer", "a child", "the family", "the worker", "a student", "the group",
    "the village",
)  # fmt: skip
EN_VERBS = ("finds", "sees", "shares", "builds", "follows", "learns", "shows", "keeps", "brings", "needs", "knows", "values")
EN_THINGS = (
    "a reason", "a story", "the plan", "a lesson", "the answer", "a habit", "the idea", "a detail", "the work", "a path",
    "the rule", "a change",
)  # fmt: skip
EN_PLACES = (
    "in the garden", "at the table", "near the river", "on the road", "in the town", "at the school", "by the window",
    "in the market",
)  # fmt: skip
EN_ADJECTIVES = ("small", "quiet", "useful", "simple", "careful", "common", "patient", "bright", "gentle", "steady", "local", "modern")
ZH_PEOPLE = ("读者", "老师", "朋友", "作者", "孩子", "家人", "工人", "学生", "大家", "邻居")
ZH_VERBS = ("发现", "看到", "分享", "建立", "学会", "说明", "保持", "带来", "需要", "明白", "改变", "记住")
ZH_THINGS = ("道理", "故事", "计划", "经验", "答案", "习惯", "想法", "细节", "工作", "方法", "规则", "变化")
ZH_PLACES = ("在花园里", "在桌子旁", "在小河边", "在大路上", "在城市里", "在学校里", "在窗户前", "在市场上")
ZH_ADJECTIVES = ("细小的", "安静的", "有用的", "简单的", "认真的", "常见的", "耐心的", "明亮的", "温和的", "诚实的", "本地的", "现代的")
ZH_ADVERBS = ("常常", "往往", "慢慢", "一起", "仍然", "已经")
EN_HANGING = frozenset(
    ["a", "an", "and", "at", "by", "for", "from", "in", "is", "of", "on", "or", "roughly", "that", "the", "to", "who", "with"]
)


def paragraph(*, topic: str, language: Language, words: int, part: int, parts: int, seed: int) -> str:
    """A paragraph of exactly `words` words (`count_words`), including the heading: part `part` (from 1) of `parts` on `topic`.

    If it is too short for a heading and a sentence, it is a phrase. Raises ValueError unless 1 <= part <= parts and words >= 1.
    """
    if words < 1 or not 1 <= part <= parts:
        raise ValueError(f"{words} words, part {part} of {parts}: nothing to write")
    heading = f"Part {part} of {parts}" if language == "en" else f"第{part}部分，共{parts}部分"
    room = words - count_words(heading)
    if room < (EN_CORE if language == "en" else ZH_CORE):
        return _phrase(words, language)
    draw = random.Random(f"{topic}|{language}|{words}|{part}|{parts}|{seed}")
    write, joint = (_english, " ") if language == "en" else (_chinese, "")
    about = _topic(topic, language) if part in (1, parts) else ("the same matter" if language == "en" else "这件事情")
    lengths = _lengths(room, about, language)
    openers = _openers(len(lengths), language, last=part == parts)
    sentences = [write(draw, opener, length, "" if n else about) for n, (opener, length) in enumerate(zip(openers, lengths, strict=True))]
    return f"{heading}\n{joint.join(sentences)}"


def _phrase(words: int, language: Language) -> str:
    """The first `words` words of a fixed phrase, extended if it is too short."""
    if language == "zh":
        return ("文章写到这里就结束了" + "好" * words)[:words] + "。"
    return " ".join(["Here", "the", "short", "text", "ends", "now", *["again"] * words][:words]) + "."


def _lengths(room: int, about: str, language: Language) -> list[int]:
    """Divide `room` words over sentences: the first names the topic, the others have nearly equal lengths."""
    core, usual = (EN_CORE, EN_SENTENCE) if language == "en" else (ZH_CORE, ZH_SENTENCE)
    count = max(1, round(room / usual))
    first = core + _cost(about, language)
    if count == 1 or room - first < core:
        return [room]
    count = 1 + min(count - 1, (room - first) // core)
    rest = room - first
    return [first, *(rest // (count - 1) + (n < rest % (count - 1)) for n in range(count - 1))]


def _cost(about: str, language: Language) -> int:
    """The number of words needed to name the topic: `about …`, 关于…的."""
    return count_words(about) + (1 if language == "en" else 3) if about else 0


def _openers(count: int, language: Language, *, last: bool) -> list[str]:
    """Openers in order, with a closing one at the end. The last part has a closing opener that occurs nowhere else."""
    ordered, closing, ending = (EN_OPENERS, EN_CLOSING, EN_ENDING) if language == "en" else (ZH_OPENERS, ZH_CLOSING, ZH_ENDING)
    middle = [ordered[min(n, len(ordered) - 1)] for n in range(count - 1)]
    return [*middle, ending if last else closing]


def _topic(topic: str, language: Language) -> str:
    """The topic in a form for a sentence: its first words or characters, without digits and without a trailing function word."""
    if language == "zh":
        return "".join(re.findall(r"[\u4e00-\u9fff]", topic)[:6])
    words = re.findall(r"\b[a-zA-Z]+\b", topic)[:5]
    while words and words[-1].lower() in EN_HANGING:
        words.pop()
    return " ".join(words)


def _english(draw: random.Random, opener: str, length: int, about: str) -> str:
    """A sentence of `length` words: opener, subject, verb and object (six words), filled up with topic, adjectives and places."""
    subject, verb, thing = draw.choice(EN_PEOPLE), draw.choice(EN_VERBS), draw.choice(EN_THINGS)
    adjectives = draw.sample(EN_ADJECTIVES, 2)
    extra = length - EN_CORE
    topic = f" about {about}" if about and _cost(about, "en") <= extra else ""
    extra -= count_words(topic)
    places, described = divmod(extra, 3)
    if described >= 1:
        thing = thing.replace(" ", f" {adjectives[0]} ", 1)
    if described == 2:
        subject = subject.replace(" ", f" {adjectives[1]} ", 1)
    return f"{opener}, {subject} {verb} {thing}{topic}{''.join(' ' + place for place in _several(draw, EN_PLACES, places))}."


def _chinese(draw: random.Random, opener: str, length: int, about: str) -> str:
    """A sentence of `length` characters: opener, subject, verb and object (eight characters), filled up with topic, places and others."""
    subject, verb, thing = draw.choice(ZH_PEOPLE), draw.choice(ZH_VERBS), draw.choice(ZH_THINGS)
    adjective, adverb = draw.choice(ZH_ADJECTIVES), draw.choice(ZH_ADVERBS)
    extra = length - ZH_CORE
    topic = f"关于{about}的" if about and _cost(about, "zh") <= extra else ""
    extra -= count_words(topic)
    places, extra = divmod(extra, 4)
    before = "".join(_several(draw, ZH_PLACES, places)) + {1: "也", 2: adverb}.get(extra, "")
    return f"{opener}，{subject}{before}{verb}{topic}{adjective if extra == 3 else ''}{thing}。"


def _several(draw: random.Random, phrases: tuple[str, ...], count: int) -> list[str]:
    """`count` phrases in random order; none repeats before all have been used."""
    return [phrase for _ in range(0, count, len(phrases)) for phrase in draw.sample(phrases, len(phrases))][:count]
