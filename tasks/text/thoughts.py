"""Split a reply of a reasoning model into its reasoning and the text.

Servers with a reasoning parser return the reasoning in a separate field. Without a parser it remains in the text, in tags of the
model's chat template. Reasoning comes first. A tag mentioned later in a sentence, in quotes or in a code block belongs to the text.

A model that plans while it writes also reasons between its paragraphs. After reasoning at the beginning, a block in tags that is a
paragraph of its own is reasoning too: it is removed with the white space after it, so that the text around it stays as it is. A closing
tag on a line of its own needs no blank line after it. A block after a line that ends with a colon is an example, and text.

Known forms: <think>, <thinking>, <thought>, <reasoning> (DeepSeek, Qwen and most others), [THINK] (Magistral), ◁think▷ (Kimi),
<seed:think> (Seed), <|START_THINKING|> (Command), <|begin_of_thought|> (Sky-T1) and the channels of gpt-oss. A closing tag alone
means that the chat template put the opening tag into the prompt. An opening tag alone means that the reasoning was cut off.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice, takewhile
from typing import NamedTuple

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?)"
TAG = re.compile(
    rf"(?P<open><\s{{0,2}}{_NAMES}\s{{0,2}}>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|begin_of_thought\|>)"
    rf"|<\s{{0,2}}/\s{{0,2}}{_NAMES}\s{{0,2}}>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|end_of_thought\|>",
    re.IGNORECASE,
)
_HINTS = ("think", "thought", "reason", "channel", "analysis", "final")  # every known form contains one
# Possible before the reasoning: white space, a byte order mark, tokens of the chat template.
_BEFORE = re.compile(r"(?:[\s\ufeff]|<s>|<\|im_start\|>(?:assistant\b)?|<\|start\|>(?:assistant\b)?|<\uff5c[^\uff5c\n]{1,30}\uff5c>)*")
_CHANNEL = re.compile(r"<\|channel\|>\s{0,2}(\w{1,20})[^<\n]{0,80}(?:<\|constrain\|>[^<\n]{0,40})?<\|message\|>")
_CHANNEL_END = re.compile(r"\s*(?:<\|(?:end|return|call)\|>\s*)?(?:<\|start\|>(?:assistant)?\s*)?\Z")
_END_READ = 100  # characters that are searched for the end of a channel
_BARE_CHANNEL = re.compile(r"analysis(?=[^\s\w]|[A-Z]|[^\x00-\x7f])")  # a channel without its special tokens
_BARE_FINAL = "assistantfinal"
_ANSWER = re.compile(
    r"(?:<(answer|output|response)>(.*)</\1>|<\|START_RESPONSE\|>(.*)<\|END_RESPONSE\|>"
    r"|<\|begin_of_solution\|>(.*)<\|end_of_solution\|>)\s*\Z",
    re.IGNORECASE | re.DOTALL,
)
_SENTENCE_END = ".!?。！？…\"'”’)）]}*`"
_QUOTES = "`\"'“”‘’「」『』*"
_PUNCTUATION = ".,;:!?)）。，；：！？、"
_ANNOUNCED = re.compile(  # words that introduce the mention of a tag; the reasoning does not end there
    r"(?:\b(?:tags?|tokens?|marks?|markers?|delimiters?)\b[^.\n]{0,20}[:：]\s*|标签[^。\n]{0,10}[:：]\s*"
    r"|\b(?:its|the|an?|this|that|their|of|with|by|closing|stray|tags?|tokens?)[ \t]+)\Z",
    re.IGNORECASE,
)
FENCE = "\n```"  # begins or ends a block of code
GAP = 80  # characters before a tag that are read
_BLOCK_END = re.compile(r"[ \t]*(?:\Z|(?:\r?\n[ \t]*){2,}|\r?\n\s*\Z)")
_LINE_END = re.compile(r"[ \t]*\r?\n")
_LINE = 200  # characters of the line before a tag that are read


class SplitReply(NamedTuple):
    """The two parts of a reply; either may be empty."""

    reasoning: str
    text: str


def split_thoughts(reply: str, *, reasoned: bool = False) -> SplitReply:
    """The reasoning and the text of a reply. Without reasoning, `text` is the reply, unchanged.

    With reasoning, both parts are stripped of white space. `reasoned`: the server has split off the reasoning at the beginning already.
    Linear in the reply's length.
    """
    thoughts, rest = _leading(reply)
    if thoughts is None and not reasoned:
        return SplitReply("", reply)
    between, text = _interleaved(rest)
    if thoughts is None and not between:
        return SplitReply("", reply)
    return SplitReply("\n".join(filter(None, (thoughts, *between))), _unwrapped(text.strip()))


def split_leading(reply: str) -> SplitReply:
    """As `split_thoughts`, for the reasoning before the text alone."""
    thoughts, rest = _leading(reply)
    return SplitReply("", reply) if thoughts is None else SplitReply(thoughts, _unwrapped(rest.strip()))


def _leading(reply: str) -> tuple[str | None, str]:
    """(the reasoning before the text, the rest). None: there is none, and the rest is the reply."""
    folded = reply.casefold()
    if not any(hint in folded for hint in _HINTS):
        return None, reply
    begin = _begin(reply, 0)
    if channels := _channels(reply, begin):
        return channels
    tags, thoughts = deque(TAG.finditer(reply)), list[str]()
    while tags:
        start = begin
        if tags[0]["open"] and tags[0].start() == begin:
            start, closing = tags[0].end(), _closing(tags)
        else:
            closing = _orphan(reply, tags, begin)
            if not closing:
                break
        thoughts.append(reply[start : closing.start() if closing else None].strip())
        begin = _begin(reply, closing.end()) if closing else len(reply)
        while tags and tags[0].start() < begin:
            tags.popleft()
    return ("\n".join(filter(None, thoughts)), reply[begin:]) if thoughts else (None, reply)


def opens_block(tag: re.Match[str], fences: int) -> bool:
    """Whether an opening tag begins a paragraph outside code. `fences`: the number of code fences before it."""
    text, start = tag.string, tag.start()
    before = text[max(0, start - GAP) : start].rstrip(" \t")
    blank = not before.strip() or before.endswith(("\n\n", "\n\r\n"))
    return blank and fences % 2 == 0 and not before.rstrip().endswith((":", "：")) and not _mentioned(tag)


class ClosingBlock(NamedTuple):
    """Where a block of reasoning ends: the positions of its closing tag, and of the text after it."""

    start: int
    end: int


def closing_block(tags: Iterable[re.Match[str]]) -> ClosingBlock | None:
    """The end of the block that the first tag opens: a closing tag that ends a paragraph or has a line of its own; None without one."""
    rest = iter(tags)
    family = _family(next(rest))
    for tag in rest:
        if not tag["open"] and _family(tag) == family and (end := _block_end(tag)):
            return ClosingBlock(tag.start(), end.end())
    return None


def _block_end(tag: re.Match[str]) -> re.Match[str] | None:
    """The white space after a closing tag that ends a block; None if the tag does not end one."""
    if end := _BLOCK_END.match(tag.string, tag.end()):
        return end
    before = tag.string[max(0, tag.start() - GAP) : tag.start()].rstrip(" \t")
    return _LINE_END.match(tag.string, tag.end()) if before.endswith("\n") else None


def _interleaved(text: str) -> tuple[list[str], str]:
    """(the reasoning between paragraphs, the text without it)."""
    thoughts, kept = list[str](), list[str]()
    at = counted = place = 0
    fences = int(text.startswith(FENCE[1:]))
    tags = list(TAG.finditer(text))
    while place < len(tags):
        tag, place = tags[place], place + 1
        if not tag["open"]:
            continue
        fences += text.count(FENCE, counted, tag.start())
        counted = tag.start()
        if not opens_block(tag, fences):
            continue
        kept.append(text[at : tag.start()])
        closing = closing_block(tags[number] for number in range(place - 1, len(tags)))
        while closing and tags[place - 1].start() != closing.start:
            place += 1
        thoughts.append(text[tag.end() : closing.start if closing else None].strip())
        if closing is None:  # the reasoning was cut off
            at = len(text)
            break
        at, counted = closing.end, closing.end - 1
    return thoughts, "".join([*kept, text[at:]])


def _begin(text: str, place: int) -> int:
    """The position after white space and tokens of the chat template at `place`."""
    match = _BEFORE.match(text, place)
    return match.end() if match else place


def _closing(tags: Sequence[re.Match[str]]) -> re.Match[str] | None:
    """The tag that closes the first tag, or None. A tag mentioned in a sentence counts only if there is no other."""
    mentioned = None
    for tag in islice(tags, 1, None):
        if not tag["open"] and _family(tag) == _family(tags[0]):
            if not _mentioned(tag):
                return tag
            mentioned = mentioned or tag
    return mentioned


def _orphan(text: str, tags: Sequence[re.Match[str]], begin: int) -> re.Match[str] | None:
    """The last closing tag before the first opening tag that ends reasoning, or None. A tag inside a code block does not count."""
    closings = [tag for tag in takewhile(lambda tag: not tag["open"], tags) if _ends_thoughts(tag)]
    return closings[-1] if closings and text.count("```", begin, closings[-1].start()) % 2 == 0 else None


def _mentioned(tag: re.Match[str]) -> bool:
    """Whether a sentence mentions the tag: it is in quotes, or the sentence continues on both sides."""
    before, behind = tag.string[max(0, tag.start() - 2) : tag.start()], tag.string[tag.end() : tag.end() + 2]
    if before and before[-1] in _QUOTES and behind and behind[0] in _QUOTES:
        return True
    spaced = before[-1:] in (" ", "\t") and (before[0].isalnum() or before[0] == ",")
    return spaced and (behind[:1] in tuple(_PUNCTUATION) or (behind[:1] == " " and behind[1:].islower()))


def _ends_thoughts(tag: re.Match[str]) -> bool:
    """Whether a closing tag without an opening tag ends the reasoning: no sentence continues across it."""
    before, behind = tag.string[max(0, tag.start() - _LINE) : tag.start()], tag.string[tag.end() : tag.end() + 2]
    if behind[:1] in tuple(_PUNCTUATION) or _mentioned(tag) or _ANNOUNCED.search(before):
        return False
    line = before.rpartition("\n")[2]
    if not line.strip() or not line[-1].isspace() or line.rstrip()[-1] in _SENTENCE_END:
        return True
    return not behind.strip(" ") or behind == "\n\n"


def _family(tag: re.Match[str]) -> str:
    """The family of a tag. Plain tags in angle brackets close each other, whatever their names; any other form closes only itself."""
    name = tag[0].casefold().replace("/", "")
    return "<>" if name[0] == "<" and name[1] != "|" else name.replace("end_", "start_", 1).replace("begin_", "start_", 1)


def _channels(text: str, begin: int) -> SplitReply | None:
    """The channels of gpt-oss: final channels are the text, all others are reasoning. None if there are no channels."""
    heads = list(_CHANNEL.finditer(text)) if text.startswith("<|channel|>", begin) else []
    if heads:
        ends = [head.start() for head in heads[1:]] + [len(text)]
        parts = [(head[1], _without_end(text[head.end() : end])) for head, end in zip(heads, ends, strict=True)]
        said = (["\n".join(part for name, part in parts if part and (name == "final") is final)] for final in (False, True))
        return SplitReply(*(part for (part,) in said))
    if _BARE_CHANNEL.match(text, begin) and _BARE_FINAL in text:
        thought, _, rest = text[begin + len("analysis") :].partition(_BARE_FINAL)
        return SplitReply(thought.strip(), rest.strip())
    return None


def _without_end(text: str) -> str:
    """The text of a channel without its end tokens."""
    text = text.strip()
    return text[:-_END_READ] + _CHANNEL_END.sub("", text[-_END_READ:], count=1)


def _unwrapped(text: str) -> str:
    """The text without the <answer> or similar tags that some models put around it after their reasoning."""
    if not text.startswith("<") or not (match := _ANSWER.match(text)):
        return text
    return next(part for part in match.groups()[1:] if part is not None).strip()
