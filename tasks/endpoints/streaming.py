"""Streamed chat completions (server-sent events): each piece goes to a listener, and the whole becomes the body of a plain completion.

So a streamed reply is read, masked, charged and recorded by the code that reads every other reply. A stream that breaks after its first
text is a reply too: what was shown is kept, and the listener is told why it ended. Before the first text, it is a failed try.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import aiohttp
import orjson

from tasks.endpoints.completion import ErrorInside, check_error, finish_reason, loads, pieces_of
from tasks.endpoints.refusals import shown
from tasks.schema.finish import Finish, finish_of

STOPPED = "stopped"  # finish reason of a reply that the listener stopped
BROKEN = "connection_lost"  # finish reason of a stream that ended before its end
DONE = b"[DONE]"
TOO_LONG = "the answer is over the size limit"


class Listener(Protocol):
    """Receives the pieces of one reply at a time."""

    @property
    def stopped(self) -> asyncio.Event:
        """When it is set, the stream is closed, and what came is the reply."""
        ...

    def begin(self) -> None:
        """A stream begins. Called again if the request is sent again: what came before is not part of the reply."""

    def piece(self, text: str, *, thought: bool) -> None:
        """A piece of the answer, or of the thoughts."""

    def broken(self, why: str) -> None:
        """The stream ended before its end, after some text."""


def is_stream(response: aiohttp.ClientResponse) -> bool:
    """Whether a response is a stream of events. Some servers answer a request for a stream with a plain completion."""
    return response.status == 200 and response.content_type == "text/event-stream"


async def assembled(response: aiohttp.ClientResponse, listener: Listener, *, at_most: int, needs_finish: bool = True) -> bytes | None:
    """Returns the body of a plain completion with all of the stream's text. None if nothing but bytes over the limit came.

    `needs_finish`: a stream without a finish reason is broken, also one that the server ends with [DONE]. Raises aiohttp.ClientError or
    ConnectionError if the connection is lost before the first text.
    """
    listener.begin()
    whole = _Whole(listener)
    try:
        async for event in _events(response, listener.stopped, at_most=at_most):
            if event is None:
                whole.done = True
                break
            whole.add(event)
            if listener.stopped.is_set():  # one chunk may have thousands of events
                break
    except _TooLong:
        if not whole.has_text:
            return None
        whole.end(TOO_LONG)
    except (aiohttp.ClientError, ConnectionError) as error:
        if not whole.has_text:
            raise
        whole.end(f"the connection was lost ({type(error).__name__})")
    finally:
        response.close()
    if listener.stopped.is_set():
        whole.finish = whole.finish or STOPPED
    elif finish_of(whole.finish) is Finish.FAILED and whole.has_text:
        whole.end(f"the server ended it with finish_reason {whole.finish!r}")
    elif not whole.finish and whole.has_text and (needs_finish or not whole.done):
        whole.end("the server ended the stream without a finish reason")
    return whole.body() if whole.has_text or whole.finish or whole.error else b""


class _TooLong(Exception):
    """More bytes than any answer has."""


class _Whole:
    """The text of a stream so far."""

    def __init__(self, listener: Listener):
        self._listener = listener
        self._texts, self._thoughts = list[str](), list[str]()
        self.finish = ""
        self.done = False  # did the server send [DONE]?
        self.usage: object = None
        self.error: Mapping[str, Any] | None = None

    @property
    def has_text(self) -> bool:
        return bool(self._texts or self._thoughts)

    def add(self, data: bytes) -> None:
        """Add one event. An event that is no JSON object is left out, as other clients do."""
        try:
            event = loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        try:
            check_error(event if "choices" in event or "error" in event else {"choices": [], **event})
        except ErrorInside as error:
            self._fail(event, str(error))
            return
        if event.get("usage"):
            self.usage = event["usage"]
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        self.finish = finish_reason(choice) or self.finish
        delta = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
        for thought, text in pieces_of(delta) if isinstance(delta, dict) else ():
            (self._thoughts if thought else self._texts).append(text)
            self._listener.piece(text, thought=thought)

    def _fail(self, event: Mapping[str, Any], problem: str) -> None:
        if self.has_text:
            self.end(f"the server sent an error: {shown(problem)}")
        else:
            self.error = event

    def end(self, why: str) -> None:
        """The stream ended before its end: the listener is told why."""
        self._listener.broken(why)
        self.finish = BROKEN

    def body(self) -> bytes:
        """The body of a plain completion; of the error alone if the stream began with one."""
        if self.error is not None and not self.has_text:
            return orjson.dumps(self.error)
        message = {"role": "assistant", "content": _sendable(self._texts), "reasoning_content": _sendable(self._thoughts)}
        return orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": self.finish}], "usage": self.usage})


def _sendable(parts: list[str]) -> str:
    """The parts as one text. A character in two halves (JSON can escape each alone) is put together."""
    return "".join(parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


async def _events(response: aiohttp.ClientResponse, stopped: asyncio.Event, *, at_most: int) -> AsyncIterator[bytes | None]:
    """Yields the data of each event until the stream ends or `stopped` is set (WHATWG, server-sent events); None for [DONE]."""
    lines: list[bytes] = []
    rest, size = b"", 0
    async for chunk in _chunks(response, stopped):
        size += len(chunk)
        if size > at_most:
            raise _TooLong
        *whole, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        for line in whole:
            if line.startswith(b"data:"):
                lines.append(line[5:].removeprefix(b" "))
            elif not line.strip() and lines:
                data, lines = b"\n".join(lines), []
                yield None if data.strip() == DONE else data
    if lines or rest.startswith(b"data:"):  # the last event, of a server that sends no blank line behind it
        last = b"\n".join([*lines, rest[5:].removeprefix(b" ")] if rest.startswith(b"data:") else lines)
        yield None if last.strip() == DONE else last


async def _chunks(response: aiohttp.ClientResponse, stopped: asyncio.Event) -> AsyncIterator[bytes]:
    """Yields what comes, until the end or until `stopped` is set, also while nothing comes."""
    stop = asyncio.create_task(stopped.wait())
    try:
        while not stopped.is_set():
            read = asyncio.create_task(response.content.readany())
            try:
                await asyncio.wait({read, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not read.done() or not (chunk := read.result()):
                    return
            finally:
                read.cancel()
            yield chunk
    finally:
        stop.cancel()
