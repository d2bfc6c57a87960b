"""Find the chat template to train a model with, and examine it.

A training form is a chat template with {% generation %} marks. It renders the same text as the published template, and its marks
enclose each answer and the token that ends it. Published templates rarely have marks. A wrong mark shows only after training, as a
model that never stops. So a template is examined by rendering a few conversations (tasks/models/rendering.py) before any money is spent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from tasks.checkpoints import special_tokens, templates
from tasks.models.rendering import RenderedText, RenderingFailed, RenderRequest, Result, render
from tasks.schema.errors import BadInput
from tasks.schema.records import Message, Record

FORMS = Path(__file__).with_name("templates")
OWN, TRL = "its own", "TRL's "
MARK, MARKED = re.compile(r"\{%([-+]?)\s*generation\s*([-+]?)%\}"), re.compile(r"\{%([-+]?)\s*endgeneration\s*([-+]?)%\}")
HOW = "name a .jinja file with {% generation %} marks in base.chat_template (docs/training.md, Chat templates)"

# The tiny student's template. A turn is its role's token and its text. Only the assistant's turns end with the end token. The end token
# is a target, so the model learns to stop.
TINY = (
    "{% for message in messages %}{% if message.role == 'assistant' %}<|assistant|>{% generation %}{{ message.content }}<|end|>"
    "{% endgeneration %}{% else %}<|user|>{{ message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


class TemplateTokens(NamedTuple):
    """The special tokens that examining a template needs."""

    tokens: Mapping[str, str]  # the template's variables: bos_token and so on
    stops: frozenset[str]  # tokens at which generation stops


class Examination(Record):
    """The result of rendering a few conversations with a template."""

    problem: str | None  # why no model can be trained with the template; None: no problem
    system: Literal["rendered", "refused", "dropped"]  # how the template treats a system turn
    end: str  # the token that ends an answer
    note: str = ""  # a peculiarity that is no reason to refuse the template


class Form(NamedTuple):
    """The template that a model is trained with."""

    name: str  # the shipped form's name, TRL's form, the file's path, or OWN
    template: str
    examined: Examination
    as_published: bool  # renders the same text as the base's own template, except for the end of the last answer


def _chat(*contents: str, system: str = "") -> tuple[Message, ...]:
    turns = [Message(role="user" if number % 2 == 0 else "assistant", content=text) for number, text in enumerate(contents)]
    return (*([Message(role="system", content=system)] if system else []), *turns)


PLAIN = _chat("Write about bread.", "Bread was baked\n\nin clay ovens.")
SYSTEM = _chat("Write about ferries.", "Ferries cross\nthe bay.", system="You answer like an old sailor.")
LONG = _chat("First question?", "First answer.", "第二个问题？", "第二个回答。", "Third question?", "Third answer.")
SPACES = _chat("  padded  \n", "  An answer between spaces.\n\n", "{{ braces }} and {% tags %}", "Some <b>markup</b> & quotes \"'.")
BOTH = _chat("One?", "Eins.", "Two?", "Zwei.", system="  Speak German.\n")
PROBES = (PLAIN, SYSTEM, LONG, SPACES, BOTH)


def shipped() -> dict[str, str]:
    """The training forms that the project ships, as {name: template}."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(FORMS.glob("*.jinja"))}


def examine(template: str, vocabulary: TemplateTokens) -> Examination:
    """Check whether a model can be trained with this template. A child process with time and memory limits renders it.

    >>> examine("{% for m in messages %}{{ m.content }}{% endfor %}", Vocabulary({}, frozenset({"</s>"}))).problem
    "it does not mark the assistant's tokens: {% generation %} is nowhere in it"
    """
    return judged(template, render(_asks(template), vocabulary.tokens), vocabulary.stops)


def training_form(published: str | None, vocabulary: TemplateTokens, *, source: str, named: Path | None = None) -> Form:
    """The template to train with: the file `named`; else the published template, if it passes; else a form that renders the same text.

    `source` is the model's name in messages. Raises BadInput if there is no such template, or if the template is not safe to render.
    """
    if named is not None:
        return _named(named, published, vocabulary)
    if not published:
        raise BadInput(source, "its tokenizer has no chat template", fix=f"use the tokenizer of the chat model, or {HOW}")
    looks = look([published, *shipped().values(), *known_by_trl(published).values()], vocabulary.tokens)
    return choose(published, looks, vocabulary.stops, source=source)


