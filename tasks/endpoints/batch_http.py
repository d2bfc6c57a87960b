"""HTTP requests about batches: submit, ask for the state, download. Repeated after temporary failures, within settings.patience."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import yarl

from tasks import progress
from tasks.endpoints import refusals, wire
from tasks.endpoints.completion import loads
from tasks.schema.errors import EndpointError
from tasks.schema.redaction import mask_bytes, redact
from tasks.schema.settings import PREFIX, Role, Settings
from tasks.schema.urls import Url

NOT_ALLOWED = (401, 402, 403, 407)
AGAIN = (408, 409, 425, 429)  # the 4xx statuses that may succeed when sent again
TRIES = 4  # of a connection to a server that was never reached
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds, with full jitter
MOST = 16 * 2**20  # bytes of a reply about batches; results are downloaded to a file
SILENCE = 300.0  # seconds without a byte after which a connection is given up
Content = Callable[[], object]  # makes the body of a request, for each try


class Unsure(Exception):
    """A request failed after it was sent, so that the endpoint may have accepted it."""


class BatchRefused(Exception):
    """The endpoint refused a request about batches, and would refuse it again."""

    def __init__(self, status: int, said: str):
        super().__init__(f"{status} ({said})")
        self.status, self.said = status, said


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
        begun = time.monotonic()
        for tries in count(1):
            sent, wait, problem = True, None, ""
            try:
                async with self._session.request(
                    method, self._url(path, query), data=content() if content else None, headers=headers, allow_redirects=False
                ) as response:
                    raw = mask_bytes(await wire.read(response, at_most=MOST) or b"")
                self._reached = True
                if response.status in (200, 201):
                    if (found := _object(raw)) is not None:
                        return found
                    problem = "a reply that is no JSON object"
                else:
                    problem = f"{response.status} ({refusals.shown(refusals.message(raw))})"
                    wait, sent = wire.retry_after(response.headers), response.status >= 500
                    if response.status < 500 and response.status not in AGAIN:
                        raise self._refusal(response.status, refusals.shown(refusals.message(raw)))
            except aiohttp.ClientConnectorError as error:
                problem, sent = f"cannot connect ({error.strerror or error.os_error})", False
            except TimeoutError:
                problem = "no answer in time"
            except (aiohttp.ClientError, ConnectionError) as error:
                problem = f"the connection was lost ({type(error).__name__}: {redact(str(error))[:100]})"
            if unsure and sent:
                raise Unsure(problem)
            await self._pause(problem, tries, begun, wait)
        raise AssertionError  # the loop ends by a return or an error

    async def download(self, path: str, target: Path) -> None:
        """Appends what the endpoint has at a path to a file. Raises as `ask`."""
        begun, before = time.monotonic(), target.stat().st_size if target.exists() else 0
        for tries in count(1):
            wait = None
            try:
                with target.open("ab") as file:
                    file.truncate(before)
                    async with self._session.get(self._url(path, None), allow_redirects=False) as response:
                        if response.status == 200:
                            async for chunk in response.content.iter_chunked(2**18):
                                file.write(chunk)
                            return
                        raw = mask_bytes(await wire.read(response, at_most=MOST) or b"")
                problem, wait = f"{response.status} ({refusals.shown(refusals.message(raw))})", wire.retry_after(response.headers)
                if response.status < 500 and response.status not in AGAIN:
                    raise self._refusal(response.status, refusals.shown(refusals.message(raw)))
            except TimeoutError:
                problem = "no answer in time"
            except (aiohttp.ClientError, ConnectionError) as error:
                problem = f"the connection was lost ({type(error).__name__}: {redact(str(error))[:100]})"
            await self._pause(problem, tries, begun, wait)

    def _url(self, path: str, query: Mapping[str, str] | None) -> yarl.URL:
        url = yarl.URL(self._address.under(path), encoded=True)
        return url.update_query(query) if query else url

    def _refusal(self, status: int, said: str) -> Exception:
        if status in NOT_ALLOWED:
            return EndpointError(f"{self.where}: {status}, the key was refused; set {self.variable}_API_KEY ({said})")
        return BatchRefused(status, said)

    async def _pause(self, problem: str, tries: int, begun: float, wait: float | None) -> None:
        """Waits before the next try. Raises EndpointError if the endpoint has failed for too long."""
        if not self._reached and tries >= TRIES:
            raise EndpointError(f"{self.where}: {problem}; start the server or set {self.variable}_URL")
        pause = wait if wait is not None else random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tries - 1)))
        if time.monotonic() - begun + pause > self._patience:
            kept = "batches that were sent are kept, and fetched by the next run"
            raise EndpointError(f"{self.where}: {problem} for {PREFIX}PATIENCE, {self._patience:g} s; run again later, {kept}")
        if tries == TRIES:
            progress.say(f"{self.where}: {problem}; asked again")
        await asyncio.sleep(pause)


@asynccontextmanager
async def batch_http(address: Url, headers: Mapping[str, str], *, role: Role, settings: Settings) -> AsyncIterator[BatchHttp]:
    """Yields the requests about batches of one endpoint, with their connections."""
    proxy = wire.proxy_of(address)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=SILENCE)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, proxy=proxy.url, proxy_auth=proxy.auth) as session:
        yield BatchHttp(session, address, role=role, settings=settings)


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
