"""Names of the six dimensions and forms of their grades, as judges write them."""

import re
import unicodedata
from functools import lru_cache

from tasks.judging.replies import Pairs, Word
from tasks.schema.errors import ReplyError
from tasks.schema.records import Rubric

DIMENSIONS = tuple(Rubric.model_fields)

_ZH = {
    "relevance": ("相关性", "相关度", "切题性", "切题度"),
    "accuracy": ("准确性", "准确度", "正确性"),
    "coherence": ("连贯性", "连贯度", "一致性"),
    "clarity": ("清晰度", "清晰性", "清楚度"),
    "breadth_and_depth": ("广度与深度", "广度和深度", "广度及深度", "广度深度", "深度与广度", "深度和广度", "深度及广度"),
    "reading_experience": ("阅读体验", "阅读感受", "可读性体验"),
}
_KNOWN = {name.replace("_", ""): name for name in DIMENSIONS} | {zh: name for name, names in _ZH.items() for zh in names}
_KNOWN |= {"breadthdepth": "breadth_and_depth", "depthandbreadth": "breadth_and_depth", "breadthndepth": "breadth_and_depth"}
_JOINT = r"[\s_&/-]{0,3}"
NAME = (
    rf"relevance|accuracy|coherence|clarity|breadth{_JOINT}(?:and|n)?{_JOINT}depth|depth{_JOINT}and{_JOINT}breadth|reading{_JOINT}experience|"
    + "|".join(name for names in _ZH.values() for name in names)
)  # searched in a text, case-insensitively
_AROUND = re.compile(r"^\s*\d{1,2}\s*[.)、]|[(\[（【].*$|(?:score|grade|rating|得分|评分|分数)\s*$", re.IGNORECASE)
_SCORE_KEYS = frozenset(("score", "grade", "rating", "value", "points", "mark", "scores", "分数", "得分", "评分", "分值"))
_GRADE = re.compile(
    r"\s{0,9}(?:(?:score|grade|rating|得分|评分)\s{0,3}[:=]?\s{0,3})?"
    r"([+-]?\d{1,9}(?:\.\d{1,9})?)\s{0,9}(?:(?:/|out of|of)\s{0,9}(\d{1,4})(?:\.0)?)?\s{0,9}(?:points?|stars?|分)?\s{0,9}"
    r"(?:[.,;:。，；()（–—*].*|-\s.*)?",
    re.DOTALL | re.IGNORECASE,
)
_MOST = 5


@lru_cache(10_000)
def dimension(key: str) -> str | None:
    """Returns the dimension that a key names, such as "Breadth and Depth", "BreadthAndDepth" or "广度与深度"; None for other keys."""
    plain = unicodedata.normalize("NFKC", key[:60]).casefold().strip().strip("*_\"'` :")
    plain = _AROUND.sub("", _AROUND.sub("", plain)).replace("&", "and")
    return _KNOWN.get(re.sub(r"[\W_]+", "", plain))


def grade(value: object) -> int | None:
    """Returns the whole number of a value: 4, 4.0, "4", "4/5", "4 (good)", {"score": 4, "reason": …}, [4]. None if there is none.

    The range is not checked, except that "4/10" is None because its scale is another one.
    """
    if isinstance(value, Pairs):
        found = {grade(inner) for key, inner in value if key.strip().casefold() in _SCORE_KEYS}
        return found.pop() if len(found) == 1 else None
    if isinstance(value, tuple):
        found = {number for inner in value if (number := grade(inner)) is not None}
        return found.pop() if len(found) == 1 else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value) if value == value and abs(value) < 1e9 and value == int(value) else None
    match = _GRADE.fullmatch(unicodedata.normalize("NFKC", value[:2_000])) if isinstance(value, str) else None
    if not match or (match[2] and int(match[2]) != _MOST):
        return None
    return int(float(match[1])) if float(match[1]).is_integer() else None


def scored_key(key: str) -> bool:
    """Whether a key names a grade, as in {"dimension": "Clarity", "score": 4}."""
    return key.strip().casefold() in _SCORE_KEYS


def rubric_of(grades: dict[str, object]) -> Rubric:
    """Returns six values as a rubric. Raises ReplyError with the first value that is missing or is no whole number from 1 to 5."""
    read: dict[str, int] = {}
    for name in DIMENSIONS:
        if name not in grades:
            raise ReplyError(f"{name} is missing")
        number = grade(grades[name])
        if number is None or not 1 <= number <= _MOST:
            raise ReplyError(f"{name} is {shown(grades[name])}, not a whole number from 1 to {_MOST}")
        read[name] = number
    return Rubric(**read)


def shown(value: object) -> str:
    """A value for a message, in at most 40 characters."""
    if isinstance(value, Pairs):
        text = "{" + ", ".join(f"{key}: {shown(inner)}" for key, inner in value[:3]) + "}"
    elif isinstance(value, tuple):
        text = "[" + ", ".join(map(shown, value[:3])) + "]"
    elif isinstance(value, str) and not isinstance(value, Word):
        text = f'"{value[:60]}"'
    else:
        text = (
            {None: "null", True: "true", False: "false"}.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)
        )
    return text[:40]
