"""Whether a text was cut off: its last line is running prose, and stops without a sentence's end.

Lists, references, headings, signatures and verse end without a full stop too, and are none. The model's own end marks
("</s>", "<|im_end|>") are no text: `strip_markup` takes them off the end, `markup` finds them anywhere else.
"""

import re

from tasks.longbench.degeneration import unfinished

_TOKEN = r"(?:</?s>|<\|[\w-]{1,40}\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<eos>|<\uff5c[^\uff5c\n]{1,30}\uff5c>)"
_MARKUP = re.compile(_TOKEN)
_AT_END = re.compile(rf"\s*(?:{_TOKEN}\s*)+\Z")
_LIST = re.compile(r"\s*(?:[-*+•·●○▪–—|>#]|\(?\d{1,3}[.)、]|\(?[a-zA-Z][.)]|[（(][一二三四五六七八九十]+[）)]|[一二三四五六七八九十]+、)")
_REFERENCE = re.compile(r"https?:|www\.|\bdoi\b|\bretrieved\b|\bpp?\. ?\d|\(\d{4}\)|#\w+\s*\Z|@", re.IGNORECASE)
_CLOSED = re.compile(r"[*_`\])）】>}]\s*\Z")
_HANGING = re.compile(  # words after which something has to come
    r"\b(?:a|an|the|and|or|but|of|to|in|on|at|by|for|from|with|into|as|that|which|who|is|are|was|were|be|been|has|have|had|will|would|could"
    r"|should|can|may|might|must|i|he|she|they|we|his|her|their|my|our|your|its|this|these|if|when|while|because|than|not|very|so|up)\Z|[,，、;；:：-]\Z",
    re.IGNORECASE,
)
_SPOKEN = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+(?:['’-][^\W\d_\u3400-\u9fff]+)*")
_RUNNING = 8  # words of a line that can be a sentence; Chinese: characters, half again as many


def cut_off(text: str) -> str | None:
    """The words at which a text stops in the middle of a sentence, or None."""
    text = text.rstrip()
    if not unfinished(text):
        return None
    lines = text[-4_000:].splitlines()
    last = lines[-1].strip() if lines else ""
    words = _SPOKEN.findall(last)
    if not words or _LIST.match(last) or _REFERENCE.search(last) or _CLOSED.search(last) or last.isupper():
        return None
    short = len(words) < (_RUNNING * 3 // 2 if re.search(r"[\u3400-\u9fff]", last) else _RUNNING)
    if not _HANGING.search(last) and (short or _verse(lines)):
        return None
    return f"ends with “…{last[-60:]}”"


def _verse(lines: list[str]) -> bool:
    """Whether lines without a sentence's end are the rule here."""
    spoken = [line for line in lines[-20:] if line.strip()]
    return len(spoken) > 3 and sum(unfinished(line) for line in spoken) * 2 > len(spoken)


def strip_markup(text: str) -> str:
    """The text without the model's own marks behind its end."""
    return _AT_END.sub("", text)


def markup(text: str) -> str | None:
    """A mark of a model's chat format within a text, or None."""
    return match[0] if (match := _MARKUP.search(text)) else None
