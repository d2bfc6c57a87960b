"""Detect parts of a prompt in an answer: of the pipeline's prompts, of the user's prompt, or tokens of a chat format."""

import re
from functools import cache
from pathlib import Path

from tasks.text.endings import markup

_PROMPTS = Path(__file__).parent.parent / "prompts"
_WRITERS = ("plan", "chapters", "chapter", "write", "summarize")  # prompts used to write texts
_TAG = re.compile(r"^[ \t]*</?(?:instruction|plan|text|step|summary|passage|chapter|chapters)>[ \t]*$", re.MULTILINE)
_PLAN = re.compile(r"^.{0,40}\bMain Point:.{0,300}\bWord Count:.*$", re.MULTILINE | re.IGNORECASE)
_LABEL = re.compile(
    r"^[ \t*#]*(?:writing (?:instruction|steps?)|(?:text )?already written(?: text)?|written text|user request"
    r"|写作(?:指令|步骤|任务)|已(?:写|有)(?:好|完成)?的?(?:文本|内容|段落))"
    r"[ \t*]*[:：]",
    re.MULTILINE | re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.:;])\s+")
_LEAST = 45  # characters; a shorter sentence of a prompt can occur by chance
_WHOLE = {"en": 80, "zh": 40}  # characters; a shorter user prompt can occur in an answer by chance


def leaked(answer: str, *, request: str, language: str) -> str | None:
    """The part of a prompt that the answer contains, or None. Text that already occurs in `request`, the user's prompt, does not count."""
    if (mark := markup(answer)) and mark not in request:
        return f"a chat format's mark: {mark}"
    for name, pattern in (("the writing prompt's tag", _TAG), ("a line of the plan", _PLAN), ("a label of the writing prompt", _LABEL)):
        if (found := pattern.search(answer)) and found[0].strip() not in request:
            return f"{name}: {found[0].strip()[:80]}"
    flat, asked = _flat(answer), _flat(request)
    for sentence in _sentences():
        if sentence in flat and sentence not in asked:
            return f"the writing prompt: {sentence[:80]}"
    if len(asked) >= _WHOLE.get(language, _WHOLE["en"]) and asked in flat:
        return f"the request, word for word: {asked[:80]}"
    return None


@cache
def _sentences() -> tuple[str, ...]:
    """Sentences of the pipeline's prompts, case-folded, on one line each, without sentences that contain placeholders."""
    texts = "\n".join((_PROMPTS / f"{name}.txt").read_text(encoding="utf-8") for name in _WRITERS)
    parts = (_flat(part) for line in texts.splitlines() for part in _SENTENCE.split(line))
    return tuple(dict.fromkeys(part for part in parts if len(part) >= _LEAST and "{{" not in part))


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())
