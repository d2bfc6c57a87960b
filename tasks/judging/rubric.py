"""Reads a judge's reply as six grades. An unreadable reply raises an error with the reason; there is no default score.

The verdict may be a JSON object, a list of entries, a table, or lines such as "Relevance: 4/5", with prose, thoughts and code fences
around it. If there are several verdicts, the judge's last one counts. Two kinds never count as the judge's own: verdicts that occur in the
judged answer, in any form, and verdicts that the judge introduces as a quotation or an example.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tasks.judging.grades import DIMENSIONS, NAME, dimension, grade, rubric_of, scored_key
from tasks.judging.replies import FoundValue, Pairs, said, values
from tasks.schema.errors import ReplyError
from tasks.schema.records import Rubric

SCORE: dict[str, object] = {"type": "integer", "minimum": 1, "maximum": 5}
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": dict.fromkeys(DIMENSIONS, SCORE),
    "required": list(DIMENSIONS),
    "additionalProperties": False,
}

COPIED = "the verdict is one that is in the answer"
Grades = dict[str, object]  # by dimension, as written


class _Reading(NamedTuple):
    """A verdict found in a reply, possibly of some dimensions only."""

    grades: Grades
    start: int
    end: int
    label: str = ""  # the key of the object that contains it
    problem: str = ""  # why it is not usable


_LINE = re.compile(
    rf"^[ \t>|*_#\"'•·+–-]{{0,20}}(?:\d{{1,2}}[.)、:]?[ \t|]{{0,4}})?[*_|\"' \t]{{0,6}}(?P<name>{NAME})[*_\"' \t]{{0,6}}"
    r"(?:(?:score|grade|rating|得分|评分)[*_ \t]{0,6})?"
    r"(?:[:=|–—-]{1,2}|[（(]|\bis\b|为|是|[ \t])[*_|\"' \t]{0,8}(?:(?:score|grade|rating|得分|评分)[ \t]?[:=]?[ \t]{0,3})?"
    r"(?P<grade>[+-]?\d{1,3}(?:\.\d{1,2})?(?:[ \t]?(?:/|out of|of)[ \t]?\d{1,4})?)(?![\d%])"
    r"(?=[*_|\"' \t)）]{0,6}(?:$|[.,;:。，；、)）(（–—|*]|-[ \t]|分|points?\b|stars?\b|because\b|as\b|since\b|and\b|but\b))",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(rf"<(?P<name>{NAME}|breadth_and_depth|reading_experience)>\s{{0,9}}(?P<grade>[^<>\n]{{1,20}}?)\s{{0,9}}</", re.IGNORECASE)
_HEADER = re.compile(
    rf"(?:\|[ *_]{{0,4}}(?:{NAME})[ *_]{{0,4}}){{6}}\|?[ \t]*\n[|: \t-]{{1,200}}\n(?P<row>\|[^\n]{{1,200}})", re.IGNORECASE
)
_NAME = re.compile(NAME, re.IGNORECASE)
_FINAL = re.compile(r"final|revised|own|\bmy|mine|updated|corrected|最终|修订|修改后", re.IGNORECASE)
_BEFORE = 300  # characters before a verdict that may introduce it
_FENCE = re.compile(r"(?:\s|```[\w-]{0,20}|<[\w-]{1,30}>)+\Z")
_CLAUSE_END = re.compile(r"\n|[.!?。！？](?=\s|$)")
_WHO = r"(?:text|answer|author|writer|response|essay|story|piece|passage|article|submission|content|candidate|assistant|it)"
_QUOTED = re.compile(
    r"\b(?:quot(?:ed|ing|es?|ation)|planted|injected|embedded|smuggled|copied|verbatim)\b"
    rf"|(?P<says>\b{_WHO}(?:['’]s)?\b[^.\n]{{0,40}}\b(?:tries|attempts|says|said|claims?|contains|includes|dictates?|demands?|asks|embeds|instructs"
    r"|ends with|suggests|tells|wants|states|proposes|provides|own)\b[^.,;\n]{0,60}\b(?:verdict|grades?|scores?|ratings?|json|me|itself)\b)"
    r"|(?:文中|原文|文本|作者|回答|文章)[^。\n]{0,20}(?:写着|要求|包含|试图|声称|自带|给出了?自己)[^。,，\n]{0,20}(?:评分|分数|打分|裁决|json)|引用",
    re.IGNORECASE,
)
_OWN = re.compile(r"\b(?:i|my|therefore|thus|hence|overall|its (?:scores|grades|ratings) are)\b|我的", re.IGNORECASE)
_EXAMPLE = re.compile(
    r"\b(?:examples?\b(?! of\b)|e\.g\.|for instance|placeholders?|template|expected form(?:at)?|sample)\b|示例|例如|比如|模板|占位",
    re.IGNORECASE,
)
_FORM = re.compile(r"\b(?:form|format|schema|structure)\b|格式", re.IGNORECASE)
_AFTER_EXAMPLE = re.compile(
    r"[\s`)(]{0,9}(?:(?:this|that|it|the above)\s)?(?:(?:is|was)\s)?(?:(?:just|only|merely)\s)?(?:(?:an?|the)\s)?"
    r"(?:example|placeholder|template|sample|示例|占位)",
    re.IGNORECASE,
)
_GRADING = r"(?:grade|evaluate|assess|score|rate|judge|review)"
_REFUSAL = re.compile(
    rf"\b(?:i|we)\b[^.\n]{{0,30}}\b(?:can(?:no|['’])?t|can not|unable|not able|won['’]t|will not|refuse|decline)\b"
    r"(?![^.\n]{0,40}\b(?:higher|lower|better|more|full|top|perfect|length)\b)"
    rf"[^.\n]{{0,30}}\b{_GRADING}\b"
    r"(?![^.\n]{0,30}\b(?:higher|lower|better|more|length)\b)|(?:无法|不能|拒绝)[^。\n]{0,10}(?:评分|评价|打分|评估)",
    re.IGNORECASE,
)


def parse_rubric(reply: str, answer: str = "") -> Rubric:
    """Returns the judge's six grades. `answer` is the judged text: a verdict that occurs in it is never taken as the judge's.

    Raises ReplyError that says what is wrong with the reply.
    """
    text = said(reply)
    found = list(values(text))
    if not any(one.value is not None and _verdict(one, ()) for one in found) and '\\"' in text:
        text = text.replace("\\\\", "\\").replace('\\"', '"').replace("\\n", "\n")  # JSON within a JSON string
        found = list(values(text))
    copies = planted(answer)
    read = sorted((*_from_json(found, copies), *_from_lines(text, found)), key=lambda verdict: verdict.end)
    ends = [one.end for one in found]
    own = [verdict for verdict in read if not _copied(verdict.grades, copies) and not _introduced(text, verdict, ends)]
    whole = [verdict for verdict in own if verdict.problem or len(verdict.grades) == len(DIMENSIONS)]
    if not whole:
        raise ReplyError(_why_none(text, found, read, own, copies))
    last = whole[-1]
    _check_rest(text, last, found, own)
    if last.problem:
        raise ReplyError(last.problem)
    return rubric_of(last.grades)


class _Copy(NamedTuple):
    """Six dimensions in a row in an answer, each with the numbers that may be its grade."""

    numbers: dict[str, frozenset[int]]


_STEMS = (  # of the six dimensions: a text that lacks one of them has no verdict
    *(("relevan", "相关", "切题"), ("accura", "准确", "正确"), ("coheren", "连贯", "一致")),
    *(("clarity", "清晰", "清楚"), ("depth", "深度"), ("experience", "阅读")),
)
_LOWER_NAME = re.compile(NAME)
_TOKEN = re.compile(
    r"(?P<label>score|grade|rating|value|分数|得分|评分)"
    r"|(?P<number>\d{1,9}(?:\.\d{1,3})?|(?<![a-z])(?:one|two|three|four|five)(?![a-z])|[一二三四五](?=分|\W|$))"
)
_WORDED = dict(zip(("one", "two", "three", "four", "five", *"一二三四五"), (1, 2, 3, 4, 5, 1, 2, 3, 4, 5), strict=True))
_REACH = 160  # characters between a dimension's name and its grade
_FOLD = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


def planted(answer: str) -> tuple[_Copy, ...]:
    """Finds possible verdicts in an answer: all six dimension names in a row, each with a number. Linear in the answer's length."""
    text = answer.lower()
    if not text.isascii():
        text = text.translate(_FOLD)
    if not all(any(stem in text for stem in stems) for stems in _STEMS):
        return ()
    names = [(str(dimension(match[0])), match.start(), match.end()) for match in _LOWER_NAME.finditer(text)]
    borders = [0, *(place for _, start, end in names for place in (start, end)), len(text)]
    before, behind = list[frozenset[int]](), list[frozenset[int]]()
    for place, (_, start, end) in enumerate(names):
        before.append(frozenset(_numbers(text, max(borders[2 * place], start - _REACH), start)[-1:]))
        behind.append(frozenset(_numbers(text, end, min(borders[2 * place + 3], end + _REACH), labelled=True)))
    return (*_copies(names, behind), *_copies(names, before))


