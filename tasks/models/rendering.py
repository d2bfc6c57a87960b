"""Render chat templates in a child process with limits on time and memory, because a template is untrusted code.

The sandbox of transformers stops a template from reading Python's inner attributes, but not from looping or filling the memory. The
child process gets a minimal environment; each conversation may take TIME seconds of CPU, and a template cannot extend that limit.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from tasks.schema.records import Message, Record

TIME = 2.0  # seconds of CPU for one conversation
START = 60.0  # seconds that the child's imports may take on a busy machine
MEMORY = 2**30  # bytes that rendering may take beyond the child's size at its start
TEXT = 2**20  # characters of a template, and of one rendered conversation
INNER = re.compile(r"__\w+__")


class RenderRequest(NamedTuple):
    """A conversation to render with a template. `prompt` adds the generation prompt (the beginning of the next answer).

    `reasoning`: thoughts of the last turn, in its field reasoning_content; with `parts`, as a part of its content.
    """

    template: str
    messages: Sequence[Message]
    prompt: bool = False
    reasoning: str = ""
    parts: bool = False


class RenderedText(Record):
    """A rendered conversation, and its spans (start, end, in characters) that the template marks as generated."""

    kind: Literal["text"] = "text"
    text: str
    marks: tuple[tuple[int, int], ...]


class RenderingFailed(Record):
    """Why a template rendered nothing.

    `unsafe` and `endless` templates must not be rendered anywhere; `refused`: the template itself raised an error; `broken`: any other.
    """

    kind: Literal["unsafe", "endless", "refused", "broken"]
    detail: str


Result = RenderedText | RenderingFailed
RESULT: TypeAdapter[Result] = TypeAdapter(Result)


def render(asks: Sequence[RenderRequest], tokens: Mapping[str, str]) -> list[Result]:
    """The result of each conversation, in order. `tokens` are the template's variables, such as bos_token."""
    found = {template: unsafe(template) for template in {ask.template for ask in asks}}
    safe = [ask for ask in asks if found[ask.template] is None]
    results = iter(_by_child(safe, tokens) if safe else [])
    return [found[ask.template] or next(results) for ask in asks]


def unsafe(template: str) -> RenderingFailed | None:
    """A failure that is visible without rendering: too long, not valid Jinja, or a name of an inner Python attribute; else None.

    Every branch is searched, also those that no trial conversation reaches.
    """
    from jinja2 import TemplateSyntaxError, nodes
    from transformers.utils.chat_template_utils import _compile_jinja_template

    if len(template) > TEXT:
        return RenderingFailed(kind="unsafe", detail=f"it has {len(template):,} characters")
    try:
        tree = _compile_jinja_template("").environment.parse(template)
    except TemplateSyntaxError as error:
        return RenderingFailed(kind="broken", detail=f"line {error.lineno}: {error.message}")
    except RecursionError:
        return RenderingFailed(kind="unsafe", detail="its blocks are nested without end")
    names = [node.attr for node in tree.find_all(nodes.Getattr) if node.attr.startswith("_")]
    names += [found.group() for node in tree.find_all(nodes.Const) if isinstance(node.value, str) for found in INNER.finditer(node.value)]
    return RenderingFailed(kind="unsafe", detail=f"it reaches for the attribute {names[0]}") if names else None


