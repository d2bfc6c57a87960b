"""Parse the text of a teacher's plan into the lines of a plan. For endpoints without JSON schema (see plan_json.py).

It accepts preambles, closing remarks, bold, list markers, different numbering, paragraphs over several lines, ranges, English and
Chinese numerals, and missing counts. The result is strict: lines numbered 1 to n without a gap, each with a main point, and counts
from 1 to MAX_WORDS.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from tasks.agentwrite.plan_fields import LONGEST_LINE, MAX_WORDS, TOTAL, PlanLine, fold, is_labelled, point_of, take_count, tidy
from tasks.schema.errors import ReplyError
from tasks.text.numbers import number

Noun = Literal["paragraph", "chapter"]

_PLAIN = re.compile(r"(Paragraph|Chapter) (\d{1,4}) - Main Point: (.*) - Word Count: (\d{1,12}) words")
_MARKUP = re.compile(r"\*\*|__|`")
_RUN = re.compile(r"([\W_])\1{7,}")  # runs of blanks, dashes or dots have no meaning and cost time
_ZH = r"\d{1,4}|[一二两三四五六七八九十百零]{1,5}"
_EN = (
    r"\d{1,4}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
    r"|(?:twenty|thirty|forty|fifty)(?:[\s-](?:one|two|three|four|five|six|seven|eight|nine))?"
)
_LEAD = r"^[\s>#*•·+\-–—_\[]{0,20}(?:\(?\d{1,4}[.)、]\s*)?[\s*_\[#]{0,8}"
_BEHIND = r"(?:\s*(?:/|\bof\b)\s*\d{1,4})?(?![^\W_]|%)"


def _label(english: str, chinese: str, chinese_before: str) -> re.Pattern[str]:
    """A pattern for a line that begins with one of these words and a number."""
    return re.compile(
        rf"{_LEAD}(?:(?:{english})\.?\s*(?:no\.?|number|#)?\s*(?:\d{{1,3}}\.)?(?P<en>{_EN}){_BEHIND}"
        rf"|第\s*(?P<zh>{_ZH})\s*(?:{chinese})|(?:{chinese_before})\s*(?P<before>{_ZH})(?![\d个]))",
        re.IGNORECASE,
    )


_OWN: dict[Noun, re.Pattern[str]] = {
    "paragraph": _label("paragraph|para", "(?:自然)?段落?", "段落?"),
    "chapter": _label("chapter|chap|ch", "章节?", "章节?"),
}
_OTHER = _label("section|part|step", "(?:部分|[节步点篇])", "部分|步骤")
_BARE = re.compile(
    r"^[\s>#*•·+\-–—_]*(?:\(?(?P<en>\d{1,4})(?:[.):、](?!\d)|\s*[-–—]\s)"
    r"|\(?(?P<zh>[一二两三四五六七八九十百]{1,5})[.):、]|(?P<before>[①-⑳]))"
)
_BREAK = re.compile(r"^\s*(?:#|(?:[-*_=]\s*){3,}$)")
_BULLET = re.compile(r"^(?:\s{2,}|\t|\s*[-*•·+–]\s)")


class _Block(NamedTuple):
    number: int
    lines: list[str]  # the text after the number, and the lines below


def parse_plan(text: str, *, max_paragraphs: int, noun: Noun = "paragraph") -> tuple[PlanLine, ...]:
    """The paragraph lines, or chapter lines, of a plan text. Other lines, such as a preamble or a total, are skipped.

    Raises ReplyError with the line: no lines at all, a missing or repeated number, a count of 0 or above MAX_WORDS, no main point, more
    than `max_paragraphs`.
    """
    lines = _plain(text, noun) or _read(text, noun)
    if not lines:
        raise ReplyError(f"the reply is not a plan; it begins {' '.join(text.split())[:80]!r}" if text.strip() else "the reply is empty")
    if len(lines) > max_paragraphs:
        raise ReplyError(f"{len(lines)} {noun}s, at most {max_paragraphs} are allowed")
    for place, line in enumerate(lines, 1):
        if line.number != place:
            raise ReplyError(f"expected {noun} {place}, found {noun} {line.number}")
        if line.words is not None and not 0 < line.words <= MAX_WORDS:
            raise ReplyError(f"{noun} {place} has a word count of {line.words if line.words <= MAX_WORDS else f'more than {MAX_WORDS}'}")
        if not line.point:
            raise ReplyError(f"{noun} {place} has no main point")
    return tuple(lines)


def _plain(text: str, noun: Noun) -> list[PlanLine] | None:
    """Fast path for a plan in exactly the requested form, which `render` writes too; None for any other form."""
    lines: list[PlanLine] = []
    for raw in filter(str.strip, text.splitlines()):
        match = _PLAIN.fullmatch(raw)
        if not match:
            return None
        if match[1].lower() == noun:
            lines.append(PlanLine(int(match[2]), tidy(match[3]), int(match[4])))
    return lines


def _read(text: str, noun: Noun) -> list[PlanLine]:
    lines = [_MARKUP.sub("", _RUN.sub(r"\1\1\1", line[:LONGEST_LINE])) for line in text.splitlines()]
    if found := [_line(block) for block in _blocks(lines, _OWN[noun], noun)]:
        return found
    for label in (_OTHER, _BARE):
        found = _counted([_line(block) for block in _blocks(lines, label, noun)])
        if 2 * sum(line.words is not None for line in found) >= len(found) > 0:  # otherwise it is another list
            return found
    return []


def _counted(lines: list[PlanLine]) -> list[PlanLine]:
    """If there are several lists that begin at 1 and only one has word counts, that list; otherwise all lines."""
    starts = [place for place, line in enumerate(lines) if line.number == 1] or [0]
    runs = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    counted = [run for run in runs if any(line.words is not None for line in run)]
    return counted[0] if len(counted) == 1 else lines


def _blocks(lines: list[str], label: re.Pattern[str], noun: Noun) -> list[_Block]:
    """The lines from each label to the next label, or to a total, a heading or a line of the other noun."""
    ends = _OWN["chapter" if noun == "paragraph" else "paragraph"]
    blocks: list[_Block] = []
    inside = False
    for line in lines:
        folded = fold(line)
        if match := label.match(folded):
            blocks.append(_Block(_number(match), [line[match.end() :]]))
            inside = True
        elif _BREAK.match(folded) or TOTAL.match(folded) or ends.match(folded):
            inside = False
        elif inside:
            blocks[-1].lines.append(line)
    return blocks


def _number(match: re.Match[str]) -> int:
    text = next(group for group in (match["en"], match["zh"], match["before"]) if group)
    return ord(text) - ord("①") + 1 if "①" <= text <= "⑳" else number(text)


def _line(block: _Block) -> PlanLine:
    words, head = take_count(block.lines[0])
    point = point_of(head)
    for joint, count, rest in _below(block.lines[1:], begun=bool(point), counted=words is not None):
        words = count if words is None else words
        said = point_of(rest)
        point = f"{point}{joint}{said}" if point and said else point or said
    return PlanLine(block.number, tidy(point), words)


def _below(lines: list[str], *, begun: bool, counted: bool) -> Iterator[tuple[str, int | None, str]]:
    """Yield (joint, count, text) for the lines below the first line of a paragraph. Stops at a closing remark."""
    gap = False
    for line in lines:
        if not line.strip():
            gap = True
            continue
        labelled, bullet = is_labelled(line), bool(_BULLET.match(line))
        count, rest = take_count(line, marked=gap and begun and not labelled)
        if labelled:
            yield ": ", count, rest
        elif not begun or bullet or not gap or (count is not None and not counted):
            yield "; " if bullet and begun else (": " if gap else " "), count, rest
        else:
            return
        counted = counted or count is not None
        begun, gap = True, False
