"""BatchChat: gathers requests and sends them as batches, which providers answer within 24 hours at half the price.

Requests that wait at the same time become one batch, as far as the provider's limits allow: a round. Each batch is recorded on disk before
it is sent (batch_records.py). A batch that an earlier process sent is fetched, not sent again, also if requests go directly now. Results
are matched by custom id, which is the request's key in the journal. Each request that has no reply fails by itself, and is sent again with
the next batch by the rules of retrying.py.
"""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks import progress, store
from tasks.endpoints import refusals
from tasks.endpoints.batch_forms import AnthropicForm, BatchForm, BatchOutcome, BatchState, OpenAIForm
from tasks.endpoints.batch_http import BatchHttp, BatchRefused, Unsure, batch_http
from tasks.endpoints.batch_records import BatchedRequest, BatchFolder, Form, SentBatch, age, batched
from tasks.endpoints.budgeted import BudgetedCache
from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.failures import EndpointRefused, Filtered, Rejected, Rewritten, TryFailed
from tasks.endpoints.openai_api import HttpChat, Received, authorization
from tasks.schema.errors import BadSettings, EndpointError
from tasks.schema.params import Model
from tasks.schema.redaction import MASK, REMOVED, mask_bytes
from tasks.schema.settings import Role, Settings, Transport
from tasks.schema.urls import Url

FORMS: dict[Form, type[OpenAIForm] | type[AnthropicForm]] = {"openai": OpenAIForm, "anthropic": AnthropicForm}
NAMES: dict[Form, str] = {"openai": "OpenAI's form", "anthropic": "Anthropic's form"}
WITHOUT = (404, 405, 501)  # statuses of an endpoint without a batch API
VERSION = "2023-06-01"  # of Anthropic's API
DOWNLOADS = 3  # times that damaged results are downloaded
LOOKS = 3  # times that a batch is looked for that may have been accepted: lists of batches may be late
NOTE = 600.0  # seconds after which the state of a batch is printed again
ENDING = 10.0  # seconds that a submission may take when the block ends: until then it is not known whether it was accepted
FAILURES = (TryFailed, Rejected, Filtered, Rewritten, EndpointError)  # of one request
TOO_MUCH = ("token_limit", "enqueued")  # in a refusal: more tokens wait in batches than the account allows


class _Waiting(NamedTuple):
    """A caller that waits for a reply."""

    request: Request
    reply: "asyncio.Future[Reply]"


@dataclass
class _Batch:
    """A batch that is sent and not fetched."""

    record: SentBatch
    waiting: dict[str, list[_Waiting]] = field(default_factory=lambda: defaultdict(list))
    earlier: bool = False  # an earlier process wrote it
    error: BaseException | None = None  # why it could not be sent or fetched
    submitting: bool = False
    good: set[str] = field(default_factory=set)  # keys of replies that must be in the journal before the record is removed


class _Line(NamedTuple):
    """Where a result is in the downloaded file."""

    start: int
    length: int
    good: bool


