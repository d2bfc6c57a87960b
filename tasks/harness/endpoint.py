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
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, cast

import aiohttp
import yarl
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

from tasks import progress, store
from tasks.endpoints import refusals, wire
from tasks.endpoints.completion import ErrorInside, Unreadable, check_error, read_message
from tasks.endpoints.failures import EndpointRefused, TryFailed
from tasks.endpoints.transport import AGAIN, OVERLOADED, by_cause, client_session
from tasks.harness.job import AUTHORIZATION, QUERY, HarnessJob, Refused
from tasks.schema.errors import EndpointError
from tasks.schema.finish import Finish, finish_of
from tasks.schema.records import ModelConfig
from tasks.schema.redaction import MASK, REMOVED, mask_bytes
from tasks.schema.settings import PREFIX
from tasks.schema.urls import Url

FOR_ALL = (401, 402, 404, 405, 407)  # statuses that say nothing about the question: the key, the account or the address is wrong
MOST_REFUSED = 0.1  # share of a task's questions that may be refused, and at least one
NONE_ANSWERED = 8  # requests refused before any is answered: then the endpoint refuses all
PAUSE = 2.0  # seconds between tries while the endpoint refuses all requests
LONGEST_PAUSE = 10.0  # seconds of back-off after a request that failed on its own
LARGEST = 2**26  # bytes of a reply; the log-probabilities of a long text are some megabytes
SEED = 1234  # the harness's default
CONTEXT = 2048  # tokens; the harness's default for a checkpoint that does not state its context
NO_LOGPROBS = (
    "; its answers are weighed by log-probabilities, which vLLM serves (LONGWRITER_SERVER=vllm), or name a task that asks for text"
)


class QuestionUnanswered(Exception):
    """The endpoint cannot answer the questions, or not in the required form; the message says why."""


class _QuestionRefused(QuestionUnanswered):
    """The endpoint does not answer this question; it may answer others. `fix` is for when it answers none."""

    def __init__(self, problem: str, *, fix: str = ""):
        self.fix = fix
        super().__init__(problem)


class RefusedText(str):
    """In the place of a refused text: the reason. It never reaches a score."""


class RefusedWeight(tuple[float, bool]):
    """In the place of the log-probability of a refused answer, with the reason. It never reaches a score."""

    reason: str


