"""The judge's prompt template, read from a file: the project's own, or the paper's official one. Placeholders decide which it is.

The project's template puts the answer between delimiters that the answer cannot know: their mark is a digest of prompt and answer. The
paper's template is filled exactly as the authors' code fills it. It has no such delimiters, so an answer can imitate them, and only the
reader of verdicts protects against that. Both are filled in one pass: a placeholder that occurs in a text is not filled.

A template of ours may have {{reference}}: the judge then writes an answer of its own first, and grades with it in the prompt.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tasks.judging.rubric import SCHEMA, SCORE
from tasks.prompts import located
from tasks.schema.errors import BadPrompt
from tasks.schema.records import PAPERS_NAMES

PAPERS_SCHEMA: dict[str, object] = {  # the analysis comes first, as in the prompt, so that the scores follow from it
    "type": "object",
    "properties": {"Analysis": {"type": "string"}, **dict.fromkeys(PAPERS_NAMES.values(), SCORE)},
    "required": ["Analysis", *PAPERS_NAMES.values()],
    "additionalProperties": False,
}


class _Kind(NamedTuple):
    placeholder: re.Pattern[str]
    shown: str  # format of a placeholder
    names: tuple[str, ...]  # needed
    schema: dict[str, object]
    optional: tuple[str, ...] = ()


_OURS = _Kind(re.compile(r"\{\{(\w+)\}\}"), "{{{{{}}}}}", ("prompt", "answer", "mark"), SCHEMA, ("reference",))
_PAPERS = _Kind(re.compile(r"\$(INST|RESPONSE)\$"), "${}$", ("INST", "RESPONSE"), PAPERS_SCHEMA)


class Template(NamedTuple):
    """A judge's prompt template, read and checked."""

    text: str
    kind: _Kind

    @property
    def official(self) -> bool:
        """Whether it is the paper's template."""
        return self.kind == _PAPERS

    @property
    def schema(self) -> dict[str, object]:
        """The JSON schema of the replies that the prompt requires."""
        return self.kind.schema

    @property
    def digest(self) -> str:
        """SHA-256 of its text, as hex: another prompt makes another judge."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def referenced(self) -> bool:
        """Whether the prompt shows an answer of the judge's own, its reference."""
        return not self.official and any(found[1] == "reference" for found in self.kind.placeholder.finditer(self.text))

    def fill(self, prompt: str, answer: str, reference: str = "") -> str:
        """Returns the prompt for one answer. Raises BadPrompt if it needs a reference and there is none."""
        if self.referenced and not reference:
            raise BadPrompt("judge.prompt: {{reference}}: not supported by this command; fix: use a prompt without it")
        if self.official:
            values = {"INST": prompt, "RESPONSE": answer}
        else:
            values = {"prompt": prompt, "answer": answer, "reference": reference, "mark": mark(prompt, answer, *filter(None, (reference,)))}
        return self.kind.placeholder.sub(lambda found: values[found[1]], self.text)


def mark(*texts: str) -> str:
    """Returns the mark of the delimiters around texts, 16 hex digits: a text cannot contain a digest of itself."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def read_template(path: Path) -> Template:
    """Reads a judge's prompt template. Raises BadPrompt with the file and the placeholder that is unknown or missing."""
    try:
        text = located(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise BadPrompt(f"{path}: no such file; `longwriter eval official` fetches the paper's; ours is tasks/prompts/judge.txt") from None
    except UnicodeDecodeError as error:
        raise BadPrompt(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    kind = _kind(path, text)
    lines = {found[1]: text.count("\n", 0, found.start()) + 1 for found in kind.placeholder.finditer(text)}
    for name in sorted(lines.keys() - {*kind.names, *kind.optional}):
        problem = f"{kind.shown.format(name)}: unknown placeholder; known are {_listed(kind, (*kind.names, *kind.optional))}"
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
