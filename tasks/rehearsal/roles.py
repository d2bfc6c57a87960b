"""The replies of the rehearsal endpoint for each role: rules over the prompt's text. The model name selects the role."""

import hashlib
import math
import random
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import orjson

from tasks.rehearsal.prose import paragraph
from tasks.rehearsal.statements import contradictory
from tasks.schema.records import PAPERS_NAMES, Language
from tasks.text.counts import count_words
from tasks.text.length_requests import parse_length_request

PARAGRAPH_WORDS = 50  # words of a rehearsal paragraph
USUAL_WORDS = 200  # words of an answer to a prompt without a length
NOISE = 0.1  # share of a judge's grades that change by one if the seed is not 0
STRICTNESS = 0.2  # subtracted by a strict judge before it rounds down
LONGEST = 100_000  # words; the limit of a planned length

_ANSWER = re.compile(r"<answer-([0-9a-f]+)>\n(.*?)\n</answer-\1>", re.DOTALL)
_TWO = re.compile(r"<first-([0-9a-f]+)>\n(.*?)\n</first-\1>\n\n<second-\1>\n(.*?)\n</second-\1>", re.DOTALL)
_OFFICIAL = re.compile(r"<User Request>\n\n(.*?)\n\n</User Request>\n\n<Response>\n\n(.*)\n\n</Response>", re.DOTALL)
_PROMPT = re.compile(r"<prompt>\n(.*?)\n</prompt>", re.DOTALL)
_INSTRUCTION = re.compile(r"<instruction>\n(.*?)\n</instruction>", re.DOTALL)
_PLAN = re.compile(r"<plan>\n(.*?)\n</plan>", re.DOTALL)
_TEXT = re.compile(r"<text>\n(.*?)\n</text>", re.DOTALL)
_SUMMARY = re.compile(r"<summary>\n(.*?)\n</summary>", re.DOTALL)
_PASSAGE = re.compile(r"<passage>\n(.*?)\n</passage>", re.DOTALL)
_OWN_WORDS = re.compile(r"<own-words-([0-9a-f]+)>\n(.*?)\n</own-words-\1>", re.DOTALL)
_CHECKED = re.compile(r"<before-([0-9a-f]+)>\n(.*?)\n</before-\1>\n\n<part-\1>\n(.*?)\n</part-\1>", re.DOTALL)
_PATCHED = re.compile(r"<right-([0-9a-f]+)>\n(.*?)\n</right-\1>\n\n", re.DOTALL)
_FINISHED = re.compile(r"number (\d+) of \d+:\n\n<finished-([0-9a-f]+)>\n(.*?)\n</finished-\2>\n.*?<next-\2>\n(.*?)\n</next-\2>", re.DOTALL)
_SENTENCE = re.compile(r"[^.。]+[.。]")
_NUMBER = re.compile(r"^Paragraph (\d+) - ", re.MULTILINE)
_STEP = re.compile(r"<step>\nParagraph (\d+)\b.*?Word Count: (\d+) words\n</step>", re.DOTALL)
_STEPS = re.compile(r"<steps>\n(.*?)\n</steps>", re.DOTALL)
_LINE = re.compile(r"^Paragraph (\d+)\b.*Word Count: (\d+) words$", re.MULTILINE)
_FORM = re.compile(r"^(Paragraph|Chapter) 1 - Main Point: \[", re.MULTILINE)  # the form of a plan line in the prompts
_BETWEEN = re.compile(r"between (\d+) and (\d+)")
_CHAPTER = re.compile(r"<chapter>\nChapter (\d+)\b.*Word Count: (\d+) words\n</chapter>")
_TOPICS = {
    "fiction": re.compile(r"\b(?:story|novel|fairy tale)|故事|小说|童话", re.IGNORECASE),
    "letter": re.compile(r"\b(?:letter|e-?mail)|信", re.IGNORECASE),
    "script": re.compile(r"\b(?:speech|toast|dialogue|script)|演讲|致辞|发言|剧本", re.IGNORECASE),
    "report": re.compile(r"\b(?:report|news|article|review)|报告|报道|新闻|评论|文章", re.IGNORECASE),
    "guide": re.compile(r"\b(?:guide|how to|explain|introduc|tutorial)|指南|介绍|说明|如何", re.IGNORECASE),
    "essay": re.compile(r"\bessay|散文|随笔|作文", re.IGNORECASE),
}
_SCAFFOLD = re.compile(
    r"^(?:please|can you|could you|i need|i want|write|compose|draft|create|produce|give me|me|an?|the|help)\b\s*"
    r"|[\d,]+[- ]?words?|about|around",
    re.IGNORECASE,
)


