"""Detect statements that a text is incomplete: it is shorter than requested, or the author offers to continue it.

Only the first and last blocks are read, in English and Chinese. Quoted speech does not count as an offer.
"""

import re

_BLANK = re.compile(r"\n[ \t]*\n")
_EDGE = 800  # characters of a block that are read
_MOST = 1_200  # characters of a block with an offer; a longer block is part of the text
_LIMIT = (
    r"(?:beyond|exceeds?|exceed|outside(?: of)?)\b[^.\n]{0,60}\b(?:scope|capacit|capabilit|limit|format|platform|response)"
    r"|(?:constraints?|limitations?|limits?|restrictions?|confines|space) (?:\w+ ){0,2}(?:of|posed by|set by|on|in|for) (?:this|the"
    r"|a|my|our) (?:\w+ )?"
    r"(?:platform|format|response|medium|interface|ai|model|space|system|chat)"
    r"|\b(?:in|for|within|by) (?:this|a single) (?:format|platform|response|interaction|medium|space|reply)\b"
    r"|\bplatform['’]s (?:\w+ )?(?:constraints|limit\w*|context|capabilit\w*)"
    r"|\b(?:word|length|character|text|size)(?: count)? (?:limit(?:ation)?s?|constraints?|restrictions?|requirements?)\b"
    r"|\b\d[\d,]*[- ]words?\b[^.\n]{0,120}\b(?:too|quite|excessive\w*|extensive|feasible|unusually|impractical|impossible|error"
    r"|considerable|unrealistic)\b"
    r"|\b\d[\d,]*[- ]words?\b[^.\n]{0,60}\bwould\b|\b(?:that|so) long (?:in|for|here|within)\b|\b(?:feasible|practical|possible"
    r"|able)\b[^.\n]{0,60}\b\d[\d,]*[- ]words?\b|\b(?:full|complete|entire)(?:-length)?\b[^.\n]{0,60}\b(?:would|cannot|can['’]t"
    r"|is not|isn['’]t)\b"
    r"|(?:篇幅|字数|平台|格式|长度)(?:有限|限制|所限|的?限制)|超出(?:了)?[^。\n]{0,12}(?:范围|限制|能力)"
)
_INSTEAD = (
    r"\b(?:condensed|shorter|shortened|abridged|abbreviated|concise|brief(?:er)?|summari[sz]ed|simplified|partial|truncated"
    r"|scaled-down|substantial)\b"
    r"[^.\n]{0,30}\b(?:version|essay|screenplay|script|story|article|summary|excerpt|scene|start|beginning|portion|narrative|piece"
    r"|text)"
    r"|\b(?:an?|the|detailed|structured|extended)\b[^.\n]{0,30}\b(?:outline|starting point|overview|framework)\b|\b(?:start"
    r"|begin)(?:ing)? (?:the|your|such|crafting|you)\b|\bget(?:ting)? (?:you )?started\b|\bstart you off\b|\bhelp you (?:start"
    r"|begin|outline|draft)"
    r"|\b(?:an?|first|opening|key|few) (?:\w+ )?(?:excerpt|sample|portion|opening scenes?|scenes|sections|beginning|introduction)\b"
    r"|\b(?:you can|which you can|can be|could be|you['’]d (?:need|want)|you (?:would|will|may) (?:need"
    r"|want)) (?:\w+ )?(?:to )?(?:expand|extend|build|add|develop|flesh)"
    r"|\bexpand(?:ed|ing)? (?:up)?on\b|\b(?:does|do|did) not (?:meet|reach)\b|\bnot (?:been )?met\b|\bfalls? short\b"
    r"|\bshorter than\b|\bcannot be met\b|\brather than the full"
    r"|(?:精简|缩短|简化|简短|节选|部分)(?:的)?(?:版本|版|内容)?|大纲|提纲|概要"
)
_AUTHOR = (
    r"\b(?:i|i['’](?:ll|m|ve|d)|me|you|your|here|request(?:ed)?|requirements?|word count|word limit)\b"
    r"|我|您|你|要求"
)
_HINTS = (  # every match of `_LIMIT` contains one; this cheap check runs first
    *("platform", "format", "response", "limit", "constraint", "restriction", "confines", "scope", "capacit", "capabilit", "medium"),
    *("interaction", "reply", "requirement", "-word", "0 words", "full", "entire", "complete", "long in", "long for", "long here"),
    *("space", "篇幅", "字数", "平台", "格式", "长度", "超出"),
)
_LIMITED, _OFFERED, _AUTHORED = (re.compile(pattern, re.IGNORECASE) for pattern in (_LIMIT, _INSTEAD, _AUTHOR))
_REST = r"(?:rest|remainder|remaining|next|following|second|subsequent|further|additional|more|other)"
_PIECE = (
    r"(?:parts?|sections?|chapters?|scenes?|acts?|paragraphs?|segments?|installments?|portions?|episodes?|words|pages|of (?:the"
    r"|this|it))"
)
_GO_ON = (
    rf"(?:continue|proceed|keep (?:going|writing)|carry on|go on|finish|complete|(?:write|provide|send|post|add|generate"
    rf"|give you)\b[^.\n]{{0,30}}\b{_REST}\b)"
)
_CONTINUED = re.compile(  # a separate line at the end
    r"(?:to be continued|continue[ds]? (?:in|on|with|below)\b[^\n]{0,80}|continues\b[^\n]{0,40}|(?:end"
    r"|conclusion) of (?:part|section) (?:1|i|one)"
    r"|story continues|part (?:2|two|ii)\b[^\n]{0,60}|the (?:story|essay|article|script|text) (?:continues|goes on)[^\n]{0,60}"
    r"|未完待续|待续|未完|(?:下一(?:部分|章|节|篇)|后续|下文)[^\n]{0,20}(?:继续|待续|续)|[（(]?接下(?:文|一)[^\n]{0,12})[.…。!！\s]*\Z",
    re.IGNORECASE,
)
_CONTINUED_WITHIN = re.compile(  # in brackets, after the last words
    r"[(\[（【*][ *_]{0,3}(?:to be continued|continue[ds]? (?:in|on|with|below)|continues|more to come|未完待续|待续"
    r"|未完)[^\n()\[\]]{0,120}[)\]）】*]{1,4}\s*\Z",
    re.IGNORECASE,
)
_WORK = (
    r"(?:essay|article|story|screenplay|script|draft|piece|narrative|novel|report|guide|text|answer|response|chapter|document|paper"
    r"|speech)"
)
_REST_WORDS = ("rest", "remain", "next", "following", "second", "subsequent", "further", "additional", "more", "other")
_PIECE_WORDS = (
    *("part", "section", "chapter", "scene", "act", "paragraph", "segment", "installment", "portion", "episode", "words", "pages"),
    *("of the", "of this", "of it"),
)
_ONWARD = ("continue", "proceed", "keep going", "keep writing", "carry on", "go on", "finish", "complete", *_REST_WORDS)
_ABLE = ("'ll", "’ll", " can", " could", " will", " would", " am able to", " am happy to", "'m happy to", "’m happy to")
# Each form of an offer. Every match contains a word of each group; this cheap check runs first.
_OFFERS = tuple(
    (re.compile(pattern, re.IGNORECASE), groups)
    for pattern, groups in (
        (
            rf"\b(?:would you like|do you want|shall|should)\b[^.?\n]{{0,30}}\b(?:me|i|us|we)\b(?: to)?[^.?\n]{{0,40}}\b{_GO_ON}",
            (("would you like", "do you want", "shall", "should"), _ONWARD),
        ),
        (
            rf"\b(?:if you(?:['’]d| would)? (?:like|want|wish|prefer|need)|let me know|just say|feel free to ask|please ask|tell me"
            rf"|ask me)\b[^.\n]{{0,120}}\b(?:continue|proceed|keep going|carry on|go on)\b"
            rf"|\b(?:if you(?:['’]d| would)? (?:like|want|wish|need)|let me know)\b[^.\n]{{0,120}}\b{_REST} {_PIECE}",
            (("if you", "let me know", "just say", "feel free to ask", "please ask", "tell me", "ask me"), _ONWARD),
        ),
        (
            rf"\b(?:i|we)(?:['’]ll| can| could| will| would| am able to| am happy to|['’]m happy to)\b[^.\n]{{0,40}}\b{_GO_ON}\b",
            (tuple(f"{who}{able}" for who in ("i", "we") for able in _ABLE), _ONWARD),
        ),
        (
            r"\b(?:say|type|reply|respond|send|write|prompt)\b[^.\n]{0,20}[\"“'‘*`]{0,3}"
            r"(?:continue|go on|next|proceed)[\"”'’*`]{1,3}",
            (tuple(f"{word}{mark}" for word in ("continue", "go on", "next", "proceed") for mark in "\"”'’*`"),),
        ),
        (
            rf"\b(?:this|that|here|above|so far)\b[^.\n]{{0,30}}\b(?:is|was|are|were)\b[^.\n]{{0,20}}\b(?:only|just|merely)\b"
            rf"[^.\n]{{0,20}}\b(?:first|beginning|start|opening|initial|part|portion|excerpt)\b[^.\n]{{0,20}}"
            rf"\b(?:of (?:the|this|your|my|an?|our) (?:\w+ ){{0,2}}{_WORK}|{_PIECE})"
            rf"|\b(?:this|the) {_WORK} is (?:only|just|merely) (?:the )?(?:first|beginning|start|opening)\b",
            (("only", "just", "merely"),),
        ),
        (
            rf"\b{_REST} {_PIECE}[^.\n]{{0,30}}\b(?:will|would|can|could|to)\b[^.\n]{{0,20}}"
            rf"\b(?:follow|come|be (?:continued|provided|written|added|sent))\b",
            (_REST_WORDS, _PIECE_WORDS, ("follow", "come", "be continued", "be provided", "be written", "be added", "be sent")),
        ),
        (
            r"(?:如果|若|如)?[您你]?(?:需要|想要?|希望|愿意|要)[^。\n]{0,20}(?:继续|续写|后续|剩余|余下|下一(?:部分|章|节))[^。\n]{0,20}"
            r"|(?:是否|要不要|需不需要)[^。\n]{0,10}(?:继续|续写)"
            r"|(?:回复|输入|发送)[“\"‘'「]?继续|(?:以上|这|上面)(?:只|仅)?(?:是|为)[^。\n]{0,12}(?:第一|开头|前[一二两三半])(?:部分|章|节"
            r"|段)|我(?:会|可以|将|再)(?:接着"
            r"|继续)(?:写|完成|输出|补)|(?:其余|剩余|余下|后续)(?:部分|内容|章节)[^。\n]{0,12}(?:继续|下次|稍后|再)",
            (("续", "余", "下一", "第一", "开头", "前", "接着"),),
        ),
    )
)
_OFFERING = (
    "continu",
    "proceed",
    "keep going",
    "carry on",
    "go on",
    "goes on",
    "finish",
    "complete",
    "rest",
    "remain",
    "next",
    "follow",
    "only",
    "just",
    "merely",
    "more",
    "part",
    "续",
    "未完",
    "下一",
    "后续",
    "余",
    "第一",
    "开头",
    "前",
)
_SPOKEN = "\"“‘「『'"
_AUTHOR_SPEAKS = re.compile(
    r"\b(?:i|i['’](?:ll|m|ve|d)|me|you|your|let me|please|part|due to|limit\w*|length|response|request\w*|essay|story|script"
    r"|screenplay|article|text|chapters?|sections?)\b|我|您|你|部分|篇幅",
    re.IGNORECASE,
)


