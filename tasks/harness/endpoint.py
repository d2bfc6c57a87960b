"""The harness's clients of an endpoint, made strict: what is no answer is never taken for one.

The harness itself counts a malformed reply as an empty answer, and takes a server that leaves `echo` aside for one that finds every
answer equally likely. It gives up on a server that is being started again, and asks eight times what was refused for good.
Imported by the process that measures alone: lm_eval takes seconds.
"""

import asyncio
import copy
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, cast

import aiohttp
import yarl
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

from tasks import progress, store
from tasks.endpoints import refusals
from tasks.endpoints.completion import ErrorInside, Unreadable, check_error, read_message
from tasks.harness.job import AUTHORIZATION, QUERY, Job
from tasks.schema.records import ModelConfig
from tasks.schema.redaction import redact

OVERLOADED = (429, 503, 529)
AGAIN = (408, 425)  # and all from 500
PAUSE = 2.0  # seconds between questions to an endpoint that refuses everybody
LONGEST_PAUSE = 10.0  # seconds after a request that failed on its own
SEED = 1234  # the harness's own
CONTEXT = 2048  # tokens, the harness's own, for a checkpoint that does not say
NO_LOGPROBS = (
    "; its answers are weighed by log-probabilities, which vLLM serves (LONGWRITER_SERVER=vllm), or name a task that asks for text"
)


class Unanswered(Exception):
    """The endpoint cannot answer, or not with what was asked for: why."""


class _Failed(Exception):
    """One request came to nothing. `refused`: others would too, for now."""

    def __init__(self, problem: str, *, refused: bool = False):
        self.refused = refused
        super().__init__(problem)


class _Strict:
    """Before a client of the harness in its bases: its requests, with this project's patience, and its bar."""

    def keep_to(self, job: Job, *, label: str) -> None:
        self._label, self._at_once, self._retries, self._patience = label, job.concurrency, job.retries, job.patience

    async def get_batched_requests(self, requests: Any, cache_keys: Any, *, ctxlens: Any = None, **rest: Any) -> list[Any]:
        """A list of one answer for each request, in their order. Raises Unanswered when one cannot be had, and lets the others be."""
        own, limit = cast(Any, self), asyncio.Semaphore(self._at_once)
        with redirect_stderr(sys.__stderr__), progress.bar(total=len(requests), unit="answer", label=self._label) as bar:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=own.timeout)) as session:

                async def one(request: Any, length: int | None) -> list[Any]:
                    async with limit:
                        answer = await self._one(session, request, length, **rest)
                    bar.update()
                    return answer

                lengths = ctxlens or [None] * len(requests)
                asked = [asyncio.create_task(one(*pair)) for pair in zip(requests, lengths, strict=True)]
                try:
                    return await asyncio.gather(*asked)
                finally:
                    for task in asked:
                        task.cancel()
                    await asyncio.gather(*asked, return_exceptions=True)

    async def _one(self, session: Any, request: Any, length: int | None, *, generate: bool = True, gen_kwargs: Any = None) -> list[Any]:
        own, options = cast(Any, self), copy.deepcopy(gen_kwargs)  # which are emptied on the way
        payload = own._create_payload(own.create_message([request]), generate=generate, gen_kwargs=options, seed=SEED)
        outputs = await self._answer(session, payload)
        if generate:
            return _texts(outputs)
        _check_weights(outputs, tokens=len(request))
        return list(own.parse_logprobs(outputs=outputs, tokens=[request], ctxlens=[length]))

    async def _answer(self, session: aiohttp.ClientSession, payload: dict[str, Any]) -> dict[str, Any]:
        begun, failures = time.monotonic(), 0
        while True:
            try:
                return await self._asked(session, payload)
            except _Failed as failed:
                failures += not failed.refused
                if failures > self._retries or (failed.refused and time.monotonic() - begun >= self._patience):
                    raise Unanswered(str(failed)) from None
                pause = PAUSE if failed.refused else min(LONGEST_PAUSE, 2.0 ** (failures - 1))
            await asyncio.sleep(pause)

    async def _asked(self, session: aiohttp.ClientSession, payload: dict[str, Any]) -> dict[str, Any]:
        own = cast(Any, self)
        try:
            async with session.post(_address(own.base_url), json=payload, headers=_headers(own.header), allow_redirects=False) as response:
                status, raw = response.status, await response.read()
        except TimeoutError:
            raise _Failed(f"no answer within {own.timeout} s") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _Failed(f"cannot connect: {redact(str(error)) or type(error).__name__}", refused=True) from None
        if status != 200:
            raise _refused(status, refusals.message(raw), payload)
        try:
            outputs = json.loads(raw)
            check_error(outputs)
            return dict(outputs) if outputs["choices"] else outputs["no choice"]
        except ErrorInside as error:
            raise _refused(error.status or 500, f"an error in a 200: {error}", payload) from None
        except (ValueError, LookupError, TypeError):
            raise _Failed("200 with a body that is no completion; check the URL, it should end in /v1") from None