def _numbers(text: str, start: int, end: int, *, labelled: bool = False) -> list[int]:
    """The numbers of a text range. `labelled`: only the first one, and those after a word such as "score"."""
    found, label = list[int](), True
    for match in _TOKEN.finditer(text, start, end):
        if match["number"] and (label or not labelled):
            value = float(_WORDED.get(match[0]) or match[0])
            found.append(int(value) if value.is_integer() else 0)
        label = bool(match["label"]) or (label and not match["number"])
    return found


def _copies(names: Sequence[tuple[str, int, int]], numbers: Sequence[frozenset[int]]) -> Iterable[_Copy]:
    run: list[int] = []
    for index, (name, _, _) in enumerate(names):
        if not numbers[index]:
            continue
        run = [*run[-(len(DIMENSIONS) - 1) :], index]
        if name in (names[place][0] for place in run[:-1]):
            run = run[next(at for at, place in enumerate(run) if names[place][0] == name) + 1 :]
        if len(run) == len(DIMENSIONS):
            yield _Copy({names[place][0]: numbers[place] for place in run})


def _copied(grades: Grades, copies: Iterable[_Copy]) -> bool:
    if len(grades) < len(DIMENSIONS):
        return False
    read = {name: grade(value) for name, value in grades.items()}
    return any(all(read[name] in copy.numbers[name] for name in DIMENSIONS) for copy in copies)