def choose(published: str, looks: Mapping[str, Sequence[Result]], stops: frozenset[str], *, source: str) -> Form:
    """The training form among the rendered templates `looks` ({template: results}). Raises BadInput as `training_form` does.

    TRL's form is found by the published template's text. Some of TRL's forms render earlier answers of a conversation differently,
    because the published template removes their thoughts. Such a form is the last choice, and the note says so.
    """
    if (fault := _unfit(looks[published])) is not None:
        raise BadInput(source, f"its chat template is refused: {fault}", fix=f"download the model again, or {HOW}")
    candidates = {OWN: published, **shipped(), **known_by_trl(published)}
    found = {name: judged(template, looks[template], stops) for name, template in candidates.items()}
    for count in (len(PROBES), 1):
        for name, template in candidates.items():
            whole = count == len(PROBES)
            if found[name].problem is None and (whole or name.startswith(TRL)) and _same(looks[template], looks[published], stops, count):
                note = found[name].note if whole else "it renders several turns in another way than the published template"
                return Form(name, template, found[name].model_copy(update={"note": note}), as_published=True)
    raise BadInput(source, f"its chat template cannot be trained with: {found[OWN].problem}", fix=HOW)


def check_safe(template: str, tokens: Mapping[str, str], *, source: str) -> None:
    """Raises BadInput if a template loops, fills the memory or reads Python's attributes. For models that are served, not trained."""
    if template == TINY or template in shipped().values():
        return
    if (
        fault := _unfit(
            render([RenderRequest(template, probe) for probe in PROBES] + [RenderRequest(template, PLAIN[:1], prompt=True)], tokens)
        )
    ) is not None:
        raise BadInput(
            source,
            f"its chat template is refused: {fault}",
            fix="download the model again, or replace its chat template",
        )


def check_folder(folder: Path) -> None:
    """Apply `check_safe` to every chat template in a model's folder. Call it before loading anything from the folder."""
    for path, template in templates(folder):
        check_safe(template, special_tokens(folder), source=str(path))


def _named(path: Path, published: str | None, vocabulary: TemplateTokens) -> Form:
    try:
        template = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not UTF-8"
        fix = "set base.chat_template to a readable .jinja file, or to null to choose one automatically"
        raise BadInput(path, str(problem), field="base.chat_template", fix=fix) from None
    looks = look([template, *([published] if published else [])], vocabulary.tokens)
    found = judged(template, looks[template], vocabulary.stops)
    if found.problem:
        raise BadInput(path, found.problem, field="base.chat_template", fix="correct its marks (docs/training.md, Chat templates)")
    same = published is not None and _same(looks[template], looks[published], vocabulary.stops)
    return Form(str(path), template, found, as_published=same)


@cache
def _trl_forms() -> tuple[tuple[str, str, str], ...]:
    """(name, published template, training form) of each template for which the installed TRL has a training form."""
    from importlib.util import find_spec

    spec = find_spec("trl")
    folder = Path(str(spec.origin)).with_name("chat_templates") if spec else Path()
    pairs = [(path, path.with_name(path.name.replace("_training", ""))) for path in sorted(folder.glob("*_training.jinja"))]
    return tuple(
        (f"{TRL}{path.stem}", published.read_text(encoding="utf-8"), path.read_text(encoding="utf-8"))
        for path, published in pairs
        if published.is_file()
    )


def known_by_trl(published: str) -> dict[str, str]:
    """TRL's training forms of this published template, as {name: form}; empty if TRL has none."""
    return {name: form for name, text, form in _trl_forms() if text == published}


def _asks(template: str) -> list[RenderRequest]:
    """Rendering requests: PROBES, PROBES without the marks, and the generation prompt of PLAIN."""
    bare = MARKED.sub(r"{%\1 endif \2%}", MARK.sub(r"{%\1 if true \2%}", template))
    return [
        *(RenderRequest(template, probe) for probe in PROBES),
        *(RenderRequest(bare, probe) for probe in PROBES),
        RenderRequest(template, PLAIN[:1], prompt=True),
    ]


def look(templates: Sequence[str], tokens: Mapping[str, str]) -> dict[str, list[Result]]:
    """{template: results of `_asks`}. One child process renders all templates."""
    unlike = list(dict.fromkeys(templates))
    asks = [_asks(template) for template in unlike]
    results = iter(render([ask for each in asks for ask in each], tokens))
    return {template: [next(results) for _ in each] for template, each in zip(unlike, asks, strict=True)}


def _unfit(results: Sequence[Result]) -> str | None:
    """Why the template is unsafe, or why it cannot render the simplest conversation; None if neither."""
    bad = next((one for one in results if isinstance(one, RenderingFailed) and one.kind in ("unsafe", "endless")), None)
    if bad is not None:
        return bad.detail
    plain = results[0]
    return f"it renders no conversation ({plain.detail})" if isinstance(plain, RenderingFailed) else None


def _same(form: Sequence[Result], published: Sequence[Result], stops: frozenset[str], count: int = len(PROBES)) -> bool:
    """Whether a form renders the first `count` probes and the generation prompt as the published template does.

    A form may add an end token after the last answer.
    """
    pairs = [*zip(form[:count], published[:count], strict=True), (form[-1], published[-1])]
    return all(_alike(one, other, stops) for one, other in pairs)


