"""Opens a role's Chat: cached(retrying(budgeted(http))) around the endpoint that the settings name.

A URL given by the caller is used first, then the URL in the settings. Without a URL, a model named rehearsal-* is answered by the
rehearsal endpoint, and a checkpoint is served by the pipeline.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import aiohttp
import yarl
from pydantic import SecretStr

from tasks.endpoints import wire
from tasks.endpoints.batching import batch_chat, has_sent
from tasks.endpoints.budgeted import BudgetedCache, BudgetedChat
from tasks.endpoints.cached import CachedChat
from tasks.endpoints.openai_api import authorization, http_chat
from tasks.endpoints.replay import JOURNAL, journal
from tasks.endpoints.retrying import RetryingChat
from tasks.endpoints.streaming import Listener
from tasks.endpoints.thoughts import shown
from tasks.endpoints.transport import client_session
from tasks.models.local import is_local, local_folder
from tasks.schema.errors import BadSettings, EndpointError
from tasks.schema.params import Model
from tasks.schema.redaction import mask_bytes, redact
from tasks.schema.settings import PREFIX, Role, Settings, Transport, settings
from tasks.schema.urls import Url
from tasks.store import digest, folder_digest

LISTED = 2**20  # size limit of a list of models, in bytes
ANSWER_TIME = 30.0  # timeout of the list of models, in seconds


class Answering(NamedTuple):
    """The endpoint of a role."""

    url: str
    name: str  # of the model at this endpoint
    api_key: SecretStr | None = None  # None: use the role's key
    up: bool = False
    slots: int | None = None  # requests that the server answers at once; None: not known


@asynccontextmanager
async def open_role(
    role: Role,
    model: Model,
    *,
    seed: int | None = None,
    checkpoint: Path | None = None,
    url: str | None = None,
    listener: Listener | None = None,
    transport: Transport | None = None,
    server: Literal["transformers", "vllm", "llamacpp"] | None = None,
) -> AsyncIterator[CachedChat]:
    """Yields the role's Chat during the block; servers that were started for it end with the block. Several roles may be open at once.

    `seed` plus the sample index is sent with each request. `checkpoint` is a model folder, or a GGUF file for llama.cpp, to serve when no
    URL is set. `url` replaces the URL in the settings. With a `listener`, replies are streamed to it. `transport` replaces the settings'
    one; a listener needs the direct one. `server` serves the checkpoint, whatever server and URL the settings name. Raises BadSettings if
    no endpoint is configured for the role.
    """
    own = settings().at(role, url) if url else settings()
    if server:
        own = own.at(role, "").model_copy(update={"server": server})
    if checkpoint is None and not own.url(role) and is_local(model.name):
        checkpoint = Path(local_folder(model.name))  # its digest is part of the identity
    async with AsyncExitStack() as stack:
        store = stack.enter_context(journal(own.home / JOURNAL))
        batches = _transport(role, model.name, own, transport) if listener is None else None
        there = await _find(role, model, checkpoint, own, stack)
        if there.slots:  # more requests would wait at the server, and their timeouts would run
            own = own.model_copy(update={"concurrency": min(own.concurrency, there.slots)})
        sends = batches not in (None, "direct")
        identity = _identity(model, seed, checkpoint)
        cache = BudgetedCache(store, role=role, model=model, identity=identity, settings=own, batched=sends)
        http = await stack.enter_async_context(
            http_chat(role, there.url, model, own, name=there.name, seed=seed, api_key=there.api_key, up=there.up, listener=listener)
        )
        budgeted = direct = await stack.enter_async_context(BudgetedChat(http, cache))
        if batches:
            batching = await stack.enter_async_context(
                batch_chat(http, cache, role=role, model=model, name=there.name, url=there.url, settings=own, transport=batches)
            )
            budgeted = await stack.enter_async_context(BudgetedChat(batching, cache))
            stack.callback(batching.close)  # before the end of the calls: nothing more is sent, and nobody waits for hours
        retrying = RetryingChat(
            budgeted,
            role,
            where=http.where,
            max_tokens=model.max_tokens,
            settings=own,
            account=cache.account,
            batched=sends,
            probed=direct,
        )
        yield CachedChat(retrying, cache)


def _transport(role: Role, name: str, own: Settings, given: Transport | None) -> Transport | None:
    """How the role's requests are sent, if batches are part of it; None otherwise.

    `direct`: requests go directly, but batches that were sent before are fetched.
    """
    transport = given or own.transport(role)
    if transport != "direct":
        if not own.url(role):
            variable = f"{PREFIX}{role.upper()}"
            raise BadSettings(f"{variable}_TRANSPORT is {transport}, and {variable}_URL is not set; batches need an endpoint that has them")
        return transport
    if given or not own.url(role) or not has_sent(role, name, own.url(role), own.home):
        return None
    return "direct"


async def _find(role: Role, model: Model, checkpoint: Path | None, own: Settings, stack: AsyncExitStack) -> Answering:
    if own.url(role):
        return Answering(own.url(role), model.name)
    if model.name.startswith("rehearsal-"):
        from tasks.rehearsal.endpoint import Switches, rehearsal_server

        url = await stack.enter_async_context(rehearsal_server(Switches(latency=own.rehearsal_latency)))
        return Answering(url, model.name)
    if checkpoint is None and is_local(model.name):
        checkpoint = Path(local_folder(model.name))
    if checkpoint is not None:
        from tasks.endpoints.server import model_server

        served = await stack.enter_async_context(model_server(checkpoint, own))
        return Answering(served.url, served.name, served.api_key, up=True, slots=served.slots)
    variable = f"{PREFIX}{role.upper()}_URL"
    raise BadSettings(f"models.{role}.name is {model.name}, which has no endpoint; set {variable} to an OpenAI-compatible URL")


async def only_model(url: str, key: SecretStr) -> str:
    """Returns the name of the only model at an endpoint. Raises BadSettings if there are several, EndpointError if the list cannot be
    read.
    """
    address = Url(url)
    if not address.is_http:
        raise BadSettings("the candidate's URL does not begin with http:// or https://; correct it")
    where = f"candidate at {wire.shown(url)}"
    credentials = authorization("candidate", address, settings(), api_key=None if address.basic else key)
    try:
        async with (
            client_session(address, credentials, seconds=ANSWER_TIME) as session,
            session.get(yarl.URL(address.under("models"), encoded=True), allow_redirects=False) as response,
        ):
            raw = await wire.read(response, at_most=LISTED)
    except TimeoutError:
        raise EndpointError(f"{where}: no list of models within {ANSWER_TIME:g} s; check the server") from None
    except (aiohttp.ClientError, ConnectionError) as error:
        raise EndpointError(f"{where}: cannot connect ({redact(str(error))}); start the server or correct the URL") from None
    if response.status in (401, 403):
        raise EndpointError(f"{where}: {response.status}, the key was refused; set {PREFIX}CANDIDATE_API_KEY")
    names = wire.model_names(mask_bytes(raw or b"")) if response.status == 200 else None
    if not names:
        problem = f"{response.status}, no list of models at /models"
        raise EndpointError(f"{where}: {problem}; check the URL, it should end in /v1, or name the model: --model NAME")
    if len(names) > 1:
        raise BadSettings(f"{where}: it serves {len(names)} models ({redact(', '.join(names))[:300]}); choose one with --model NAME")
    return names[0]


def checkpoint_digest(checkpoint: Path) -> str:
    """The digest by which answers name a served model folder or GGUF file."""
    return digest(checkpoint) if checkpoint.is_file() else folder_digest(checkpoint)


def _identity(model: Model, seed: int | None, checkpoint: Path | None) -> dict[str, str | int | float | None]:
    return {
        "model": model.name,
        "revision": model.revision,
        "temperature": model.temperature,
        "max_tokens": model.max_tokens,
        "seed": seed,
        **({"reasoning": shown(model.reasoning)} if model.reasoning is not None else {}),
        "checkpoint": checkpoint_digest(checkpoint) if checkpoint else None,
    }


@asynccontextmanager
async def endpoint_of(role: Role, model: Model, *, checkpoint: Path | None = None, url: str | None = None) -> AsyncIterator[Answering]:
    """Yields the role's endpoint for code that calls it directly: lm-evaluation-harness, and the check of a served model.

    The arguments are those of `open_role`; an empty `url` ignores the URL in the settings.
    """
    own = settings() if url is None else settings().at(role, url)
    async with AsyncExitStack() as stack:
        yield await _find(role, model, checkpoint, own, stack)
