"""HTTP requests about batches: submit, ask for the state, download. Repeated after temporary failures, within settings.patience."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yarl

from tasks import progress
from tasks.endpoints import refusals, wire
from tasks.endpoints.completion import loads
from tasks.endpoints.failures import EndpointAway, TryFailed, Unreachable
from tasks.endpoints.transport import AGAIN, OVERLOADED, by_cause, client_session
from tasks.schema.errors import EndpointError
from tasks.schema.redaction import mask_bytes
from tasks.schema.settings import PREFIX, Role, Settings
from tasks.schema.urls import Url

NOT_ALLOWED = (401, 402, 403, 407)
TRIES = 4  # of a connection to a server that was never reached
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds, with full jitter
MOST = 16 * 2**20  # bytes of a reply about batches; results are downloaded to a file
SILENCE = 300.0  # seconds without a byte after which a connection is given up
T = TypeVar("T")
Content = Callable[[], object]  # makes the body of a request, for each try


class Unsure(Exception):
    """A request failed after it was sent, so that the endpoint may have accepted it."""


class BatchRefused(Exception):
    """The endpoint refused a request about batches, and would refuse it again."""

    def __init__(self, status: int, said: str):
        super().__init__(f"{status} ({said})")
        self.status, self.said = status, said


class _NotAccepted(TryFailed):
    """The endpoint refused a request for the moment, so that it was not accepted."""


class BatchHttp:
    """Requests to one endpoint. `where` names role and URL in messages."""

    def __init__(self, session: aiohttp.ClientSession, address: Url, *, role: Role, settings: Settings):
        self.where, self.variable = f"{role} at {wire.shown(address)}", f"{PREFIX}{role.upper()}"
        self.poll = settings.batch_poll
        self._session, self._address, self._patience = session, address, settings.patience
        self._reached = False

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        unsure: bool = False,
    ) -> dict[str, Any]:
        """Returns the JSON object that the endpoint replies. `content` makes the body: bytes, a file or a form.

        Raises BatchRefused for a lasting refusal, and EndpointError for a refused key or if nothing is answered in time. With `unsure`,
        raises Unsure instead of repeating a request that may have been accepted.
        """

        async def once() -> dict[str, Any]:
            async with self._session.request(
                method, self._url(path, query), data=content() if content else None, headers=headers, allow_redirects=False
            ) as response:
                raw = mask_bytes(await wire.read(response, at_most=MOST) or b"")
            self._reached = True
            if response.status not in (200, 201):
                raise self._failed(response, raw)
            if (found := _object(raw)) is None:
                raise TryFailed("a reply that is no JSON object")
            return found

        return await self._repeated(once, unsure=unsure)

    async def download(self, path: str, target: Path) -> None:
        """Appends what the endpoint has at a path to a file. Raises as `ask`."""
        before = target.stat().st_size if target.exists() else 0

        async def once() -> None:
            with target.open("ab") as file:
                file.truncate(before)
                async with self._session.get(self._url(path, None), allow_redirects=False) as response:
                    if response.status != 200:
                        raise self._failed(response, mask_bytes(await wire.read(response, at_most=MOST) or b""))
                    async for chunk in response.content.iter_chunked(2**18):
                        file.write(chunk)

        await self._repeated(once)

    async def _repeated(self, once: Callable[[], Awaitable[T]], *, unsure: bool = False) -> T:
        """What a request returns, which is sent again after a temporary failure. Raises as `ask`."""
        begun = time.monotonic()
        for tries in count(1):
            try:
                with by_cause(self.where, self.variable, reached=self._reached, late=""):
                    return await once()
            except TryFailed as error:
                if unsure and not isinstance(error, Unreachable | EndpointAway | _NotAccepted):
                    raise Unsure(str(error)) from None
                await self._pause(error, tries, begun)
        raise AssertionError  # the loop ends by a return or an error

    def _url(self, path: str, query: Mapping[str, str] | None) -> yarl.URL:
        url = yarl.URL(self._address.under(path), encoded=True)
        return url.update_query(query) if query else url

    def _failed(self, response: aiohttp.ClientResponse, raw: bytes) -> Exception:
        """The exception for a status: temporary, or lasting."""
        status, said, wait = response.status, refusals.shown(refusals.message(raw)), wire.retry_after(response.headers)
        if status >= 500:
            return TryFailed(f"{status} ({said})", retry_after=wait)
        if status in (*OVERLOADED, *AGAIN):
            return _NotAccepted(f"{status} ({said})", retry_after=wait)
        if status in NOT_ALLOWED:
            return EndpointError(f"{self.where}: {status}, the key was refused; set {self.variable}_API_KEY ({said})")
        return BatchRefused(status, said)

    async def _pause(self, problem: TryFailed, tries: int, begun: float) -> None:
        """Waits before the next try. Raises EndpointError if the endpoint has failed for too long."""
        if not self._reached and tries >= TRIES:
            fix = "" if isinstance(problem, Unreachable) else f"; start the server or set {self.variable}_URL"
            raise EndpointError(f"{self.where}: {problem}{fix}")
        pause = problem.retry_after
        if pause is None:
            pause = random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tries - 1)))
        if time.monotonic() - begun + pause > self._patience:
            kept = "batches that were sent are kept, and fetched by the next run"
            raise EndpointError(f"{self.where}: {problem} for {PREFIX}PATIENCE, {self._patience:g} s; run again later, {kept}")
        if tries == TRIES:
            progress.say(f"{self.where}: {problem}; asked again")
        await asyncio.sleep(pause)


@asynccontextmanager
async def batch_http(address: Url, headers: Mapping[str, str], *, role: Role, settings: Settings) -> AsyncIterator[BatchHttp]:
    """Yields the requests about batches of one endpoint, with their connections."""
    async with client_session(address, headers, silence=SILENCE) as session:
        yield BatchHttp(session, address, role=role, settings=settings)


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
