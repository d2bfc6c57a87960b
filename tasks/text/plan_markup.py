"""Remove markup of the plan from a paragraph: "Paragraph 3 –", 第三段：, lines of the plan, the main point as a heading, fences.

Headings of the text itself, such as "Part 2 of 4" or 第2部分，共4部分, are kept, and so are sentences that begin with
"Paragraph 3 of the contract".
"""

import re

from tasks.text.unicode import normalized

_FENCE = re.compile(r"\A(```+|~~~+)[\w-]*\n(.*?)\n?\1\s*\Z", re.DOTALL)
_OPEN_FENCE = re.compile(r"\A(?:```+|~~~+)[\w-]*\n|\n(?:```+|~~~+)\s*\Z")
_MARK = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_PLAN_LINE = re.compile(
    r"^[ \t*#>-]*(?:Paragraph \d+ ?[-–—:] ?)?Main Point:[^\n]*(?:Word Count:[^\n]*)?(?:\n+|\Z)", re.IGNORECASE | re.MULTILINE
)
_NUMBER = r"(?:\d{1,3}|[一二三四五六七八九十百]+)"
_WORDED = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_NAME = (
    rf"(?:paragraph\s+(?:\d{{1,3}}|[ivx]+|{_WORDED})|第\s*{_NUMBER}\s*(?:段落?|自然段)|段落\s*{_NUMBER})"
    rf"(?:\s*(?:/|of|out of)\s*\d{{1,3}})?(?:\s*[(（][^()（）\n]{{1,40}}[)）])?"
)
_IDENTIFIER = re.compile(
    rf"^[ \t]*(?:#{{1,6}}[ \t]*)?(?:\*{{1,2}}\s*{_NAME}\s*[:：.]?\s*\*{{1,2}}|[\[【(（]\s*{_NAME}\s*[\]】)）]"
    rf"|{_NAME}(?=\s*(?:[:：.．、–—-]|\n)|\Z))"
    r"[ \t]*[:：.．、–—-]*\s*",
    re.IGNORECASE | re.MULTILINE,
)
_LIKE_IT = re.compile(r"paragraph|段|main point", re.IGNORECASE)
_EDGES = " \t*_#>-–—•|\"'“”‘’「」『』()（）[]【】.,!?:;。，！？：；…0123456789"
_POINT = 6  # characters; an equal first line is removed only for a main point of at least this length


def strip_plan_markup(paragraph: str, *, point: str = "") -> str:
    """A paragraph without markup of the plan. A first line that equals `point`, its main point in the plan, is removed too.

    A paragraph that would become empty is returned unchanged, without outer white space.
    """
    text = _unfenced(paragraph.strip())
    if _LIKE_IT.search(text):
        text = _PLAN_LINE.sub("", text)
        text = _IDENTIFIER.sub("", text).strip()
    first, _, rest = text.partition("\n")
    if point and rest.strip() and _is_point(first, point):
        text = rest.strip()
    return text or paragraph.strip()


def identifiers(text: str) -> int:
    """The number of lines that begin with a plan number or are lines of a plan."""
    return len(_IDENTIFIER.findall(text)) + len(_PLAN_LINE.findall(text)) if _LIKE_IT.search(text) else 0


def _unfenced(text: str) -> str:
    if fence := _FENCE.match(text):
        return fence[2].strip() if not _MARK.search(fence[2]) else text
    if len(_MARK.findall(text)) == 1:
        return _OPEN_FENCE.sub("", text).strip()
    return text


def _is_point(line: str, point: str) -> bool:
    said, meant = _bare(line.partition("Word Count")[0]), _bare(point)
    return len(meant) >= _POINT and said in (meant, f"main point: {meant}")


def _bare(text: str) -> str:
    return " ".join(normalized("NFC", text).casefold().split()).strip(_EDGES)