def _from_json(found: Iterable[FoundValue], copies: Sequence[_Copy]) -> Iterable[_Reading]:
    """The verdicts in the reply's JSON values. Dimensions given in separate objects are combined."""
    parts: _Reading | None = None
    for one in found:
        verdict = None if one.value is None else _verdict(one, copies)
        if not verdict:
            continue
        if verdict.problem or len(verdict.grades) == len(DIMENSIONS):
            if parts:
                yield parts
            parts = None
            yield verdict
        elif parts and parts.grades.keys().isdisjoint(verdict.grades):
            parts = _Reading({**parts.grades, **verdict.grades}, parts.start, verdict.end)
        else:
            if parts:
                yield parts
            parts = verdict
    if parts:
        yield parts


def _verdict(one: FoundValue, copies: Sequence[_Copy]) -> _Reading | None:
    """The verdict of one value; None if it names no dimension."""
    verdict = _in(one.value, copies, "")
    return verdict and verdict._replace(start=one.start, end=one.end)


def _in(value: object, copies: Sequence[_Copy], label: str) -> _Reading | None:
    if isinstance(value, Pairs):
        named = [(name, inner) for key, inner in value if (name := dimension(key))]
        if len(dict(named)) < len(named):
            twice = next(name for place, (name, _) in enumerate(named) if name in dict(named[:place]))
            return _Reading(dict(named), 0, 0, label, f"{twice} is given twice")
        if named:
            return _Reading(dict(named), 0, 0, label)
        if entry := _entry(value):
            return _Reading(entry, 0, 0, label)
        inner = [_in(part, copies, key) for key, part in value]
    elif isinstance(value, tuple):
        inner = [_in(part, copies, label) for part in value]
    else:
        return None
    return _one_of([verdict for verdict in inner if verdict], copies, label)


def _entry(value: Pairs) -> Grades | None:
    """Reads {"dimension": "Clarity", "score": 4}, in any key order and with other keys."""
    names = [name for _, said in value if isinstance(said, str) and (name := dimension(said))]
    scores = [inner for key, inner in value if scored_key(key)]
    return {names[0]: scores[0]} if len(names) == len(scores) == 1 else None


def _one_of(verdicts: list[_Reading], copies: Sequence[_Copy], label: str) -> _Reading | None:
    """The judge's own verdict within one value: the only one, the one called final, or partial ones combined."""
    own = [
        verdict
        for verdict in verdicts
        if not _copied(verdict.grades, copies) and not _QUOTED.search(verdict.label) and not _EXAMPLE.search(verdict.label)
    ]
    if not own:
        return verdicts[0] if verdicts else None
    if len(own) == 1:
        return own[0]
    partial = [verdict for verdict in own if len(verdict.grades) < len(DIMENSIONS)]
    if len(partial) == len(own):
        together: Grades = {}
        for verdict in own:
            if twice := next((name for name in verdict.grades if name in together), None):
                return _Reading(together, 0, 0, label, f"{twice} is given twice")
            together |= verdict.grades
        return _Reading(together, 0, 0, label, next((verdict.problem for verdict in own if verdict.problem), ""))
    final = [verdict for verdict in own if _FINAL.search(verdict.label)]
    if len(final) == 1:
        return final[0]
    if all(
        {name: grade(value) for name, value in verdict.grades.items()} == {name: grade(value) for name, value in own[0].grades.items()}
        for verdict in own
    ):
        return own[0]
    return _Reading(own[0].grades, 0, 0, label, f"{len(own)} verdicts that differ in one object")


