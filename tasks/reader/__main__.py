"""`longwriter read` (`python -m tasks.reader`): read texts in the browser."""

import os
import secrets
import sys
import webbrowser
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Annotated

import typer

from tasks.schema.settings import settings
from tasks.stage import one_line_errors

CACHE = "reading"  # folder of the indexes, below settings.home


def read(
    what: Annotated[str, typer.Argument(help="a folder, a file, a released version (v1.0.0) or a git revision", metavar="WHAT")] = "data",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port on 127.0.0.1; 0: any free port")] = 0,
    open_it: Annotated[
        bool | None, typer.Option("--open/--no-open", help="open the page in a browser; default: only if there is a display")
    ] = None,
) -> None:
    """Read texts in the browser: any dataset, drafts, predictions or evaluation, with search, filters, plans, grades and loops.

    The page is served on this machine only, under a random address. Ctrl-C ends it."""
    with one_line_errors(), ExitStack() as held:
        from tasks.reader.collections import collections_of
        from tasks.reader.index import Index
        from tasks.reader.server import HOST, application, listening, serve

        path = Path(what)
        if not path.exists():
            path = held.enter_context(_version(what))
        index = Index(collections_of(path), settings().home / CACHE)
        socket = held.enter_context(listening(port))
        index.open()
        held.callback(index.close)
        token = secrets.token_urlsafe(16)
        url = f"http://{HOST}:{socket.getsockname()[1]}/{token}/"
        print(f"{url}\nreading {what}; Ctrl-C ends it", flush=True)
        if _has_display() if open_it is None else open_it:
            webbrowser.open(url)
        try:
            serve(application(index, token=token, title=what), socket)
        except KeyboardInterrupt:
            print("closed", file=sys.stderr)


def _has_display() -> bool:
    """Whether a browser with a window can be opened: one of the terminal would keep the server from starting."""
    return sys.stdout.isatty() and (sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))))


def _version(what: str) -> AbstractContextManager[Path]:
    """The data of a released version or git revision, in a temporary folder. Raises BadInput if there is none."""
    from tasks.release.sides import place_of
    from tasks.schema.errors import BadInput

    if "/" in what or "\\" in what or not Path("dvc.yaml").is_file():
        raise BadInput(what, "no such file or folder", fix="check the path; versions and git revisions need a checkout")
    return place_of(what)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(read)

if __name__ == "__main__":
    app()