def _alike(one: Result, other: Result, stops: frozenset[str]) -> bool:
    if isinstance(one, RenderingFailed) or isinstance(other, RenderingFailed):
        return one.kind == other.kind
    return one.text == other.text or one.text in {other.text + stop for stop in stops}


def judged(template: str, results: Sequence[Result], stops: frozenset[str]) -> Examination:
    """The examination's result, from the results of `look`."""
    marked, bare, prompt = results[: len(PROBES)], results[len(PROBES) : -1], results[-1]
    at = {probe: (one, other) for probe, one, other in zip(PROBES, marked, bare, strict=True)}
    system = _system(at[SYSTEM][0])
    if not MARK.search(template):
        return Examination(
            problem=_unfit(results) or "it does not mark the assistant's tokens: {% generation %} is nowhere in it", system=system, end=""
        )
    tried = [PLAIN, LONG, SPACES, *([SYSTEM, BOTH] if system == "rendered" else [])]
    problem, end = _unfit(results), ""
    for probe in tried if problem is None else []:
        one, other = at[probe]
        if isinstance(one, RenderingFailed):
            problem = f"it does not render a conversation of {len(probe)} turns ({one.detail})"
        elif isinstance(other, RenderingFailed) or one.text != other.text:
            problem = "it renders another text with its marks than without them"
        else:
            problem, end = _turns(one, probe, stops)
        if problem is not None:
            break
    return Examination(problem=problem, system=system, end=end, note="" if problem else _note(at[PLAIN][0], prompt))


def _system(result: Result) -> Literal["rendered", "refused", "dropped"]:
    if isinstance(result, RenderingFailed):
        return "refused"
    return "rendered" if SYSTEM[0].content in result.text else "dropped"


def _turns(rendered: RenderedText, probe: Sequence[Message], stops: frozenset[str]) -> tuple[str | None, str]:
    """(problem of the marks in one conversation or None, the token that ends its answers)."""
    end, at, spans = "", 0, list(_spans(rendered))
    for number, message in enumerate(probe, 1):
        said = message.content.strip()
        start = rendered.text.find(said, at)
        if start < 0:
            if message.role == "assistant":
                return f"it leaves out or changes the answer in turn {number}", ""
            continue
        at = start + len(said)
        covering = [span for span in spans if span[0] < at and span[1] > start]
        if message.role != "assistant" and covering:
            return f"its marks hold the {message.role}'s text in turn {number}, which is no answer", ""
        if message.role == "assistant":
            if not any(span[0] <= start and at <= span[1] for span in covering):
                return f"its marks leave out the answer in turn {number}: it would have no targets", ""
            last = max(span[1] for span in covering)
            ended = next((stop for stop in sorted(stops, key=len, reverse=True) if rendered.text[at:last].endswith(stop)), None)
            if ended is None:
                return _unended(rendered.text[at:last], rendered.text[last:], stops), ""
            end, at = ended, last
    return None, end


def _spans(rendered: RenderedText) -> Iterator[tuple[int, int]]:
    """The marked spans, without white space at their end (it is no target after an end of turn). Touching spans are joined."""
    begun: tuple[int, int] | None = None
    for start, end in sorted(rendered.marks):
        end = start + len(rendered.text[start:end].rstrip())
        if end == start:
            continue
        if begun and start <= begun[1]:
            begun = (begun[0], max(end, begun[1]))
            continue
        if begun:
            yield begun
        begun = (start, end)
    if begun:
        yield begun


def _unended(inside: str, behind: str, stops: frozenset[str]) -> str:
    known = " or ".join(sorted(stops)) or "no token that is known"
    if outside := next((stop for stop in stops if behind.lstrip().startswith(stop)), None):
        return f"its marks leave out {outside}, which ends an answer: the model would never learn to stop"
    shown = f"an answer ends with {inside.strip()[-40:]!r}" if inside.strip() else "nothing ends an answer"
    return f"{shown}, and generation stops at {known}: the model would never stop"


def _note(plain: Result, prompt: Result) -> str:
    """A note if an answer begins at another place in training than in generation; "" if the places agree."""
    if isinstance(plain, RenderingFailed) or isinstance(prompt, RenderingFailed) or not plain.marks:
        return "it does not begin an answer by itself (add_generation_prompt)"
    start = min(span[0] for span in plain.marks)
    if plain.text[:start] == prompt.text:
        return ""
    if plain.text.startswith(prompt.text) and start < len(prompt.text) and not plain.text[start : len(prompt.text)].strip():
        return ""  # white space at the beginning of an answer
    return "in training an answer begins at another place than when the model is asked"
