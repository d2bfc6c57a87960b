"""Detect texts that are not prose: an error message, a web page, a JSON payload, a traceback, noise."""

import re

_GIANT = 1_000  # characters of a token; words and addresses of real texts are much shorter
_ERROR_CHARS = 400  # a longer text that begins with an error message is a paragraph about one
_TINY = 120  # characters; a text this short with an error message and stray signs is an error
_SAMPLE = 400  # characters that are checked individually
_MARKS = b" \n\t\r\v\f|-=_*#`.,:"  # white space, and signs of tables, rules and lists
_DIGITS = b"0123456789"
_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + bytes(range(128, 256))  # ASCII letters and all UTF-8 bytes beyond ASCII
_CONTROL = bytes([*range(9), *range(14, 32), 127])
_NO_SPACE = dict.fromkeys(map(ord, " \n\t|-=_*#`.,:　"))
_STRANGE = b"{}%<>\\^~@$"

_STATUS = r"(?:http[ /\d.]*)?(?:error[ :]*)?[45]\d\d[ :,-]+"
_FAILURE = (
    r"max (?:re)?tries\b|internal (?:server )?error|rate limit (?:reached|exceeded)|too many requests|bad gateway|gateway time-?out"
    r"|service (?:temporarily |is )?unavailable|request timed? ?out|connection (?:error|refused|reset|timed out|aborted|closed)"
    r"|(?:you (?:have )?exceeded your )?(?:current )?quota (?:exceeded)?|insufficient[_ ]quota|invalid (?:api|request)[_ ](?:key|error)"
    r"|(?:this model's )?maximum context length|context[_ ]length[_ ]exceeded|upstream connect error|cuda (?:error|out of memory)"
    r"|(?:the )?(?:server|model|engine) is (?:currently )?(?:overloaded|busy|at capacity)|an (?:unexpected )?error (?:has )?occurr?ed"
    r"|something went wrong|not found$|unauthorized$|forbidden$|null$|none$|undefined$|nan$"
    r"|\[?error\]?(?: code)?\s*[:：]|\w+\.?\w*(?:error|exception):"
    r"|(?:服务器?|系统)(?:内部)?(?:错误|繁忙|异常|超时|暂时不可用)|服务暂时不可用|请求(?:超时|过于频繁|失败|过多)|网络(?:错误|异常|超时|连接失败)"
    r"|(?:生成|调用|访问)(?:失败|出错)|出错了|内部错误|未知错误"
)
_ERROR = re.compile(rf"[\s*_#>`\[\"'“]*(?:{_STATUS})?(?:{_FAILURE})|\s*{_STATUS}[a-z ]{{3,30}}\Z", re.IGNORECASE)
_ERROR_ANYWHERE = re.compile(rf"\b[45]\d\d (?:{_FAILURE})", re.IGNORECASE)
_PAGE = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\b|html\b|head\b|body\b|error\b)", re.IGNORECASE)
_PAYLOAD = re.compile(
    r"\s*(?:data:\s*)?[\[{]+\s*[\"'](?:error|errors|detail|details|message|code|status|object|type|id|choices|model)[\"']\s*:"
)
_OBJECT = re.compile(r"\s*\{\s*\"[\w -]+\"\s*:.*\}\s*\Z", re.DOTALL)
_TRACEBACK = re.compile(r"\s*(?:Traceback \(most recent call last\)|Exception in thread \"|Fatal error: )")
_TOKEN = re.compile(r"\s*(?:<\|\w+\|>|\[/?INST\]|</s>)|(?:<\|\w+\|>|\[/?INST\]|</s>)\s*\Z")


def find_non_prose(text: str) -> str | None:
    """The reason why a text is not prose, or None. Pass only the beginning of a long text: the cost grows with the length."""
    return _message(text) or _noise(text)


def _message(text: str) -> str | None:
    if len(text) <= _ERROR_CHARS and _ERROR.match(text):
        return f"an error message: {text[:80]}"
    for name, pattern in (("a web page", _PAGE), ("a payload", _PAYLOAD), ("a payload", _OBJECT), ("a traceback", _TRACEBACK)):
        if pattern.match(text):
            return f"{name}: {text[:80]}"
    if match := _TOKEN.match(text) or _TOKEN.search(text, max(0, len(text) - 40)):
        return f"the model's own markup: {match[0].strip()}"
    return None


def _noise(text: str) -> str | None:
    raw = text.encode("utf-8", "replace")
    shown = raw.translate(None, _MARKS)
    letters = len(shown) - len(shown.translate(None, _LETTERS))
    if letters < 0.05 * len(shown) or not letters:
        return f"{letters} letters in {len(raw)} bytes: {text[:60]!r}"
    if len(shown.translate(None, _LETTERS + _DIGITS)) > 0.5 * len(shown):
        return f"more signs than letters and digits: {text[:60]!r}"
    if (broken := text.count("\ufffd")) > 2 or (broken := len(raw) - len(raw.translate(None, _CONTROL))) > 2:
        return f"{broken} characters that cannot be read"
    if len(text) <= _TINY and len(raw) - len(raw.translate(None, _STRANGE)) > 2 and _ERROR_ANYWHERE.search(text):
        return f"an error message: {text[:80]}"
    if len(raw) > 1.5 * len(text) and sum(map(str.isalpha, seen := text[:_SAMPLE])) < 0.25 * len(seen.translate(_NO_SPACE)):
        return f"hardly any letters: {text[:60]!r}"
    if any(" " not in text[start : start + _GIANT // 2] for start in range(0, len(text) - _GIANT, _GIANT // 2)):
        longest = max(text.split(), key=len)
        if len(longest) > _GIANT and len(longest.encode("utf-8", "replace")) < 2 * len(longest):  # Chinese has no spaces
            return f"{len(longest)} characters without a space: {longest[:60]}"
    return None
