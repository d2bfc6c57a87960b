"""From a role to a Chat: who answers is decided here, by settings, and by nothing else.

A URL in the settings wins. Without one, a model named rehearsal-* is answered by the rehearsal endpoint, and a checkpoint is
served by the pipeline itself. Around every one of them goes the replay store.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.paid_once import PaidOnce
from tasks.endpoints.replay import ReplayStore
from tasks.schema.errors import BadSettings
from tasks.schema.params import Model
from tasks.schema.settings import PREFIX, Role, settings
from tasks.store import folder_digest

JOURNAL = "replay.jsonl"  # under settings.home


@asynccontextmanager
async def open_role(role: Role, model: Model, *, seed: int | None = None, checkpoint: Path | None = None) -> AsyncIterator[PaidOnce]:
    """The role's Chat for as long as the block lasts; servers that had to be started end with it.

    `seed` is sent along (plus the sample index); `checkpoint` is a model folder to serve when no URL is set. Raises
    BadSettings when nobody can answer for the role.
    """
    own = settings()
    async with AsyncExitStack() as stack:
        store = ReplayStore(own.home / JOURNAL)
        stack.callback(store.close)
        url, name = await _find(role, model, checkpoint, stack)
        client = await stack.enter_async_context(openai_chat(role, url, model, own, name=name, seed=seed))
        yield PaidOnce(client, store, role=role, identity=_identity(model, seed, checkpoint), settings=own)


async def _find(role: Role, model: Model, checkpoint: Path | None, stack: AsyncExitStack) -> tuple[str, str]:
    own = settings()
    if own.url(role):
        return own.url(role), model.name
    if model.name.startswith("rehearsal-"):
        from tasks.endpoints.rehearsal import Switches, rehearsal_server

        return await stack.enter_async_context(rehearsal_server(Switches(latency=own.rehearsal_latency))), model.name
    if checkpoint is not None:
        from tasks.endpoints.server import model_server

        return await stack.enter_async_context(model_server(checkpoint, own)), str(checkpoint)
    variable = f"{PREFIX}{role.upper()}_URL"
    raise BadSettings(f"models.{role}.name is {model.name}, and nobody serves it; set {variable} to an OpenAI-compatible URL")


def _identity(model: Model, seed: int | None, checkpoint: Path | None) -> dict[str, Any]:
    return {
        "model": model.name,
        "revision": model.revision,
        "temperature": model.temperature,
        "max_tokens": model.max_tokens,
        "seed": seed,
        "checkpoint": folder_digest(checkpoint) if checkpoint else None,
    }
