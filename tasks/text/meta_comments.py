"""Remove comments of a model about its own text: "Sure! Here is …", "Let me know if …", （本段约500字）, "[To be continued]".

Such remarks are separate lines at either edge of a paragraph; other lines are not searched. A text that its author calls an outline
or shorter than requested is a different case: see `declined` in offers.py. Measured on recorded answers of seven models:
docs/dataset.md.
"""

import re
from typing import NamedTuple

_LINE = re.compile(r"[^\n]*\S[^\n]*")
_RULE = re.compile(r"(?:[-*_=~#]\s?){3,}\Z|#+\Z")
_WRAPPING = " \t\n*_#>()（）[]【】「」-–—=~"
_MOST = 900  # characters of a remark; a longer line is part of the text
_EDGE = 4  # lines at either edge that can be remarks

_WORK = (
    r"(?:essay|article|story|short story|screenplay|script|scene|opening(?: scene)?|paragraph|section|part|chapter|draft|text|piece"
    r"|narrative|outline"
    r"|introduction|excerpt|snippet|summary|response|version|letter|report|poem|speech|guide|post|example|template|continuation|content|passage)"
)
_HERE = rf"(?:here(?:['’]s| is| are)|below (?:is|are)|(?:the )?following (?:is|are)|this is) (?:[\w-]+,?[ ]){{0,9}}?{_WORK}"
_YES = r"(?:(?:certainly|sure(?: thing)?|of course|absolutely|okay|ok|great|gladly|no problem|understood|got it|happy to help)\b[!,.:]*\s*)"
_WILL = r"(?:i['’]ll|i will|i can|i['’]d be|i['’]m|i am|let me|let['’]s|i have|i['’]ve)\b"
_OPENING = re.compile(
    rf"(?:{_YES}+(?:{_HERE}|{_WILL}).*|{_HERE}[^\n.]{{0,200}}:"
    rf"|{_HERE}\b[^\n]{{0,120}}\b(?:based on|you (?:asked|requested|wanted|provided)|as (?:you )?requested|per your|your request"
    rf"|words?\b)[^\n]*"
    r"|(?:好的|当然(?:可以)?|没问题|明白了?|可以的?)[，,！!。：:\s]*(?:以下|下面|这是|这里|我(?:将|来|会|已经)|为[您你]).*"
    r"|(?:以下|下面)(?:是|为)[^\n。]{0,60}[：:])",
    re.IGNORECASE | re.DOTALL,
)
_ASK = (
    r"(?:please )?let me know\b|feel free to\b|(?:please )?(?:do not|don['’]t) hesitate\b|if you (?:need|want|wish|require"
    r"|prefer)\b.{0,120}\b(?:let me"
    r"|feel free|please|ask|further|happy|can (?:also )?(?:add|expand|adjust|modify|continue|provide))"
    r"|if you(?:['’]d| would) like\b.{0,160}\b(?:let me|feel free|please|ask|just|i can|i could|happy)"
    r"|if you have any (?:\w+ ){0,3}(?:questions|requests|changes|feedback)\b"
    r"|would you like (?:me )?to (?:continue|proceed|expand|write|add|make|see)\b|(?:shall|should) i (?:continue|proceed)\b"
)
_HOPE = (
    rf"i hope (?:that )?(?:this (?:{_WORK}|\w+ {_WORK}|helps?|meets|gives|is|provides|sparks|serves|works)|you (?:like|liked"
    rf"|enjoy(?:ed)?|find) (?:this|it|the {_WORK}|reading)"
    rf"|it (?:helps|meets|is (?:helpful|useful|to your)|works for you)|the (?:{_WORK}|above))\b"
)
_MEETS = (
    r"(?:meets?|meeting|exceeds?|satisf(?:y|ies)|fulfil(?:l|ls)|reach(?:es)?|adheres? to"
    r"|does not (?:meet|reach)|falls short|is not met|fits?|complies)"
)
_ABOUT = (
    rf"(?:this|the(?: above| complete| final| entire)?|above|my) (?:\w+[ -]){{0,3}}?{_WORK}\b[^\n]{{0,160}}?"
    rf"(?:\b(?:approximately|about|around|roughly|over|under|exactly|at|only|contains?|has|totals?)\s+\d[\d,]*[ -]*words?\b"
    rf"|\b\d[\d,]*[ -]words?\b|\b{_MEETS}\b[^\n]{{0,80}}\b(?:requirements?|word count|length|word limit|guidelines|criteria|prompt"
    rf"|request)\b"
    rf"|\b(?:can|could|should|would|may|might|will) (?:need to )?(?:then )?be (?:\w+ )?(?:expanded|extended|developed|elaborated"
    rf"|continued|adjusted|modified)\b"
    r"|\bfor you to (?:expand|build|develop|continue|work)|\byou can (?:expand|build|develop|continue|add)\b)"
)
_NOTE = (
    rf"(?:please )?note(?: that)?\b[^\n]*?\b(?:{_WORK}|words?|word count|references?|citations?|placeholders?|requirements?|keywords?)\b"
)
_REVIEW = (
    rf"(?:this|the(?: above)?) (?:\w+[ -]){{0,3}}?{_WORK} (?:provides|offers|presents|maintains|is|has been|was|follows|explores"
    rf"|sets|includes|aims|adheres|captures|introduces)\b"
    r"[^\n]*\b(?:coherent|well-structured|logically structured|counter-?arguments?|academic tone|writing prompt|the prompt"
    r"|requirements?|guidelines|stage directions|action lines"
    r"|character (?:traits|development)|starting point|keywords|word limit|the story can|could (?:continue|explore)|can (?:continue"
    r"|explore))\b"
)
_REMEMBER = rf"remember,? (?:that )?this is (?:just|only)? ?(?:an?|the) (?:\w+[ -]){{0,5}}?{_WORK}\b"
_JUST = (
    rf"this is (?:just|only) (?:an?|the) (?:\w+[ -]){{0,6}}?(?:{_WORK}|beginning|start|starting point|overview)\b"
    rf"|this {_WORK} is (?:just |only )?an? (?:\w+ )?(?:starting point|beginning|overview|sample|example|condensed|interpretation"
    rf"|creative)\b"
)
_COUNT = (
    rf"(?:total |approximate |approx\.? |final |current |estimated )?(?:word ?count|words|{_WORK} length)\b[^\n\w]{{0,6}}(?:is "
    rf"|of this \w+ is |for this \w+(?: \w+)?[: ]*)?"
    r"(?:about |approximately |approx\.? |around |roughly |over |exactly )*\d[\d,]*\+?[^\n]{0,120}"
    r"|(?:about |approximately |approx\.? |around |roughly |total(?: of)? )?\d[\d,]*\+? words(?: in total)?\.?"
)
_CONTINUED = (
    r"to be continued\b[^\n]{0,60}|continue[ds]? (?:in|on|with|below|to) (?:the )?(?:next|following|part|section"
    r"|chapter)[^\n]{0,60}|(?:the )?end of (?:the )?(?:paragraph|part|section|chapter|scene|excerpt|essay|article"
    r"|story|screenplay|script|draft|document)\b[^\n]{0,20}|the end[.!… ]*|fin[.!]?"
)
_CLOSING_ZH = (
    r"(?:希望|愿)(?:这|以上|上述|本|对[您你]|能|我的)[^\n]{0,80}(?:帮助|有用|满意|要求|喜欢|启发)[^\n]{0,20}"
    r"|(?:如果|若|如)[您你]?(?:还|需要|想|有|对)[^\n]{0,80}(?:告诉|告知|联系|随时|提出|修改|继续|补充|请)[^\n]{0,40}|请(?:告诉|告知)我[^\n]{0,60}"
    r"|(?:本段|本节|全文|本文|以上|正文|上文|此段|这段)[^\n]{0,12}?(?:共|约|大约|总计|共计|字数)[^\n]{0,10}\d[\d,]*\s*字?[^\n]{0,40}"
    r"|(?:总)?字数(?:统计)?[:：约为\s]{0,6}\d[\d,]*\s*字?"
    r"|(?:约|共|共计)\s*\d[\d,]*\s*字|(?:注|备注|说明|提示)[:：][^\n]*(?:字数|本文|文章|段落|要求|参考文献|虚构)[^\n]*|未完待续[.…。]*|待续[.…。]*|全文完|（?完）?"
)
_CLOSING = re.compile(
    rf"(?:{_ASK}|{_HOPE}|{_ABOUT}|{_REVIEW}|{_NOTE}|{_REMEMBER}|{_JUST}|(?:{_COUNT}|{_CONTINUED}|{_CLOSING_ZH})\Z)",
    re.IGNORECASE | re.DOTALL,
)
_REACH = re.compile(r"\b(?:contact|call|e-?mail|phone|visit|reach out|write to)\b|@", re.IGNORECASE)  # the end of a letter, not a remark
_FAREWELL = re.compile(r"(?:(?:the )?end\b|fin\b|to be continued|未完待续|待续|全文完|（?完）?)", re.IGNORECASE)