class _Strict:
    """Mixin placed before a harness client: sends its requests with this project's retries, patience and progress bar.

    `refused` has the questions that the endpoint refused so far. The caller must leave them out of the scores.
    """

    def keep_to(self, job: HarnessJob, *, label: str) -> None:
        self._label, self._job = label, job
        self.refused: dict[tuple[str, int], Refused] = {}
        self._most = 0  # requests that may be refused

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        return self._noted(requests, cast(Any, super()).generate_until)

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return self._noted(requests, cast(Any, super()).loglikelihood)

    def _noted(self, requests: Sequence[Any], ask: Callable[..., list[Any]]) -> list[Any]:
        """The answers to the harness's requests, with a placeholder for each refused one. Raises QuestionUnanswered for too many."""
        questions = {(request.task_name, request.doc_id) for request in requests}
        allowed = max(1, int(MOST_REFUSED * len(questions)))
        self._most = allowed * -(-len(requests) // max(1, len(questions)))  # a question with four options is four requests
        answers = []
        for request, answer in zip(requests, ask(requests, disable_tqdm=True), strict=True):
            if isinstance(answer, RefusedText | RefusedWeight):
                reason = str(answer) if isinstance(answer, RefusedText) else answer.reason
                refused = Refused(task=str(request.task_name), question=int(request.doc_id), reason=reason)
                self.refused.setdefault((refused.task, refused.question), refused)
                answer = "" if isinstance(answer, RefusedText) else (0.0, False)
            answers.append(answer)
        if len(self.refused) > allowed:
            raise _too_many(len(self.refused), of=len(questions), reason=next(iter(self.refused.values())).reason)
        return answers

    async def get_batched_requests(self, requests: Any, cache_keys: Any, *, ctxlens: Any = None, **rest: Any) -> list[Any]:
        """Returns a list with one answer for each request, in order; `RefusedText` or `RefusedWeight` where the endpoint refused.

        Raises QuestionUnanswered if the endpoint answers none or refuses too many, and cancels the others.
        """
        own, limit, answered, refused = cast(Any, self), asyncio.Semaphore(self._job.concurrency), 0, 0
        with redirect_stderr(sys.__stderr__), progress.bar(total=len(requests), unit="answer", label=self._label) as bar:
            async with client_session(Url(own.base_url), _headers(own.header), seconds=own.timeout) as session:

                async def one(request: Any, length: int | None) -> list[Any]:
                    nonlocal answered, refused
                    async with limit:
                        try:
                            answer, answered = await self._one(session, request, length, **rest), answered + 1
                        except _QuestionRefused as error:
                            refused += 1
                            if not answered and refused >= min(NONE_ANSWERED, len(requests)):
                                raise QuestionUnanswered(f"{error}{error.fix}") from None
                            if refused > max(1, self._most):
                                raise _too_many(refused, of=len(requests), reason=str(error)) from None
                            answer = [_placeholder(str(error), generate=rest.get("generate", True))]
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
            except EndpointError as error:
                raise QuestionUnanswered(str(error)) from None
            except TryFailed as failed:
                refused = isinstance(failed, EndpointRefused)
                failures += not refused
                if failures > self._job.retries or (refused and time.monotonic() - begun >= self._job.patience):
                    # Refused for the whole patience: the endpoint is down. Otherwise this question fails, and others may be answered.
                    raise (QuestionUnanswered if refused else _QuestionRefused)(str(failed)) from None
                pause = PAUSE if refused else min(LONGEST_PAUSE, 2.0 ** (failures - 1))
                if failed.retry_after is not None:
                    pause = min(failed.retry_after, self._job.patience)
            await asyncio.sleep(pause)

    async def _asked(self, session: aiohttp.ClientSession, payload: dict[str, object]) -> dict[str, object]:
        url = cast(Any, self).base_url
        with by_cause(f"candidate at {wire.shown(url)}", f"{PREFIX}CANDIDATE", reached=True):
            async with session.post(_address(url), json=payload, allow_redirects=False) as response:
                status, read = response.status, await wire.read(response, at_most=LARGEST)
        if read is None:
            raise TryFailed(f"the answer is over the size limit, {LARGEST:,} bytes")
        raw, wait = mask_bytes(read, by=REMOVED if status == 200 else MASK), wire.retry_after(response.headers)
        if status != 200:
            raise _refused(status, refusals.message(raw), payload, wait)
        try:
            outputs = json.loads(raw)
            check_error(outputs)
            return dict(outputs) if outputs["choices"] else outputs["no choice"]
        except ErrorInside as error:
            raise _refused(error.status or 500, f"an error in a 200: {error}", payload, wait) from None
        except (ValueError, LookupError, TypeError):
            raise TryFailed("200 with a body that is no completion; check the URL, it should end in /v1") from None


def _refused(status: int, said: str, payload: dict[str, object], retry_after: float | None) -> Exception:
    """The exception for a refusal: permanent for this question, or temporary."""
    problem = f"{status}: {refusals.shown(said)}"
    if status < 500 and status not in (*OVERLOADED, *AGAIN):
        fix = _fix_for(status, weighs="logprobs" in payload)
        return QuestionUnanswered(problem + fix) if status < 400 or status in FOR_ALL else _QuestionRefused(problem, fix=fix)
    return (EndpointRefused if status in OVERLOADED else TryFailed)(problem, retry_after=retry_after)


def _too_many(refused: int, *, of: int, reason: str) -> QuestionUnanswered:
    return QuestionUnanswered(f"it refused {refused} of {of} requests, such as: {reason}; at most {MOST_REFUSED:.0%} may be refused")


def _placeholder(reason: str, *, generate: bool) -> RefusedText | RefusedWeight:
    if generate:
        return RefusedText(reason)
    weight = RefusedWeight((0.0, False))
    weight.reason = reason
    return weight


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
    """The answers of a completion of either API, without thoughts. An answer without content is empty.

    Raises QuestionUnanswered for a body that is no completion, also if the endpoint's content filter left nothing of the answer.
    """
    try:
        found = [
            read_message(choice["message"]).text if "message" in choice else str(choice["text"] or "") for choice in outputs["choices"]
        ]
        filtered = any(finish_of(choice.get("finish_reason")) is Finish.FILTERED for choice in outputs["choices"])
    except (LookupError, TypeError, AttributeError):
        raise QuestionUnanswered("200 with a body that is no completion; check the URL, it should end in /v1") from None
    except Unreadable as error:
        raise QuestionUnanswered(f"200, and {error}") from None
    if filtered and not any(found):
        raise _QuestionRefused("200: the endpoint's content filter removed the answer")
    return found


def _check_weights(outputs: dict[str, Any], *, tokens: int) -> None:
    """Raises QuestionUnanswered unless every prompt token, and the one generated after them, has a log-probability."""
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