def _refused(status: int, said: str, payload: dict[str, Any]) -> Exception:
    """What a refusal means: of this question alone, or one that may pass."""
    problem = f"{status}: {refusals.shown(said)}"
    if status < 500 and status not in (*OVERLOADED, *AGAIN):
        return Unanswered(problem + _fix_for(status, weighs="logprobs" in payload))
    return _Failed(problem, refused=status in OVERLOADED)


def _address(url: str) -> yarl.URL:
    query = os.environ.get(QUERY)
    return yarl.URL(f"{url}?{query}" if query else url, encoded=True)


def _headers(own: Mapping[str, str]) -> dict[str, str]:
    """The harness's, with the credentials that came in the URL in place of its key."""
    credentials = os.environ.get(AUTHORIZATION)
    return {**own, "Authorization": credentials} if credentials else dict(own)


class _Chat(_Strict, LocalChatCompletion):
    """For tasks that ask for text: the chat template is the server's."""


class _Completions(_Strict, LocalCompletionsAPI):
    """For tasks that weigh given answers."""


def client(job: Job, *, chats: bool, label: str) -> _Chat | _Completions:
    """The harness's model for a job."""
    # Two at a time at least, as far as the harness knows: for one it goes another way, without any of the above.
    shared = {"model": job.model, "num_concurrent": max(2, job.concurrency), "timeout": max(1, int(job.timeout)), "seed": SEED}
    base = job.url.rstrip("/")
    made: _Chat | _Completions
    if chats:
        made = _Chat(base_url=f"{base}/chat/completions", tokenizer_backend=None, tokenized_requests=False, **shared)
    else:
        made = _Completions(
            base_url=f"{base}/completions",
            tokenizer=str(job.checkpoint),
            tokenizer_backend="huggingface",
            add_bos_token=True,  # where the tokenizer has one and puts it first by itself, as in training
            max_length=context_of(job.checkpoint),
            **shared,
        )
    made.keep_to(job, label=label)
    return made


def context_of(checkpoint: Path) -> int:
    """Tokens that the checkpoint can read; longer questions lose their beginning."""
    path = checkpoint / "config.json"
    context = store.read_document(path, ModelConfig).max_position_embeddings if path.is_file() else None
    return context if context and context > 1 else CONTEXT


def _texts(outputs: dict[str, Any]) -> list[str]:
    """The answers of a completion of either kind, without thoughts; one without content is empty."""
    try:
        return [read_message(choice["message"]).text if "message" in choice else str(choice["text"] or "") for choice in outputs["choices"]]
    except (LookupError, TypeError, AttributeError):
        raise Unanswered("200 with a body that is no completion; check the URL, it should end in /v1") from None
    except Unreadable as error:
        raise Unanswered(f"200, and {error}") from None


def _check_weights(outputs: dict[str, Any], *, tokens: int) -> None:
    """Raises Unanswered unless there is a log-probability of each of the prompt's own tokens, and of the one written after them."""
    try:
        weights = outputs["choices"][0]["logprobs"]["token_logprobs"]
        complete = len(weights) == len(outputs["choices"][0]["logprobs"]["top_logprobs"]) == tokens + 1 and None not in weights[1:]
    except (LookupError, TypeError):
        complete = False
    if not complete:
        raise Unanswered(f"no log-probabilities of the prompt's own tokens{NO_LOGPROBS}")


def _fix_for(status: int, *, weighs: bool) -> str:
    if status in (401, 403):
        return "; set LONGWRITER_CANDIDATE_API_KEY"
    return NO_LOGPROBS if weighs else ""