def _by_child(asks: Sequence[RenderRequest], tokens: Mapping[str, str]) -> list[Result]:
    given = [[ask.template, _turns(ask), ask.prompt] for ask in asks]
    root = str(Path(__file__).parents[2])
    bare = {"PATH": os.defpath, "PYTHONPATH": root, "HF_HUB_OFFLINE": "1", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
    found = {ask.template for ask in asks}
    command = [sys.executable, "-m", "tasks.models.rendering"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=bare, cwd="/")
    try:
        said, _ = child.communicate(json.dumps([given, dict(tokens)]).encode(), timeout=START + 4 * TIME * len(found) + len(asks))
    except subprocess.TimeoutExpired:
        said = b""
    finally:
        child.kill()
        child.wait()
    results = list(_read(said))[: len(asks)]
    lost = RenderingFailed(kind="endless", detail="the process that renders it was stopped")
    return results + [lost] * (len(asks) - len(results))


def _turns(ask: RenderRequest) -> list[dict[str, object]]:
    """The messages as a template gets them."""
    turns: list[dict[str, object]] = [message.model_dump() for message in ask.messages]
    if ask.reasoning and ask.parts:
        said = [{"type": "thinking", "thinking": ask.reasoning}, {"type": "text", "text": turns[-1]["content"]}]
        return [*turns[:-1], {**turns[-1], "content": said}]
    return [*turns[:-1], {**turns[-1], "reasoning_content": ask.reasoning}] if ask.reasoning else turns


def _read(said: bytes) -> Iterator[Result]:
    for line in said.splitlines():
        try:
            yield RESULT.validate_json(line)
        except ValidationError:
            return


def _child() -> None:
    """The child process: reads conversations and tokens as JSON from stdin, writes one line of JSON per result to stdout."""
    import transformers.utils.chat_template_utils  # noqa: F401  before the limits: the import is large

    given, tokens = json.loads(sys.stdin.buffer.read())
    _limit(conversations=len(given), templates=len({template for template, *_ in given}))
    endless = dict[str, Result]()
    for template, messages, prompt in given:
        result = endless.get(template) or _one(template, messages, prompt, tokens)
        if result.kind == "endless":
            endless[template] = result
        sys.stdout.write(result.model_dump_json() + "\n")
        sys.stdout.flush()


def _limit(*, conversations: int, templates: int) -> None:
    """Limit the whole process: its memory, and the CPU time of code that the timer cannot interrupt."""
    import resource

    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if sys.platform == "linux" else 8 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    allowed = used + int(TIME * templates) + conversations + 10
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, allowed))


class _Endless(BaseException):
    """Raised by the timer. A BaseException, so that no `except Exception` in a filter catches it."""


def _one(template: str, messages: list[dict[str, str]], prompt: bool, tokens: dict[str, str]) -> Result:
    from jinja2 import TemplateError
    from jinja2.exceptions import SecurityError, TemplateRuntimeError, TemplateSyntaxError, UndefinedError
    from transformers.utils.chat_template_utils import render_jinja_template

    def stop(*_: object) -> None:
        raise _Endless

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, TIME)
    try:
        texts, marks = render_jinja_template(
            [messages], chat_template=template, return_assistant_tokens_mask=True, add_generation_prompt=prompt, **tokens
        )
        if len(texts[0]) > TEXT:
            return RenderingFailed(kind="unsafe", detail=f"it makes {len(texts[0]):,} characters of a short conversation")
        return RenderedText(text=texts[0], marks=tuple(marks[0]))
    except _Endless:
        return RenderingFailed(kind="endless", detail=f"a short conversation takes more than {TIME:g} s")
    except (MemoryError, RecursionError) as error:
        return RenderingFailed(kind="unsafe", detail=f"a short conversation ends in {type(error).__name__}")
    except SecurityError as error:
        return RenderingFailed(kind="unsafe", detail=_line(error))
    except (UndefinedError, TemplateSyntaxError, TemplateRuntimeError) as error:
        return RenderingFailed(kind="broken", detail=_line(error))
    except TemplateError as error:
        return RenderingFailed(kind="refused", detail=_line(error))
    except OverflowError as error:  # the sandbox's own limit on range()
        return RenderingFailed(kind="endless", detail=_line(error))
    except Exception as error:  # noqa: BLE001  a template may raise anything
        return RenderingFailed(kind="broken", detail=f"{type(error).__name__}: {_line(error)}")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


if __name__ == "__main__":
    _child()
