"""The judge's prompt, from a file: the project's own, or the paper's official one, told apart by their placeholders.

Ours quotes the answer between delimiters that it cannot know: their mark is a digest of request and answer. The paper's is filled
as its authors' code fills it, to the byte, and has no such delimiters: an answer can close them, and only the reader of the
verdicts stands in its way. Both are filled in one pass, so that what looks like a placeholder in a text is that text's.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tasks.judging.grades import DIMENSIONS
from tasks.judging.rubric import SCHEMA, SCORE
from tasks.prompts import located
from tasks.schema.errors import BadPrompt

PAPERS_NAMES = {name: name.replace("_", " ").title().replace(" And ", " and ") for name in DIMENSIONS}
PAPERS_SCHEMA: dict[str, Any] = {  # the analysis comes first, as the prompt has it: the scores are to follow from it
    "type": "object",
    "properties": {"Analysis": {"type": "string"}, **dict.fromkeys(PAPERS_NAMES.values(), SCORE)},
    "required": ["Analysis", *PAPERS_NAMES.values()],
    "additionalProperties": False,
}


class _Kind(NamedTuple):
    placeholder: re.Pattern[str]
    shown: str  # how a placeholder is written
    names: tuple[str, ...]
    schema: dict[str, Any]


_OURS = _Kind(re.compile(r"\{\{(\w+)\}\}"), "{{{{{}}}}}", ("prompt", "answer", "mark"), SCHEMA)
_PAPERS = _Kind(re.compile(r"\$(INST|RESPONSE)\$"), "${}$", ("INST", "RESPONSE"), PAPERS_SCHEMA)


class Template(NamedTuple):
    """A judge's prompt, read and checked."""

    text: str
    kind: _Kind

    @property
    def official(self) -> bool:
        """Is it the paper's?"""
        return self.kind == _PAPERS

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the replies that it asks for."""
        return self.kind.schema

    @property
    def digest(self) -> str:
        """SHA-256 of its text: another prompt is another judge."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def fill(self, prompt: str, answer: str) -> str:
        """The prompt about one answer."""
        if self.official:
            values = {"INST": prompt, "RESPONSE": answer}
        else:
            values = {"prompt": prompt, "answer": answer, "mark": mark(prompt, answer)}
        return self.kind.placeholder.sub(lambda found: values[found[1]], self.text)


def mark(*texts: str) -> str:
    """What the delimiters around texts are marked with: a text cannot contain a digest of itself."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def read_template(path: Path) -> Template:
    """A judge's prompt from its file. Raises BadPrompt that names the file and the placeholder that is unknown or missing."""
    try:
        text = located(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise BadPrompt(f"{path}: no such file; `longwriter eval official` fetches the paper's, tasks/prompts/judge.txt is ours") from None
    except UnicodeDecodeError as error:
        raise BadPrompt(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    kind = _kind(path, text)
    lines = {found[1]: text.count("\n", 0, found.start()) + 1 for found in kind.placeholder.finditer(text)}
    for name in sorted(lines.keys() - set(kind.names)):
        problem = f"{kind.shown.format(name)}: unknown placeholder; known are {_listed(kind, kind.names)}"
        raise BadPrompt(f"{path}:{lines[name]}: {problem}")
    for name in kind.names:
        if name not in lines:
            raise BadPrompt(f"{path}: {kind.shown.format(name)}: missing placeholder; the prompt must say where it goes")
    return Template(text if kind is _PAPERS else text.strip(), kind)


def _kind(path: Path, text: str) -> _Kind:
    ours, papers = ({found[1] for found in kind.placeholder.finditer(text)} & set(kind.names) for kind in (_OURS, _PAPERS))
    if not ours and not papers:
        raise BadPrompt(f"{path}: no placeholder; ours are {_listed(_OURS, _OURS.names)}, the paper's {_listed(_PAPERS, _PAPERS.names)}")
    if ours and papers:
        raise BadPrompt(f"{path}: {_listed(_OURS, sorted(ours))} are ours, {_listed(_PAPERS, sorted(papers))} the paper's; use one kind")
    return _OURS if ours else _PAPERS


def _listed(kind: _Kind, names: Iterable[str]) -> str:
    return ", ".join(map(kind.shown.format, names))