class BatchChat:
    """A Chat that sends requests by batches. With `submits` false, only requests of earlier batches are; all others go to `direct`.

    `direct` writes the requests and reads the replies, so that both are those of the direct transport.
    """

    def __init__(
        self,
        direct: HttpChat,
        http: BatchHttp,
        form: Form,
        cache: BudgetedCache,
        *,
        role: Role,
        where: str,
        settings: Settings,
        submits: bool,
    ):
        self._direct, self._http, self._cache, self._role, self._where = direct, http, cache, role, where
        self._form_name, self._form, self._submits = form, FORMS[form](), submits
        self._folder, self._patience = BatchFolder(settings.home), settings.patience
        self._quiet, self._poll = settings.batch_gather, settings.batch_poll
        self._gathered = _by_key()
        self._count = 0  # requests that were gathered so far
        self._gathering: asyncio.Task[None] | None = None
        self._out: dict[str, _Batch] = {}  # by key
        self._tasks = dict[asyncio.Task[None], _Batch]()
        self._fetched = list[_Batch]()
        self._most = self._form.requests  # requests of a batch
        self._at_work = 0  # batches that are being sent or waited for
        self._one_by_one = False  # batches are sent one after the other, because more tokens may not wait
        self._turn = asyncio.Lock()
        self._closed = False

    async def __aenter__(self) -> "BatchChat":
        self._folder.clear()
        for record in self._folder.of(self._where):
            what = f"a batch of {len(record.requests):,} requests was sent {progress.span(age(record))} ago"
            progress.say(f"{self._http.where}: {what}; its replies are fetched ({self._folder.place(record.token)})")
            self._start(_Batch(record, earlier=True))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        if submitting := [task for task, batch in self._tasks.items() if batch.submitting]:
            await asyncio.wait(submitting, timeout=ENDING)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sweep()

    def close(self) -> None:
        """Sends nothing more, and lets no caller wait. Batches that were sent are fetched by the next process."""
        self._closed = True
        if self._gathering:
            self._gathering.cancel()
        everyone = [*self._gathered.values(), *(waiting for batch in self._tasks.values() for waiting in batch.waiting.values())]
        for one in [one for waiting in everyone for one in waiting]:
            one.reply.cancel()
        self._gathered.clear()

    async def __call__(self, request: Request) -> Reply:
        """Returns the reply when its batch is fetched. Raises as HttpChat."""
        if batch := self._out.get(request.key):
            if batch.error:
                raise batch.error
            return await self._wait(batch.waiting[request.key], request)
        if known := self._cache.recorded(request.key):  # the batch of an earlier process was fetched meanwhile
            return known
        if not self._submits:
            return await self._direct(request)
        self._count += 1
        waiting = self._gathered[request.key]
        if self._gathering is None or self._gathering.done():
            self._gathering = asyncio.create_task(self._gather())
        return await self._wait(waiting, request)

    async def _wait(self, waiting: list[_Waiting], request: Request) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.cancel()
        waiting.append(_Waiting(request, future))
        return await future

    # From requests to batches

    async def _gather(self) -> None:
        """Sends what waits as soon as no new request comes."""
        while self._gathered:
            count = -1
            while count != self._count and len(self._gathered) < self._form.requests:
                count = self._count
                await asyncio.sleep(self._quiet)
            gathered, self._gathered = self._gathered, _by_key()
            self._sweep()
            try:
                for batch in self._written(gathered):
                    self._start(batch)
            except Exception as error:  # such as no disk space
                _fail(gathered.values(), error)
                if not isinstance(error, OSError):
                    raise

    def _written(self, gathered: dict[str, list[_Waiting]]) -> Iterator[_Batch]:
        """Yields the batches, as many as the limits need. Each has its upload and its record on disk."""
        form, spoken = self._form, self._direct.dialect
        lines = ((key, form.line(key, self._direct.body(waiting[0].request, spoken))) for key, waiting in gathered.items())
        pending = next(lines, None)
        while pending:
            token = f"{int(time.time()):x}-{secrets.token_hex(8)}"
            with self._folder.new_upload(token) as file:
                keys = list[str]()
                size = file.write(form.head) + len(form.tail)
                while pending and len(keys) < self._most and (not keys or size + len(form.between) + len(pending[1]) <= form.size):
                    size += file.write((form.between if keys else b"") + pending[1])
                    keys.append(pending[0])
                    pending = next(lines, None)
                file.write(form.tail)
            record = SentBatch(
                token=token,
                role=self._role,
                where=self._where,
                form=self._form_name,
                dialect=spoken,
                sent=time.time(),
                requests=[batched(gathered[key][0].request) for key in keys],
            )
            self._folder.save(record)
            yield _Batch(record, _by_key({key: gathered[key] for key in keys}))

    def _start(self, batch: _Batch) -> None:
        self._out.update(dict.fromkeys((request.key for request in batch.record.requests), batch))
        task = asyncio.create_task(self._run(batch))
        self._tasks[task] = batch
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        """The work on a batch is over. After an error its requests must not be sent again: their callers get the error, later ones too."""
        batch = self._tasks.pop(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        batch.error = error
        if not any(batch.waiting.values()):
            progress.say(f"{self._http.where}: batch {batch.record.id or batch.record.token}: {error}")
        _fail(batch.waiting.values(), error)

    # From a batch to its replies

    async def _run(self, batch: _Batch) -> None:
        """Sends a batch unless it was sent, waits for it, and gives each caller its reply or its failure."""
        if self._one_by_one and not batch.earlier:
            async with self._turn:
                await self._serve(batch)
        else:
            await self._serve(batch)

    def _drop(self, batch: _Batch) -> None:
        """From now on its requests are no part of a batch."""
        for request in batch.record.requests:
            if self._out.get(request.key) is batch:
                del self._out[request.key]

    def _again(self, batch: _Batch) -> None:
        """The batch is nowhere: its callers send their requests again."""
        self._folder.forget(batch.record.token)
        self._drop(batch)
        _fail(batch.waiting.values(), Rewritten())

    async def _serve(self, batch: _Batch) -> None:
        form: BatchForm = FORMS[batch.record.form]()
        self._at_work += 1
        try:
            if not await self._sent(form, batch):
                self._again(batch)
                return
            state = await self._ended(form, batch.record)
            if state.problem or state.refused:
                await self._refused(batch, state)
            else:
                await self._deliver(form, batch, state)
        except BatchRefused as refused:
            if refused.status not in (404, 410):
                raise EndpointError(f"{self._http.where}: batch {batch.record.id}: {refused}; run again later") from None
            progress.say(f"{self._http.where}: batch {batch.record.id} is not there any more; requests without a reply are sent again")
            self._again(batch)
        finally:
            self._at_work -= 1

    async def _sent(self, form: BatchForm, batch: _Batch) -> bool:
        """Whether the batch is at the endpoint. False: an earlier process began to send it, and it was not accepted."""
        if batch.record.id:
            return True
        batch.submitting = True
        try:
            found = await self._found(form, batch.record) if batch.earlier else await self._submitted(form, batch.record)
        finally:
            batch.submitting = False
        if found is None:
            return False
        batch.record = batch.record.model_copy(update={"id": found})
        self._folder.save(batch.record)
        self._folder.upload(batch.record.token).unlink(missing_ok=True)
        return True

    async def _submitted(self, form: BatchForm, record: SentBatch) -> str:
        """Sends a batch; returns its id. After a failure it is looked for, because it may have been accepted."""
        begun, count = time.monotonic(), len(record.requests)
        while True:
            try:
                found = await form.submit(self._http, self._folder.upload(record.token), record.token)
                break
            except Unsure as unsure:
                if known := await self._found(form, record):
                    found = known
                    break
                if time.monotonic() - begun > self._patience:
                    raise EndpointError(f"{self._http.where}: {unsure}; no batch was accepted; run again later") from None
            except BatchRefused as refused:
                self._folder.forget(record.token)
                raise _refusal(self._http, f"a batch of {count:,} requests", refused) from None
        progress.say(f"{self._http.where}: batch {found} of {count:,} requests is accepted; it may take 24 hours")
        return found

    async def _found(self, form: BatchForm, record: SentBatch) -> str | None:
        """The id of a batch that may have been accepted; None if the endpoint does not list it."""
        others = {other.record.id for other in (*self._tasks.values(), *self._fetched)}
        for tries in range(LOOKS):
            await asyncio.sleep(min(self._poll, 2.0 * tries))
            try:
                found = await form.find(self._http, record, others, self._folder.results(record.token))
            except BatchRefused as refused:
                problem = f"a batch was sent, and it is not known whether it was accepted, as batches are not listed: {refused}"
                fix = f"look for it there, and remove {self._folder.place(record.token)} to send its requests again"
                raise EndpointError(f"{self._http.where}: {problem}; fix: {fix}") from None
            if found:
                return found
        return None

    async def _ended(self, form: BatchForm, record: SentBatch) -> BatchState:
        """The state of a batch that has ended. Raises BatchRefused if the endpoint does not know it."""
        said, noted = "", 0.0
        with progress.waiting(f"{self._role}, batch of {len(record.requests):,}") as line:
            while True:
                state = await form.state(self._http, record.id)
                counts = f"{state.state}, {state.done:,} of {len(record.requests):,} done, {state.failed:,} failed"
                if state.ended or state.state != said or time.monotonic() - noted > NOTE:
                    said, noted = state.state, time.monotonic()
                    progress.say(f"{self._http.where}: batch {record.id}: {counts}, {progress.span(age(record))}")
                if state.ended:
                    return state
                line.set_postfix_str(counts)
                await asyncio.sleep(self._poll)

    async def _refused(self, batch: _Batch, state: BatchState) -> None:
        """The endpoint has run no request of the batch. Single bad requests fail; the others are sent again."""
        count = len(batch.record.requests)
        too_much = any(word in state.problem.lower() for word in TOO_MUCH)
        if state.problem and not too_much:
            self._folder.forget(batch.record.token)
            raise EndpointError(f"{self._http.where}: batch {batch.record.id} was refused: {refusals.shown(state.problem)}")
        if too_much and self._at_work == 1:
            if count == 1:
                raise EndpointError(f"{self._http.where}: one request is more than may wait in batches: {refusals.shown(state.problem)}")
            self._most = count // 2
        if too_much:
            self._one_by_one = True
            progress.say(f"{self._http.where}: {refusals.shown(state.problem)}; batches are sent one after the other")
            await asyncio.sleep(self._poll)
        for number, why in state.refused.items():
            if number <= count:
                waiting = batch.waiting.pop(batch.record.requests[number - 1].key, [])
                _fail([waiting], Rejected(f"the request is not accepted ({refusals.shown(why)})"))
        self._again(batch)

    async def _deliver(self, form: BatchForm, batch: _Batch, state: BatchState) -> None:
        """Give each caller its reply. Replies that nobody waits for go to the journal."""
        path = self._folder.results(batch.record.token)
        lines = await self._downloaded(form, batch.record, state)
        with path.open("rb") as file:
            for number, request in enumerate(batch.record.requests):
                outcome = None
                if found := lines.get(request.key):
                    file.seek(found.start)
                    outcome = form.outcome(file.read(found.length))
                if self._out.get(request.key) is batch:  # a caller that comes later finds it in the journal, or sends it again
                    del self._out[request.key]
                self._hand(batch, request, outcome, state)
                if number % 64 == 63:
                    await asyncio.sleep(0)
        path.unlink(missing_ok=True)
        self._fetched.append(batch)

    async def _downloaded(self, form: BatchForm, record: SentBatch, state: BatchState) -> dict[str, _Line]:
        """Downloads the results to a file; returns where each request's is. Damaged results are downloaded again."""
        path = self._folder.results(record.token)
        for tries in range(DOWNLOADS):
            store.private_file(path)
            path.write_bytes(b"")
            for source in state.results:
                await self._http.download(source, path)
                with path.open("ab") as file:
                    file.write(b"\n")
            lines, damaged = _indexed(form, path, record)
            if not damaged and len(lines) >= min(len(record.requests), state.done + state.failed):
                break
            if tries + 1 < DOWNLOADS:
                await asyncio.sleep(min(self._poll, 2.0 * (tries + 1)))
        if damaged:
            progress.say(
                f"{self._http.where}: batch {record.id}: {damaged} lines of its results are damaged; their requests are sent again"
            )
        return lines

    def _hand(self, batch: _Batch, of: BatchedRequest, outcome: BatchOutcome | None, state: BatchState) -> None:
        """Give the reply, or the failure, to the callers of one request; without a caller, record the reply."""
        callers = [one for one in batch.waiting.pop(of.key, []) if not one.reply.done()]
        for one in callers:
            try:
                reply = self._read(batch.record, of, one.request, outcome, state)
            except FAILURES as error:
                one.reply.set_exception(error)
                continue
            if not reply.stopped:
                batch.good.add(of.key)
            one.reply.set_result(reply)
        if callers or outcome is None or outcome.status != 200 or self._cache.recorded(of.key):
            return
        try:
            reply = self._read(batch.record, of, of.request(), outcome, state)
        except FAILURES:
            return
        self._cache.record(of.key, reply, of.request())

    def _read(self, record: SentBatch, of: BatchedRequest, request: Request, outcome: BatchOutcome | None, state: BatchState) -> Reply:
        """The reply in a result. Raises as HttpChat.read, but never EndpointRefused: a batch is not sent more slowly."""
        if state.cancelled and (outcome is None or outcome.why == "cancelled"):
            problem = f"batch {record.id} was cancelled there; replies that came are kept"
            raise EndpointError(f"{self._http.where}: {problem}; run again to send the other requests")
        if outcome is None or outcome.status == 0:
            why = "its batch expired before it was answered" if state.expired else "its batch ended without a reply to it"
            raise TryFailed(why, retry_after=0.0)
        raw = mask_bytes(outcome.body, by=REMOVED if outcome.status == 200 else MASK)
        try:
            reply = self._direct.read(request, Received(outcome.status, {}, raw), record.dialect, seconds=0.0, prompt=of.prompt)
        except EndpointRefused as error:
            raise TryFailed(str(error), retry_after=0.0) from None
        except TryFailed as error:  # all that failed are sent again at the same time, as one batch
            error.retry_after = 0.0
            raise
        return reply._replace(batched=True)

    def _sweep(self) -> None:
        """Remove the records of fetched batches when the journal has all their replies."""
        for batch in list(self._fetched):
            if all(self._cache.recorded(key) for key in batch.good):
                self._folder.forget(batch.record.token)
                self._fetched.remove(batch)


def _by_key(given: dict[str, list[_Waiting]] | None = None) -> defaultdict[str, list[_Waiting]]:
    return defaultdict(list, given or {})


def _fail(several: Iterable[list[_Waiting]], error: BaseException) -> None:
    for one in [one for waiting in several for one in waiting]:
        if not one.reply.done():
            one.reply.set_exception(error)


def _indexed(form: BatchForm, path: Path, record: SentBatch) -> tuple[dict[str, _Line], int]:
    """Where the result of each request is in a file, and the number of damaged lines. Of several results, a reply counts before errors."""
    keys, found, damaged, start = {request.key for request in record.requests}, dict[str, _Line](), 0, 0
    with path.open("rb") as file:
        for line in file:
            outcome = form.outcome(line) if line.strip() else None
            if outcome is None:
                damaged += bool(line.strip())
            elif outcome.key in keys:
                good = outcome.status == 200
                if outcome.key not in found or (good and not found[outcome.key].good):
                    found[outcome.key] = _Line(start, len(line), good)
            start += len(line)
    return found, damaged


def where_of(role: Role, name: str, url: Url) -> str:
    """The place of a batch in its record: role, model and URL, without credentials."""
    return f"{role}: {name} at {url}"


@asynccontextmanager
async def batch_chat(
    direct: HttpChat, cache: BudgetedCache, *, role: Role, model: Model, name: str, url: str, settings: Settings, transport: Transport
) -> AsyncIterator[BatchChat]:
    """Yields the chat that sends `direct`'s requests by batches; with the transport `direct`, only fetches batches that were sent before.

    Raises BadSettings for a temperature that Anthropic's API does not take.
    """
    address = Url(url)
    where = where_of(role, name, address)
    form = BatchFolder(settings.home).of(where)[0].form if transport == "direct" else form_of(transport, address)
    _check_temperature(role, model, form)
    async with batch_http(address, headers_of(role, address, settings, form), role=role, settings=settings) as http:
        chat = BatchChat(direct, http, form, cache, role=role, where=where, settings=settings, submits=transport != "direct")
        async with chat:
            yield chat


async def check_batches(role: Role, model: Model, settings: Settings) -> None:
    """Lists one batch of the role's endpoint. No batch is sent, so nothing is paid.

    Raises BadSettings for a temperature that the API does not take, and EndpointError for a refused key, for an endpoint without a batch
    API, or if nothing is answered in time.
    """
    address = settings.url(role)
    form = form_of(settings.transport(role), address)
    _check_temperature(role, model, form)
    async with batch_http(address, headers_of(role, address, settings, form), role=role, settings=settings) as http:
        try:
            page = await http.ask("GET", FORMS[form].path, query={"limit": "1"})
        except BatchRefused as refused:
            raise _refusal(http, "the list of batches", refused) from None
        if not isinstance(page.get("data"), list):
            problem = f"its reply to GET {FORMS[form].path} is no list of batches, so it has no batch API in {NAMES[form]}"
            raise EndpointError(f"{http.where}: {problem}; fix: {_direct(http)}")


def form_of(transport: Transport, address: Url) -> Form:
    """The form of a transport other than `direct`: with `batch`, Anthropic's at its own host and OpenAI's elsewhere."""
    if transport == "batch":
        host = urlsplit(address).hostname or ""
        return "anthropic" if host == "anthropic.com" or host.endswith(".anthropic.com") else "openai"
    return "openai" if transport == "openai_batch" else "anthropic"


def _check_temperature(role: Role, model: Model, form: Form) -> None:
    if form == "anthropic" and model.temperature > 1:
        raise BadSettings(
            f"models.{role}.temperature is {model.temperature:g}, and Anthropic's API takes 0 to 1; set it, or another transport"
        )


def _refusal(http: BatchHttp, what: str, refused: BatchRefused) -> EndpointError:
    """The error for a lasting refusal."""
    if refused.status in WITHOUT:
        return EndpointError(f"{http.where}: {refused}, it has no batch API; fix: {_direct(http)}, or correct {http.variable}_URL")
    return EndpointError(f"{http.where}: {what}: {refused}; fix: {_direct(http)}")


def _direct(http: BatchHttp) -> str:
    return f"{http.variable}_TRANSPORT=direct sends requests one by one"


def headers_of(role: Role, address: Url, settings: Settings, form: Form) -> dict[str, str]:
    """The headers with the role's key, in the way of the form."""
    known = authorization(role, address, settings)
    if form == "openai":
        return known
    bearer = known.get("Authorization", "")
    key = {"x-api-key": bearer.removeprefix("Bearer ")} if bearer.startswith("Bearer ") else known
    return {"anthropic-version": VERSION, **key}


def has_sent(role: Role, name: str, url: Url, home: Path) -> bool:
    """Whether batches of a role wait to be fetched."""
    return bool(BatchFolder(home).of(where_of(role, name, url)))
