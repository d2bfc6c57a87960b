"""Rewrite Great Expectations' data docs so that they work offline: no script, font or image from another host.

The original pages load styles and scripts from seven public hosts, and without a network their index is empty. The relevant content is
static. So the scripts are replaced by a small stylesheet and an own index, which shows every contract with its distributions, its
expectations, and the first rows that break them.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks import store
from tasks.schema.contract_results import ContractVerdict

_FOREIGN = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*https?://[^>]*>|<img\b[^>]*https?://[^>]*>|<footer\b.*?</footer>|<link\b[^>]*/static/[^>]*>",
    re.DOTALL | re.IGNORECASE,
)
_URL = re.compile(r"url\(\s*['\"]?https?://[^)]*\)")
STYLES, INDEX, VERDICT = "offline.css", "index.html", "verdict.json"
PARTS = {"validations": "each expectation and what was seen", "expectations": "the rules alone"}


def make_offline(docs: Path, verdicts: Sequence[ContractVerdict]) -> None:
    """Rewrite the pages in `docs` in place and write an index of the contracts."""
    shutil.rmtree(docs / "static", ignore_errors=True)
    (docs / STYLES).write_text((Path(__file__).parent / STYLES).read_text(encoding="utf-8"), encoding="utf-8")
    for page in docs.rglob("*.html"):
        if page.parent != docs:
            _rewrite(page, depth=len(page.relative_to(docs).parts) - 1)
    write_index(docs, verdicts)


def _rewrite(page: Path, *, depth: int) -> None:
    text = _URL.sub("none", _FOREIGN.sub("", page.read_text(encoding="utf-8")))
    home = f"{'../' * depth}{INDEX}"
    text = re.sub(r'href="[^"]*index\.html"', f'href="{home}"', text)
    page.write_text(text.replace("</head>", f'<link rel="stylesheet" href="{"../" * depth}{STYLES}">\n</head>', 1), encoding="utf-8")


def gather(docs: Path, verdict: ContractVerdict, *earlier: Path) -> None:
    """Copy the docs of earlier contracts (folders with verdict.json and docs/) into `docs`, and write an index of all contracts."""
    verdicts = []
    for folder in earlier:
        found = store.read_document(folder / VERDICT, ContractVerdict)
        verdicts.append(found)
        for part in PARTS:
            if (folder / "docs" / part).is_dir():
                shutil.copytree(folder / "docs" / part, docs / found.name / part)
        shutil.copy(docs / STYLES, docs / found.name / STYLES)
    for page in (page for found in verdicts for page in (docs / found.name).rglob("*.html")):
        depth = len(page.relative_to(docs).parts) - 1
        page.write_text(
            page.read_text(encoding="utf-8").replace(f"{'../' * (depth - 1)}{INDEX}", f"{'../' * depth}{INDEX}"), encoding="utf-8"
        )
    write_index(docs, [*verdicts, verdict])


def write_index(docs: Path, verdicts: Sequence[ContractVerdict]) -> None:
    templates = Environment(loader=PackageLoader("tasks.contracts", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates.filters["short"] = _short
    links = {verdict.name: _pages(docs, verdict.name) for verdict in verdicts}
    text = templates.get_template("index.html.j2").render(verdicts=verdicts, links=links, styles=STYLES, parts=PARTS)
    (docs / INDEX).write_text(text, encoding="utf-8")


def _pages(docs: Path, name: str) -> dict[str, str]:
    """A contract's pages as {part: path}, in a folder of its name; at the top for the contract that `docs` was written for."""
    root = docs / name if (docs / name).is_dir() else docs
    found = {part: next(iter(sorted((root / part).rglob("*.html"))), None) for part in PARTS}
    return {part: page.relative_to(docs).as_posix() for part, page in found.items() if page}


def _short(value: float) -> str:
    """A number with few digits: 12,345, 0.123, 7."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
