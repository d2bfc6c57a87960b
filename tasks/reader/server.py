"""The reader's page, served on loopback only.

Every address begins with a random token; all others are 404, and a request for another host name is refused. Texts are untrusted: they are
escaped by the templates, and the Content-Security-Policy lets the browser run no script but the reader's own file.
"""

import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks.judging.grades import DIMENSIONS
from tasks.reader.entry import differences, entry_of
from tasks.reader.index import FACETS, SORTS, Index, Query
from tasks.schema.errors import BadInput

HOST = "127.0.0.1"
PAGE = 50  # rows in the list
HERE = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class BadAddress(ValueError):
    """A part of the address is not valid."""


class Address(NamedTuple):
    """What the page shows, as its query string says it. `at` is the position of the row in the list; None: the list first, on a phone."""

    query: Query
    at: int | None
    beside: int | None  # id of the row beside it

    def link(self, **changes: object) -> str:
        """The query string with changes; `in_` is `in`. None or an empty value leaves a name out."""
        values: dict[str, object] = {"in": self.query.collection, "q": self.query.search, **dict(self.query.facets)}
        values |= {"by": self.query.score if self.query.score != "s_l" else "", "least": self.query.least, "most": self.query.most}
        values |= {"sort": self.query.sort, "at": self.at, "beside": self.beside}
        values |= {name.rstrip("_"): value for name, value in changes.items()}
        return "?" + urlencode([(name, value) for name, value in values.items() if value not in (None, "")])


def application(index: Index, *, token: str, title: str) -> Starlette:
    """The reader's pages under `/TOKEN/`."""
    templates = Environment(
        loader=PackageLoader("tasks.reader", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["figure"] = _figure

    def page(request: Request) -> Response:
        try:
            address = _address(request.query_params, index)
        except BadAddress as error:
            return PlainTextResponse(f"{error}\n", status_code=400)
        return HTMLResponse(templates.get_template("reader.html.j2").render(**_shown(index, address), title=title, sorts=SORTS, page=PAGE))

    def state(request: Request) -> Response:
        return JSONResponse({**index.progress._asdict(), "complete": index.progress.complete})

    def asset(request: Request) -> Response:
        name = request.path_params["name"]
        kinds = {"reader.css": "text/css", "reader.js": "text/javascript"}
        if name not in kinds:
            return PlainTextResponse("not found\n", status_code=404)
        return Response((HERE / name).read_bytes(), media_type=kinds[name])

    routes = [Route(f"/{token}/", page), Route(f"/{token}/state", state), Route(f"/{token}/{{name}}", asset)]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return Starlette(routes=routes, middleware=[Middleware(_Guard, token=token), hosts])


class _Guard:
    """Refuses addresses without the token, and sends the security headers with every response."""

    def __init__(self, app: ASGIApp, token: str):
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        given = scope.get("path", "").split("/")[1:2] or [""]
        known = scope["type"] == "http" and secrets.compare_digest(given[0].encode(), self._token)
        await (self._app if known else PlainTextResponse("not found\n", status_code=404))(scope, receive, guarded)


def _address(given: Mapping[str, str], index: Index) -> Address:
    collection = given.get("in") or next(iter(index.collections))
    if collection not in index.collections:
        raise BadAddress(f"in: no collection {collection}; there are {', '.join(index.collections)}")
    sort, score = given.get("sort", ""), given.get("by") or "s_l"
    if sort not in SORTS or score not in ("s_l", "s_q"):
        raise BadAddress(f"sort: one of {', '.join(filter(None, SORTS))}; by: s_l or s_q")
    facets = tuple((name, given[name]) for name in FACETS if given.get(name))
    query = Query(collection, given.get("q", "")[:500], facets, score, _number(given, "least"), _number(given, "most"), sort)
    at, beside = _whole(given, "at"), _whole(given, "beside")
    return Address(query, at, beside)


def _number(given: Mapping[str, str], name: str) -> float | None:
    try:
        return float(given[name]) if given.get(name) else None
    except ValueError:
        raise BadAddress(f"{name}: not a number: {given[name]!r}") from None


def _whole(given: Mapping[str, str], name: str) -> int | None:
    value = given.get(name, "")
    if value and not (value.isascii() and value.isdecimal() and len(value) < 16):
        raise BadAddress(f"{name}: not a whole number: {value!r}")
    return int(value) if value else None


def _shown(index: Index, address: Address) -> dict[str, object]:
    """All that the template needs."""
    query = address.query
    total = index.count(query)
    at = min(address.at or 0, max(total - 1, 0))
    start = at // PAGE * PAGE
    rows = index.page(query, start=start, size=PAGE)
    row = rows[at - start] if at - start < len(rows) else None
    entry = entry_of(index, row) if row else None
    others = index.others(row) if row else []
    beside = next((other for other in others if other.id == address.beside), None)
    other = entry_of(index, beside) if beside else None
    return {
        "address": address,
        "query": query,
        "total": total,
        "at": at,
        "start": start,
        "rows": rows,
        "entry": entry,
        "others": others,
        "other": other,
        "differences": differences(entry, other) if entry and other else [],
        "sizes": index.sizes(),
        "facets": index.facets(query.collection),
        "chosen": dict(query.facets),
        "progress": index.progress,
        "dimensions": [name.replace("_", " ") for name in DIMENSIONS],
        "source": index.files[row.file].path if row else None,
    }


def _figure(value: float | int | None, digits: int = 1) -> str:
    """A number with grouped thousands; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def listening(port: int) -> socket.socket:
    """A socket on loopback. Port 0 takes a free one. Raises BadInput if the port is in use."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen(64)  # a browser that is opened before the server runs waits
    except OSError as error:
        found.close()
        raise BadInput("port", f"{port} cannot be used: {error.strerror}", fix="leave out --port, or give another one") from None
    return found


def serve(app: Starlette, at: socket.socket) -> None:
    """Serve until Ctrl-C."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[at])
