"""The harness's endpoint clients, made strict: a reply that is no answer is never counted as one.

The harness counts a malformed reply as an empty answer. If a server ignores `echo`, it takes all answers as equally likely. It gives up on
a server that is restarting, and repeats a permanently refused request eight times. Import this only in the child process: lm_eval takes
seconds to import.
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
from tasks.harness.job import AUTHORIZATION, QUERY, HarnessJob
from tasks.schema.records import ModelConfig
from tasks.schema.redaction import redact

OVERLOADED = (429, 503, 529)
AGAIN = (408, 425)  # and all statuses from 500
PAUSE = 2.0  # seconds between tries while the endpoint refuses all requests
LONGEST_PAUSE = 10.0  # seconds of back-off after a request that failed on its own
SEED = 1234  # the harness's default
CONTEXT = 2048  # tokens; the harness's default for a checkpoint that does not state its context
NO_LOGPROBS = (
    "; its answers are weighed by log-probabilities, which vLLM serves (LONGWRITER_SERVER=vllm), or name a task that asks for text"
)


class QuestionUnanswered(Exception):
    """The endpoint cannot answer a question, or not in the required form; the message says why."""


class _Failed(Exception):
    """One request failed. `refused`: the endpoint refuses all requests for now."""

    def __init__(self, problem: str, *, refused: bool = False):
        self.refused = refused
        super().__init__(problem)


class _Strict:
    """Mixin placed before a harness client: sends its requests with this project's retries, patience and progress bar."""

    def keep_to(self, job: HarnessJob, *, label: str) -> None:
        self._label, self._at_once, self._retries, self._patience = label, job.concurrency, job.retries, job.patience

    async def get_batched_requests(self, requests: Any, cache_keys: Any, *, ctxlens: Any = None, **rest: Any) -> list[Any]:
        """Returns a list with one answer for each request, in order. Raises Unanswered if one fails, and cancels the others."""
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
        own, options = cast(Any, self), copy.deepcopy(gen_kwargs)  # the callee empties it
        payload = own._create_payload(own.create_message([request]), generate=generate, gen_kwargs=options, seed=SEED)
        outputs = await self._answer(session, payload)
        if generate:
            return _texts(outputs)
        _check_weights(outputs, tokens=len(request))
        return list(own.parse_logprobs(outputs=outputs, tokens=[request], ctxlens=[length]))

    async def _answer(self, session: aiohttp.ClientSession, payload: dict[str, object]) -> dict[str, object]:
        begun, failures = time.monotonic(), 0
        while True:
            try:
                return await self._asked(session, payload)
            except _Failed as failed:
                failures += not failed.refused
                if failures > self._retries or (failed.refused and time.monotonic() - begun >= self._patience):
                    raise QuestionUnanswered(str(failed)) from None
                pause = PAUSE if failed.refused else min(LONGEST_PAUSE, 2.0 ** (failures - 1))
            await asyncio.sleep(pause)

    async def _asked(self, session: aiohttp.ClientSession, payload: dict[str, object]) -> dict[str, object]:
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


def _refused(status: int, said: str, payload: dict[str, object]) -> Exception:
    """The exception for a refusal: permanent for this question, or temporary."""
    problem = f"{status}: {refusals.shown(said)}"
    if status < 500 and status not in (*OVERLOADED, *AGAIN):
        return QuestionUnanswered(problem + _fix_for(status, weighs="logprobs" in payload))
    return _Failed(problem, refused=status in OVERLOADED)


def _address(url: str) -> yarl.URL:
    query = os.environ.get(QUERY)
    return yarl.URL(f"{url}?{query}" if query else url, encoded=True)


def _headers(own: Mapping[str, str]) -> dict[str, str]:
    """The harness's headers. Credentials from the URL replace its key."""
    credentials = os.environ.get(AUTHORIZATION)
    return {**own, "Authorization": credentials} if credentials else dict(own)


class _Chat(_Strict, LocalChatCompletion):
    """For tasks that generate text, with the server's chat template."""


class _Completions(_Strict, LocalCompletionsAPI):
    """For tasks that score given answers."""


def client(job: HarnessJob, *, chats: bool, label: str) -> _Chat | _Completions:
    """Returns the harness's model for a job."""
    # Tell the harness at least two concurrent requests: for one it uses other code, without the methods above.
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
            add_bos_token=True,  # if the tokenizer adds one by default, as in training
            max_length=context_of(job.checkpoint),
            **shared,
        )
    made.keep_to(job, label=label)
    return made


def context_of(checkpoint: Path) -> int:
    """Returns the checkpoint's context in tokens. Longer questions are cut at their beginning."""
    path = checkpoint / "config.json"
    context = store.read_document(path, ModelConfig).max_position_embeddings if path.is_file() else None
    return context if context and context > 1 else CONTEXT


def _texts(outputs: dict[str, Any]) -> list[str]:
    """The answers of a completion of either API, without thoughts. An answer without content is empty."""
    try:
        return [read_message(choice["message"]).text if "message" in choice else str(choice["text"] or "") for choice in outputs["choices"]]
    except (LookupError, TypeError, AttributeError):
        raise QuestionUnanswered("200 with a body that is no completion; check the URL, it should end in /v1") from None
    except Unreadable as error:
        raise QuestionUnanswered(f"200, and {error}") from None


def _check_weights(outputs: dict[str, Any], *, tokens: int) -> None:
    """Raises Unanswered unless every prompt token, and the one generated after them, has a log-probability."""
    try:
        weights = outputs["choices"][0]["logprobs"]["token_logprobs"]
        complete = len(weights) == len(outputs["choices"][0]["logprobs"]["top_logprobs"]) == tokens + 1 and None not in weights[1:]
    except (LookupError, TypeError):
        complete = False
    if not complete:
        raise QuestionUnanswered(f"no log-probabilities of the prompt's own tokens{NO_LOGPROBS}")


def _fix_for(status: int, *, weighs: bool) -> str:
    if status in (401, 403):
        return "; set LONGWRITER_CANDIDATE_API_KEY"
    return NO_LOGPROBS if weighs else ""
