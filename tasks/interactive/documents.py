"""Save a text as Markdown, DOCX (python-docx) or EPUB (mkepub). The text itself is Markdown, read by markdown-it.

EbookLib is not used for EPUB: its licence is AGPL.
"""

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tasks import store
from tasks.schema.errors import BadInput

SUFFIXES = (".md", ".docx", ".epub")
TITLE = 80  # characters of a prompt that make a title
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_CODE = "Courier New"


class Chapter(NamedTuple):
    """A chapter: its title (empty for a text without chapters) and its text in Markdown."""

    title: str
    text: str


class Document(NamedTuple):
    """A text to save. `language`: en or zh."""

    title: str
    language: str
    chapters: Sequence[Chapter]

    @property
    def text(self) -> str:
        """The text alone, as it was written: paragraphs without titles of chapters."""
        return "\n\n".join(chapter.text for chapter in self.chapters)


def title_of(prompt: str, text: str) -> str:
    """The text's own first heading, else the beginning of the prompt."""
    heading = re.match(r"\s{0,3}#{1,3} {1,4}([^\n]{1,200})", text)
    line = " ".join((heading[1] if heading else prompt).split()).strip("#* ")
    return line if len(line) <= TITLE else f"{line[: TITLE - 1].rstrip()}…"


def check_path(path: Path, *, force: bool) -> None:
    """Raises BadInput, before anything is paid, for a suffix that is not known and for a file that is there already."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(path, f"cannot be saved as {path.suffix or 'a file without a suffix'}", fix=f"end its name in {', '.join(SUFFIXES)}")
    if path.suffix.lower() != ".md":
        _needs(path)
    if path.exists() and not force:
        raise BadInput(path, "already exists", fix="choose another --out, or add --force to replace it")
    store.check_replaceable(path)


def _needs(path: Path) -> None:
    """Imports the library of a format. Raises ModuleNotFoundError, which the command line turns into one line."""
    if path.suffix.lower() == ".docx":
        import docx  # noqa: F401
    else:
        import mkepub  # noqa: F401


def save(document: Document, path: Path) -> None:
    """Write the document in the format of the path's suffix. The file is replaced only when the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix.lower():
        case ".docx":
            _docx(document, path)
        case ".epub":
            _epub(document, path)
        case _:
            store.write_text(path, document.text.rstrip() + "\n")


def _markdown() -> MarkdownIt:
    """CommonMark with tables. HTML in a text is text, and links to scripts are not made."""
    return MarkdownIt("commonmark", {"html": False, "xhtmlOut": True}).enable(["table", "strikethrough"])


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)


def _epub(document: Document, path: Path) -> None:
    """One page for each chapter, so that the reader's table of contents has them."""
    from mkepub import Book

    book = Book(escape(_clean(document.title)), language=document.language)
    for chapter in document.chapters:
        title = escape(_clean(chapter.title or document.title))
        body = _markdown().render(_clean(chapter.text))
        book.add_page(title, f"<h1>{title}</h1>\n{body}" if chapter.title else body)
    with store.replacing(path) as scratch:
        book.save(scratch)


def _docx(document: Document, path: Path) -> None:
    from docx import Document as new_document

    file = new_document()
    file.core_properties.title = _clean(document.title)[:255]
    file.core_properties.language = document.language
    own_title = document.text.lstrip().startswith("#")
    if not own_title:
        file.add_heading(_clean(document.title), 0)
    for chapter in document.chapters:
        if chapter.title:
            file.add_heading(_clean(chapter.title), 1)
        for block in _blocks(_markdown().parse(_clean(chapter.text))):
            _add(file, block)
    with store.replacing(path) as scratch:
        file.save(str(scratch))


class _Block(NamedTuple):
    """A paragraph of a DOCX file."""

    style: str
    parts: Sequence[Token]  # its inline tokens
    text: str = ""  # of a code block


def _blocks(tokens: Sequence[Token]) -> Iterator[_Block]:
    """The blocks of a Markdown text in order. A table becomes one paragraph for each row."""
    lists: list[str] = []
    heading, quotes = 0, 0
    for token in tokens:
        match token.type:
            case "heading_open":
                heading = int(token.tag[1:])
            case "heading_close":
                heading = 0
            case "bullet_list_open":
                lists.append("List Bullet")
            case "ordered_list_open":
                lists.append("List Number")
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
            case "blockquote_open":
                quotes += 1
            case "blockquote_close":
                quotes -= 1
            case "inline":
                style = f"Heading {heading}" if heading else lists[-1] if lists else "Quote" if quotes else "Normal"
                yield _Block(style, token.children or ())
            case "fence" | "code_block":
                yield _Block("code", (), token.content.rstrip("\n"))


def _add(file: object, block: _Block) -> None:
    paragraph = file.add_paragraph(style="Normal" if block.style == "code" else block.style)  # type: ignore[attr-defined]
    if block.style == "code":
        paragraph.add_run(block.text).font.name = _CODE
        return
    bold = italic = strike = 0
    for part in block.parts:
        bold += (part.type == "strong_open") - (part.type == "strong_close")
        italic += (part.type == "em_open") - (part.type == "em_close")
        strike += (part.type == "s_open") - (part.type == "s_close")
        if part.type in ("softbreak", "hardbreak"):
            paragraph.add_run(" " if part.type == "softbreak" else "\n")
        elif text := part.content:
            run = paragraph.add_run(text)
            run.bold, run.italic, run.font.strike = bool(bold) or None, bool(italic) or None, bool(strike) or None
            if part.type == "code_inline":
                run.font.name = _CODE
