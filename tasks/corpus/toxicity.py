"""Word list for toxic prompts that their source has not flagged.

It contains only words that name the requested content, such as pornographic genres. Crime, illness and war are legitimate topics.
"""

import re

_ENGLISH = (
    "nsfw|hentai|smut|erotica|erotic (?:story|scene|fan ?fic\\w*|roleplay|fiction)|porn (?:story|script|scene)|gang ?bang\\w*|blow ?jobs?"
    "|hand ?jobs?|cum(?:shot|ming|s)?|creampie|deep ?throat\\w*|futanari|milf|dildo\\w*|butt ?plug\\w*|orgasm(?:s|ing|ed)?|cunnilingus"
    "|fellatio|bukkake|cuckold\\w*|rape (?:fantasy|scene|story)|incest (?:story|fantasy|roleplay)|sex scene|sexually explicit"
    "|lolicon|shotacon|loli|pussy|cock ?sucker|cunt\\w*|nigger\\w*|faggot\\w*|kike\\w*|retards|(?:cook|make|synthesi[sz]e) meth\\w*"
    "|(?:make|build) a (?:pipe )?bomb"
)
_CHINESE = (
    "色情小说|黄色小说|情色小说|成人小说|黄文|肉文|h文|淫荡|淫水|肉棒|阴茎|阴道"
    "|口交|肛交|轮奸|强奸(?:文|情节|场面)|乱伦(?:文|小说|情节)|性交|做爱"
    "|自慰|高潮(?:描写|细节)|萝莉控|(?:制作|制造)(?:炸弹|冰毒)"
)
_WORDS = re.compile(rf"\b(?:{_ENGLISH})\b|{_CHINESE}")
# Every match contains one of these. Most texts contain none, so the pattern is not run on them.
_STEMS = (
    "nsfw", "hentai", "smut", "erotic", "porn", "gang", "job", "cum", "creampie", "throat", "futanari", "milf", "dildo", "plug",
    "orgasm", "cunnilingus", "fellatio", "bukkake", "cuckold", "rape ", "incest ", "sex scene", "sexually explicit", "loli",
    "shotacon", "pussy", "cock", "cunt", "nigger", "faggot", "kike", "retards", " meth", "bomb", "色情小说", "黄色小说",
    "情色小说", "成人小说", "黄文", "肉文", "h文", "淫", "肉棒", "阴茎", "阴道", "口交", "肛交", "轮奸", "强奸", "乱伦", "性交",
    "做爱", "自慰", "高潮", "萝莉", "炸弹", "冰毒",
)  # fmt: skip


def toxic_word(text: str) -> str | None:
    """The first listed word in `text`, which must be in lower case, or None."""
    if not any(map(text.__contains__, _STEMS)):
        return None
    return match[0] if (match := _WORDS.search(text)) else None
