"""Great Expectations' data docs, made to open anywhere: no script, no font and no image from another host.

The pages that it writes are styled and their index is filled by scripts from seven public hosts; without a network the
index is an empty page. What matters in them is static, so the scripts go and a small stylesheet and an index of our own come.
"""

import re
import shutil
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks.quality.verdict import Verdict

_FOREIGN = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*https?://[^>]*>|<img\b[^>]*https?://[^>]*>|<footer\b.*?</footer>|<link\b[^>]*/static/[^>]*>",
    re.DOTALL | re.IGNORECASE,
)
_URL = re.compile(r"url\(\s*['\"]?https?://[^)]*\)")
STYLES = "offline.css"


def make_offline(docs: Path, verdict: Verdict) -> None:
    """Rewrite the pages in `docs` in place and give them an index that lists every expectation with its result."""
    shutil.rmtree(docs / "static", ignore_errors=True)
    templates = Environment(loader=PackageLoader("tasks.quality", "."), autoescape=True, undefined=StrictUndefined)
    (docs / STYLES).write_text((Path(__file__).parent / STYLES).read_text(encoding="utf-8"), encoding="utf-8")
    pages = sorted(page for page in docs.rglob("*.html") if page.parent != docs)
    for page in pages:
        depth = len(page.relative_to(docs).parts) - 1
        text = _URL.sub("none", _FOREIGN.sub("", page.read_text(encoding="utf-8")))
        styles = f'<link rel="stylesheet" href="{"../" * depth}{STYLES}">'
        page.write_text(text.replace("</head>", f"{styles}\n</head>", 1), encoding="utf-8")
    links = {page.relative_to(docs).parts[0]: page.relative_to(docs).as_posix() for page in pages}
    index = templates.get_template("index.html.j2").render(verdict=verdict, links=links, styles=STYLES)
    (docs / "index.html").write_text(index, encoding="utf-8")