def _from_lines(text: str, found: Sequence[FoundValue]) -> Iterable[_Reading]:
    """Verdicts as lines, tables and tags, outside JSON values. An incomplete verdict is ignored."""
    ends = [one.end for one in found if one.value is not None and isinstance(one.value, Pairs | tuple)]
    spans = [one for one in found if one.value is not None]
    parts: dict[str, object] = {}
    start = 0
    for match in sorted((*_LINE.finditer(text), *_TAG.finditer(text)), key=lambda match: match.start()):
        place = bisect_left(ends, match.start())
        if place < len(spans) and spans[place].start <= match.start() < spans[place].end:
            continue
        name = str(dimension(match["name"]))
        if name in parts:
            parts = {}
        start = match.start() if not parts else start
        parts[name] = match["grade"]
        if len(parts) == len(DIMENSIONS):
            yield _Reading(parts, start, match.end())
            parts = {}
    for match in _HEADER.finditer(text):
        names = [str(dimension(name)) for name in _NAME.findall(match[0][: match.start("row") - match.start()])]
        cells = [cell.strip(" *_") for cell in match["row"].strip().strip("|").split("|")]
        if len(cells) == len(set(names)) == len(DIMENSIONS):
            yield _Reading(dict(zip(names, cells, strict=True)), match.start(), match.end())


def _introduced(text: str, verdict: _Reading, ends: Sequence[int]) -> bool:
    """Whether the judge introduces a verdict as a quotation or example: on the same line, or on a line above that ends with a colon."""
    earlier = bisect_right(ends, verdict.start)
    floor = ends[earlier - 1] if earlier else 0
    before = text[max(floor, verdict.start - _BEFORE) : verdict.start]
    gap = _FENCE.search(before[-40:])
    clause = _CLAUSE_END.split(before[: len(before) - len(gap[0])] if gap else before)[-1]
    if gap and "\n" in gap[0] and not clause.rstrip("*_ ").endswith((":", "：")):
        clause = ""
    quoted = _QUOTED.search(clause)
    if (
        (quoted and not (quoted["says"] and _OWN.search(clause, quoted.start())))
        or _EXAMPLE.search(clause)
        or _AFTER_EXAMPLE.match(text, verdict.end)
    ):
        return True
    ones = all(grade(value) == 1 for value in verdict.grades.values())
    return ones and bool(_FORM.search(clause)) and bool(re.search(r"\w", text[verdict.end : verdict.end + 500]))


def _check_rest(text: str, last: _Reading, found: Sequence[FoundValue], own: Sequence[_Reading]) -> None:
    """Raises ReplyError if the text around the last complete verdict retracts it or casts doubt on it."""
    for one in found:
        if one.value is None and (one.start < last.start or _regrades(text[one.start :][:2_000])):
            raise ReplyError(f"JSON cut off or broken: {one.problem}")
    for verdict in own:
        if verdict.start >= last.end:
            for name, value in verdict.grades.items():
                if grade(value) != grade(last.grades.get(name)):
                    raise ReplyError(
                        f"{next((other for other in DIMENSIONS if other not in verdict.grades), name)} is missing from the last verdict"
                    )
    if _REFUSAL.search(text, last.end):
        raise ReplyError("a refusal follows the verdict")


def _regrades(text: str) -> bool:
    """Whether a broken object contains a grade."""
    return bool(re.search(rf"(?:{NAME})[\"'“”*_]{{0,3}}\s{{0,9}}[:=]\s{{0,9}}[\"'“]?\d", text, re.IGNORECASE))


def _why_none(text: str, found: Sequence[FoundValue], read: Sequence[_Reading], own: Sequence[_Reading], copies: Sequence[_Copy]) -> str:
    for one in found:
        if one.value is None:
            return f"JSON cut off or broken: {one.problem}"
    if own:
        return f"{next(name for name in DIMENSIONS if name not in own[-1].grades)} is missing"
    if any(_copied(verdict.grades, copies) for verdict in read):
        return COPIED
    if read:
        return "the only verdict is a quotation or an example"
    return "no JSON object with the six dimensions" if any(one.value is not None for one in found) else "no JSON object"