class TeacherReach(NamedTuple):
    """How much a teacher writes in one reply of many paragraphs."""

    words: int = 0  # at most; 0: no limit
    share: float = 1.0  # of the words asked for, at most
    condensed: bool = False  # beyond it, each paragraph is shorter; otherwise the reply ends early


def answer(
    model: str,
    messages: Sequence[tuple[str, str]],
    *,
    seed: int,
    miss: float = 0.0,
    schema: Mapping[str, object] | None = None,
    reach: TeacherReach = TeacherReach(),
    overlooking: float = 0.0,
) -> str:
    """The reply of `model` to a conversation, deterministic. `miss`: the largest relative error of a paragraph's length.

    `schema`: the JSON schema of a plan; None: the plan is lines of text. `overlooking`: share of contradictions that are not reported.
    """
    prompt = next((content for role, content in messages if role == "user"), "")
    if "selector" in model:
        return select(_found(_INSTRUCTION, prompt))
    if ("judge" in model or "teacher" in model) and (checked := _CHECKED.search(prompt)):
        return report_contradictions(checked[2], checked[3], overlooking=overlooking)
    if "teacher" in model and (patched := _PATCHED.search(prompt)):
        return replacement(patched[2])
    if "teacher" in model and (finished := _FINISHED.search(prompt)):
        return note(_found(_INSTRUCTION, prompt), number=int(finished[1]), last=not finished[4].strip())
    if "judge" in model and (text := _OWN_WORDS.search(prompt)):
        return reword(text[2])
    if "judge" in model:
        return judge(prompt, seed=seed, strict="judge-strict" in model)
    if "teacher" in model and _TWO.search(prompt):  # it compares its own replies (write.chooser)
        return judge(prompt, seed=seed)
    if "teacher" in model and asks_many(messages):
        return write_many(prompt, seed, miss, reach)
    if "teacher" in model and "<step>" in prompt:
        return write(prompt, seed, miss, asked=_last_request(messages))
    if "teacher" in model and "<passage>" in prompt and "<record>" in prompt:
        return record(prompt)
    if "teacher" in model and "<passage>" in prompt:
        return summarize(prompt)
    if "teacher" in model:
        return plan(prompt, schema)
    return essay(prompt, seed)


def select(instruction: str) -> str:
    """The selector's reply as JSON. It needs a long answer from 100 words, or if no length is named."""
    words = parse_length_request(instruction).target
    kind = next((topic for topic, pattern in _TOPICS.items() if pattern.search(instruction)), "other")
    return orjson.dumps({"needs_long_answer": (words or USUAL_WORDS) >= 2 * PARAGRAPH_WORDS, "words": words, "topic": kind}).decode()


