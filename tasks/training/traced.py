"""Render a conversation that ends with a trace, and choose the tags of its thoughts.

Chat templates change thoughts: Qwen3's keeps what follows the last </think>, others remove or rewrite what is in an answer. So the template
never sees the trace. It renders the conversation with a mark in the place of the answer, and the generation prompt; the trace follows what
the model is given when it is asked. An opening tag in the generation prompt is not written twice, and empty thoughts that a template puts
before an answer are left out.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tasks.models.thinking import ThinkingForm, thinking_form
from tasks.schema.errors import PipelineError
from tasks.schema.records import Message
from tasks.text.thoughts import TAG
from tasks.text.traces import SPARE, Tags

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "\ue000trace\ue001"  # in the place of the answer
_TAIL = 200  # characters at the end of a prompt in which tags are looked for

Span = tuple[int, int]


class Rendered(NamedTuple):
    """A rendered conversation."""

    text: str
    generated: list[Span]  # of characters


class Unrenderable(PipelineError):
    """The chat template refuses a conversation, or leaves out a turn. The pack stage turns this error into a Reject."""

    exit_code = 2


class Traced(NamedTuple):
    """A conversation of which the last turn, the assistant's, is trained on as a trace. The trace has the tags of tasks/text/traces.py."""

    messages: Sequence[Message]
    trace: str


def conversation_of(messages: Sequence[Message], trace: str | None) -> Sequence[Message] | Traced:
    """What is trained on of a sample: its conversation, with its trace if it has one."""
    return Traced(messages, trace) if trace else messages


class TracePlace(NamedTuple):
    """Where a trace goes: `before` and `after` are what the template renders around it. Spans are of characters."""

    before: str
    generated: list[Span]  # targets in `before`
    space: str  # white space between `before` and the trace
    opened: int  # characters of the trace that `before` has already
    after: str
    end: int  # characters of `after` that are targets

    def rendered(self, trace: str) -> Rendered:
        """The conversation with the trace, all of which is a target, as is the token that ends it."""
        said = f"{self.space}{trace[self.opened :]}"
        start = len(self.before)
        return Rendered(f"{self.before}{said}{self.after}", [*self.generated, (start, start + len(said) + self.end)])


def place_of(messages: Sequence[Message], render: Callable[..., Rendered], tags: Tags) -> TracePlace:
    """The place of the trace in a conversation. `render(messages, prompt=…)` applies the training form.

    Raises Unrenderable if the conversation does not end with the assistant's turn, or if the template begins an answer in another way
    than it asks for one.
    """
    if not messages or messages[-1].role != "assistant":
        raise Unrenderable("the trace is of no answer: the last turn is not the assistant's")
    whole = render([*messages[:-1], Message(role="assistant", content=MARK)])
    if MARK not in whole.text:
        raise Unrenderable("the chat template leaves out a turn")
    before, _, after = whole.text.partition(MARK)
    span = next((span for span in whole.generated if span[0] <= len(before) < span[1]), None)
    if span is None:
        raise Unrenderable("the chat template marks no targets in the answer")
    end = span[1] - len(before) - len(MARK)
    prompt = render(messages[:-1], prompt=True).text
    bare = _without_tags(prompt)
    if _without_tags(before) == bare:
        earlier = [one for one in whole.generated if one[1] <= len(bare)]
        between, opened = before[len(prompt) :] if before.startswith(prompt) else "", _opened(prompt, tags)
        space = between[: len(between) - len(between.lstrip())] if between.strip() and not opened else ""
        return TracePlace(prompt, earlier, space, opened, after, end)
    if before.startswith(prompt):  # such as the name of a channel, which the model writes itself
        earlier = [one for one in whole.generated if one[1] <= len(before)]
        return TracePlace(before, [*earlier, (span[0], len(before))], "", _opened(before, tags), after, end)
    raise Unrenderable("the chat template begins an answer in another way than it asks for one")


def _without_tags(text: str) -> str:
    """A prompt without tags of thoughts and white space at its end."""
    start = max(0, len(text) - _TAIL)
    end = len(text.rstrip())
    for tag in reversed(list(TAG.finditer(text, start))):
        if tag.end() != end:
            break
        end = len(text[: tag.start()].rstrip())
    return text[:end]


def _opened(prompt: str, tags: Tags) -> int:
    """How many characters of a trace's beginning, the opening tag and a line break, the prompt has at its end."""
    head = f"{tags.open}\n"
    return next((len(part) for part in (head, tags.open) if prompt.endswith(part)), 0)


class ChosenTags(NamedTuple):
    """The tags that a base is trained with, and a line that says why, if they are not the tags of its own template."""

    tags: Tags
    note: str = ""


def tags_for(tokenizer: "PreTrainedTokenizerBase", template: str, *, model: str) -> ChosenTags:
    """The tags for a base with this published chat template. `model`: its name in the note. A child process renders the template."""
    tokens = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return choose_tags(tokenizer, thinking_form(template, tokens), model=model)


def choose_tags(tokenizer: "PreTrainedTokenizerBase", form: ThinkingForm, *, model: str) -> ChosenTags:
    """The tags for a base with this thinking form: its own; else the first of ours that its tokenizer gives back.

    A tag that is a special token is of no use: servers leave special tokens out of an answer.
    """
    if form.tags and _comes_back(tokenizer, form.tags):
        return ChosenTags(form.tags)
    ours = next((tags for tags in SPARE if _comes_back(tokenizer, tags)), SPARE[0])
    return ChosenTags(ours, f"{model}: {_why(form)}; its thoughts are trained in {ours.open} and {ours.close}")


def _why(form: ThinkingForm) -> str:
    if not form.exists:
        return "its chat template has no thinking form"
    if form.tags is None:
        return "the thinking form of its chat template cannot be told from text between paragraphs"
    return f"servers leave the special tokens {form.tags.open} and {form.tags.close} of its chat template out of an answer"


def _comes_back(tokenizer: "PreTrainedTokenizerBase", tags: Tags) -> bool:
    """Whether tags are still in the text that a server makes of their tokens."""
    ids = tokenizer(f"{tags.open}\na\n{tags.close}", add_special_tokens=False)["input_ids"]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return tags.open in text and tags.close in text