def declined(text: str) -> str | None:
    """The sentence in which the author states that the text is shorter than requested or not complete, or None.

    One of the first two or last two blocks must name a limit, a substitute, and the author or reader.
    """
    head, tail = _BLANK.split(text[:4_000].strip(), maxsplit=2)[:2], _BLANK.split(text[-4_000:].strip())[-2:]
    for block in dict.fromkeys((*head, *tail)):
        edge = block[:_EDGE]
        if not any(map(edge.casefold().__contains__, _HINTS)):
            continue
        if (limit := _LIMITED.search(edge)) and _OFFERED.search(edge) and _AUTHORED.search(edge):
            begin = max(edge.rfind(".", 0, limit.start()), edge.rfind("\n", 0, limit.start())) + 1
            return " ".join(edge[begin : begin + 160].split())
    return None


def offers_more(text: str) -> str | None:
    """The words of the last two blocks in which the author announces or offers a continuation, or None."""
    blocks = [block for block in _BLANK.split(text[-4_000:].strip()) if block.strip()]
    for place, block in enumerate(reversed(blocks[-2:])):
        last = block.strip().rpartition("\n")[2].strip(" \t*_#>()（）[]【】-–—=~.…")
        if place == 0 and len(last) <= 160 and (match := _CONTINUED.match(last)):
            return match[0].strip()
        if place == 0 and (match := _CONTINUED_WITHIN.search(block[-200:])):
            return match[0].strip()
        said = block.strip().lstrip("*_#>()（）[]【】-–—=~ ")
        if len(block) > _MOST or said[:1] in _SPOKEN or not any(map(block.casefold().__contains__, _OFFERING)):
            continue
        if (match := _offer(said)) and _AUTHOR_SPEAKS.search(said):
            return " ".join(match[0].split())[:160]
    return None


def _offer(said: str) -> re.Match[str] | None:
    """The first offer to continue, in any of the forms, or None."""
    folded = said.casefold()
    likely = (pattern for pattern, groups in _OFFERS if all(any(map(folded.__contains__, group)) for group in groups))
    return min(filter(None, (pattern.search(said) for pattern in likely)), key=re.Match.start, default=None)