def plan(prompt: str, schema: Mapping[str, object] | None = None) -> str:
    """A plan of equal parts, with the number that the bounds in the prompt imply: paragraphs of the text or a chapter, or chapters."""
    instruction, rules = _found(_INSTRUCTION, prompt), prompt.rpartition("</instruction>")[2]
    form, bounds, chapter = _FORM.search(rules), _BETWEEN.search(rules), _CHAPTER.search(rules)
    noun = "Chapter" if (form and form[1] == "Chapter") or "chapters" in _properties(schema) else "Paragraph"
    low, high = (int(bounds[1]), int(bounds[2])) if bounds else (PARAGRAPH_WORDS, PARAGRAPH_WORDS)
    words = int(chapter[2]) if chapter else min(parse_length_request(instruction).target or USUAL_WORDS, LONGEST)
    parts = max(2, math.ceil(words / high)) if noun == "Chapter" else max(1, round(2 * words / (low + high)))
    subject = f"{topic(instruction)}, chapter {chapter[1]}" if chapter else topic(instruction)
    budgets = [words * (part + 1) // parts - words * part // parts for part in range(parts)]
    points = [f"{subject}, part {part} of {parts}" for part in range(1, parts + 1)]
    if schema is not None:
        items = [{"main_point": point, "word_count": budget} for point, budget in zip(points, budgets, strict=True)]
        return orjson.dumps({f"{noun.lower()}s": items}).decode()
    lines = zip(points, budgets, strict=True)
    return "\n".join(f"{noun} {part} - Main Point: {point} - Word Count: {budget} words" for part, (point, budget) in enumerate(lines, 1))


def _properties(schema: Mapping[str, object] | None) -> Collection[str]:
    found = (schema or {}).get("properties")
    return found if isinstance(found, dict) else ()


def write(prompt: str, seed: int, miss: float = 0.0, *, asked: str = "") -> str:
    """The paragraph for the step in the prompt. `asked`: the last request of a conversation that began with the prompt."""
    asked = asked or prompt
    instruction, step = _found(_INSTRUCTION, prompt), _STEP.search(asked)
    number, words = (int(step[1]), int(step[2])) if step else (1, PARAGRAPH_WORDS)
    parts = max((int(found) for found in _NUMBER.findall(_found(_PLAN, prompt))), default=number)
    if miss:
        off = random.Random(f"{seed} {asked[-600:]}").uniform(-miss, miss)
        words = max(1, round(words * (1 + off)))
    return _paragraph(instruction, words=words, part=number, parts=max(number, parts), seed=seed)


def asks_many(messages: Sequence[tuple[str, str]]) -> bool:
    """Whether a conversation asks for many paragraphs at once."""
    return any(role == "user" and "<steps>\n" in content for role, content in messages[:1])


def write_many(prompt: str, seed: int, miss: float, reach: TeacherReach) -> str:
    """The paragraphs for the steps in the prompt, as far as the teacher's reach goes."""
    instruction, lines = _found(_INSTRUCTION, prompt), [(int(found[0]), int(found[1])) for found in _LINE.findall(_found(_STEPS, prompt))]
    parts = max((int(found) for found in _NUMBER.findall(_found(_PLAN, prompt))), default=len(lines))
    total = sum(words for _, words in lines)
    limit = min(reach.share * total, reach.words or total)
    share = limit / total if reach.condensed else 1.0
    written, texts = 0, list[str]()
    for number, words in lines:
        off = random.Random(f"{seed} {number} {words} {prompt[-600:]}").uniform(-miss, miss)
        if limit < total and not reach.condensed and texts and written + words > limit:
            break
        words = max(1, round(words * share * (1 + off)))
        texts.append(_paragraph(instruction, words=words, part=number, parts=max(number, parts), seed=seed))
        written += words
    return "\n\n".join(texts)


def summarize(prompt: str) -> str:
    """The sentences of the summary so far and the first sentence of each paragraph, without repetition: the newest 20."""
    paragraphs = [part.rpartition("\n")[2] for part in _found(_PASSAGE, prompt).split("\n\n")]
    said = [*_SENTENCE.findall(_found(_SUMMARY, prompt)), *(found[0] for part in paragraphs if (found := _SENTENCE.findall(part)))]
    return " ".join(list(dict.fromkeys(sentence.strip() for sentence in said))[-20:])


def record(prompt: str) -> str:
    """The entries of a passage, as JSON: its first sentence as an event for each paragraph, and a person that is the same all the time."""
    paragraphs = [part for part in _found(_PASSAGE, prompt).split("\n\n") if part.strip()]
    entries = [{"kind": "person", "key": "the reader", "value": "follows the text", "status": "open"}]
    for part in paragraphs:
        heading, _, body = part.rpartition("\n")
        first = (_SENTENCE.findall(body) or [body])[0].strip()
        entries.append({"kind": "event", "key": (heading or first)[:80], "value": first[:300] or heading, "status": "open"})
    return orjson.dumps({"entries": entries}).decode()


def reword(text: str) -> str:
    """The judge's own wording of a text: the rehearsal's prose on the text's first words, about as long."""
    words, subject = max(PARAGRAPH_WORDS, count_words(text)), " ".join(text.split())[:40]
    parts = max(1, round(words / PARAGRAPH_WORDS))
    return "\n\n".join(_paragraph(subject, words=words // parts, part=part, parts=parts, seed=1) for part in range(1, parts + 1))


def report_contradictions(before: str, part: str, *, overlooking: float = 0.0) -> str:
    """The contradictions of a part with itself and with what comes before, by the rules of statements.py, as JSON.

    The rule judge overlooks the given share of them; which ones depends on their words alone.
    """
    text = f"{before}\n\n{part}"
    found = [pair for pair in contradictory(text) if pair.later_start >= len(before)]
    seen = [pair for pair in found if random.Random(f"{pair.earlier} {pair.later}").random() >= overlooking]
    entries = [{"kind": pair.kind, "earlier": pair.earlier, "later": pair.later, "why": "The statements differ."} for pair in seen]
    return orjson.dumps({"contradictions": entries}).decode()


def replacement(right: str) -> str:
    """New words in place of a statement that contradicts `right`: that statement again, as JSON."""
    again = f"如前所述，{right}" if language(right) == "zh" else f"As was said before, {right}"
    return orjson.dumps({"replacement": again}).decode()


def note(instruction: str, *, number: int, last: bool) -> str:
    """A teacher's note after a paragraph."""
    if language(instruction) == "zh":
        return f"第{number}段已经交代清楚；" + ("全文的意思已经完整。" if last else "下一段要接着它写，不要重复。")
    return f"Paragraph {number} has made its point; " + (
        "nothing is missing now." if last else "the next one must build on it and not repeat it."
    )


def _last_request(messages: Sequence[tuple[str, str]]) -> str:
    return next((content for role, content in reversed(messages) if role == "user"), "")


def text_so_far(messages: Sequence[tuple[str, str]]) -> str:
    """The newest paragraph in a write prompt or in a conversation of such requests, or an empty string."""
    if "<step>" in _last_request(messages) and (replies := [content for role, content in messages if role == "assistant"]):
        return replies[-1].strip()
    found = _TEXT.search(messages[0][1]) if messages else None
    return found[1].strip().split("\n\n")[-1] if found else ""


def essay(prompt: str, seed: int) -> str:
    """A complete answer in one call, for the rehearsal candidate model."""
    words = min(parse_length_request(prompt).target or USUAL_WORDS, LONGEST)
    parts = max(1, round(words / PARAGRAPH_WORDS))
    return "\n\n".join(_paragraph(prompt, words=words // parts, part=part, parts=parts, seed=seed) for part in range(1, parts + 1))


def _paragraph(instruction: str, *, words: int, part: int, parts: int, seed: int) -> str:
    own = int(hashlib.sha256(instruction.encode("utf-8", "replace")).hexdigest()[:8], 16)
    return paragraph(topic=topic(instruction), language=language(instruction), words=words, part=part, parts=parts, seed=own + seed)


def judge(prompt: str, *, seed: int, strict: bool = False) -> str:
    """Six scores of an answer, or the better of two answers, as JSON in the format that the prompt requests (ours or the paper's)."""
    both, one, asked = _TWO.search(prompt), _ANSWER.search(prompt), _found(_PROMPT, prompt)
    if both and (not one or both.start() < one.start()):
        first, second = (sum(_grades(asked, text, seed=seed, strict=strict).values()) for text in (both[2], both[3]))
        return orjson.dumps({"winner": "tie" if first == second else "first" if first > second else "second"}).decode()
    if not one and (official := _OFFICIAL.search(prompt)):
        grades = _grades(official[1], official[2], seed=seed, strict=strict)
        return orjson.dumps({"Analysis": "Measured by rules.", **{PAPERS_NAMES[name]: grade for name, grade in grades.items()}}).decode()
    return orjson.dumps(_grades(asked, one[2] if one else "", seed=seed, strict=strict)).decode()


def _grades(asked: str, text: str, *, seed: int, strict: bool) -> dict[str, int]:
    """Grades 1 to 5 from measurements: words of the prompt in the answer, repetition, variety, length, a complete ending.

    If the seed is not 0, a few grades differ by one, as with a language model. A strict judge expects more words and rounds down.
    """
    sentences = [s.strip() for s in re.split(r"[.!?。！？\n]+", text) if s.strip()]
    fresh = len(set(sentences)) / len(sentences) if sentences else 0.0
    tokens = _tokens(text)
    variety = len(set(tokens)) / max(1, len(tokens)) ** 0.5
    shared = len(set(_tokens(asked)) & set(tokens)) / max(1, len(set(_tokens(asked))))
    ended = text.rstrip().endswith((".", "!", "?", "。", "！", "？", "”", '"'))
    measured = {
        "relevance": 1 + 6 * shared,
        "accuracy": 1 + 4 * fresh,
        "coherence": 1 + 3 * fresh + ended,
        "clarity": 1 + 2 * fresh + 2 * ended,
        "breadth_and_depth": 1 + min(4.0, count_words(text) / (150 if strict else 100)),
        "reading_experience": 1 + min(4.0, variety),
    }
    noise = random.Random(f"{seed} {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}")
    grades = {}
    for name, grade in measured.items():
        off = noise.choice((-1, 1)) if seed and noise.random() < NOISE else 0
        settled = math.floor(min(5.0, grade) - STRICTNESS) if strict else round(grade)
        grades[name] = max(1, min(5, settled + off)) if tokens else 1
    return grades


def language(text: str) -> Language:
    """`zh` if at least a quarter of the characters are Chinese, else `en`."""
    return "zh" if len(re.findall(r"[\u4e00-\u9fff]", text)) * 4 >= len(text) else "en"


def topic(instruction: str) -> str:
    """The topic of an instruction: the words after 'about', 'on', 'of', 'for' or 关于, otherwise its beginning without the request."""
    text = " ".join(instruction.split())
    if match := re.search(r"(?:关于|围绕|介绍|讲述|谈谈)[“《]?([^，。、；！？“”《》的]{2,20})", text):
        return match[1]
    behind = re.findall(r"\b(?:about|on|of|for)\s+(?!\d|about\b)((?:[A-Za-z'-]+\s?){1,6})", text)
    words = (max(behind, key=len) if behind else _SCAFFOLD.sub("", text)).split()
    return " ".join(words[:6]).strip(" .,:;") if language(text) == "en" and words else text[:12]


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else text


def _tokens(text: str) -> list[str]:
    return re.findall(r"[a-z]+|[\u4e00-\u9fff]", text.lower())
