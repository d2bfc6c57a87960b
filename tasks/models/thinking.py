"""The tags that a chat template puts around thoughts. They are found by rendering a conversation with thoughts, never by a model's name.

A template has a thinking form if it renders the thoughts of a turn (`reasoning_content`, or a content part of the type thinking) before
the answer, if its generation prompt opens thoughts, or if it removes thoughts that are in the answer. Only tags that the reader of thoughts
(tasks/text/thoughts.py) finds between two paragraphs are of use to a trace: the channels of gpt-oss and Gemma are not.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tasks.models.chat_templates import TINY
from tasks.models.rendering import RenderedText, RenderRequest, Result, render
from tasks.schema.records import Message
from tasks.text.thoughts import TAG
from tasks.text.traces import OURS, Tags

ASK, THOUGHTS, ANSWER = "Write about bread.", "First the clay ovens, then the village.", "Bread was baked in clay ovens."
_TURNS = (Message(role="user", content=ASK), Message(role="assistant", content=ANSWER))
_INSIDE = (_TURNS[0], Message(role="assistant", content=f"{OURS.open}\n{THOUGHTS}\n{OURS.close}\n\n{ANSWER}"))


class ThinkingForm(NamedTuple):
    """How a chat template treats thoughts. `tags`: what it puts around them; None: the reader could not find it between paragraphs."""

    exists: bool
    tags: Tags | None = None


def thinking_form(template: str, tokens: Mapping[str, str]) -> ThinkingForm:
    """The thinking form of a chat template. `tokens` are its variables, such as bos_token. A child process renders it."""
    if template == TINY:
        return ThinkingForm(exists=False)
    return found_in(render(requests_of(template), tokens))


def requests_of(template: str) -> list[RenderRequest]:
    """The renderings that show a template's thinking form."""
    return [
        RenderRequest(template, _TURNS, reasoning=THOUGHTS),
        RenderRequest(template, _TURNS, reasoning=THOUGHTS, parts=True),
        RenderRequest(template, _TURNS[:1], prompt=True),
        RenderRequest(template, _INSIDE),
    ]


def found_in(results: Sequence[Result]) -> ThinkingForm:
    """How the template treats thoughts, from what it rendered for the requests of `requests_of`, in their order."""
    field, parts, prompt, inside = (result.text if isinstance(result, RenderedText) else "" for result in results)
    for text in (field, parts):
        if THOUGHTS in text and ANSWER in text.partition(THOUGHTS)[2] and (tags := _around(text)):
            return ThinkingForm(exists=True, tags=tags)
    opened = [tag for tag in TAG.finditer(prompt, prompt.rfind(ASK) + len(ASK)) if tag["open"]]
    if opened and not prompt[opened[-1].end() :].strip():
        return ThinkingForm(exists=True, tags=Tags(opened[-1][0], _closing(opened[-1][0])))
    if ANSWER in inside and THOUGHTS not in inside:
        return ThinkingForm(exists=True, tags=OURS)
    return ThinkingForm(exists=THOUGHTS in field and ANSWER in field.partition(THOUGHTS)[2])


def _around(text: str) -> Tags | None:
    """The tags next to the thoughts in a rendered conversation, if the reader of thoughts knows them."""
    before, _, behind = text.partition(THOUGHTS)
    opening = [tag for tag in TAG.finditer(before, before.rfind(ASK) + len(ASK)) if tag["open"]]
    closing = TAG.match(behind.lstrip())
    if not opening or before[opening[-1].end() :].strip() or closing is None or closing["open"]:
        return None
    return Tags(opening[-1][0], closing[0])


def _closing(opening: str) -> str:
    """The closing tag of an opening one."""
    if "START_" in opening:
        return opening.replace("START_", "END_")
    return opening.replace("begin_", "end_") if "begin_" in opening else f"{opening[0]}/{opening[1:]}"