class Cleaned(NamedTuple):
    """A paragraph without remarks, and the removed lines."""

    text: str
    removed: tuple[str, ...]  # the removed lines, unchanged


def strip_meta_comments(paragraph: str, *, last: bool = True) -> Cleaned:
    """A paragraph without the model's remarks at either edge and without horizontal rules next to them.

    `last`: this is the last paragraph, in which "The End" belongs to the text. At least one line always remains.
    """
    lines = [(match.start(), match.end()) for match in _LINE.finditer(paragraph)]
    said = [paragraph[start:end] for start, end in lines]
    first, end = 0, len(lines)
    while first < min(end - 1, _EDGE) and _is(_OPENING, said[first], whole=True):
        first += 1
    while end > max(first + 1, len(lines) - _EDGE) and _closes(said[end - 1], last=last):
        end -= 1
        while end > first + 1 and _RULE.match(said[end - 1].strip()) and end - 1 > len(lines) - _EDGE - 1:
            end -= 1
    while first and first < end - 1 and _RULE.match(said[first].strip()):
        first += 1
    if first == 0 and end == len(lines):
        return Cleaned(paragraph, ())
    return Cleaned(paragraph[lines[first][0] : lines[end - 1][1]], (*said[:first], *said[end:]))


def _closes(line: str, *, last: bool) -> bool:
    text = line.strip(_WRAPPING)
    if (last and _FAREWELL.match(text)) or _REACH.search(text):
        return False
    return _is(_CLOSING, line, whole=False)


def _is(pattern: re.Pattern[str], line: str, *, whole: bool) -> bool:
    text = line.strip(_WRAPPING)
    if not text or len(text) > _MOST or text[0] in "\"“'‘「『":
        return False
    return bool(pattern.fullmatch(text) if whole else pattern.match(text))
