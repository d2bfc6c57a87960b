"""Requests that go by batches, over real HTTP: rounds, states, partial failures, expiry, lost connections, kills, and what is paid."""

import asyncio
import os
import shutil
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tasks.endpoints import openai_api
from tasks.endpoints.batch_forms import completion_of, messages_request
from tasks.endpoints.batch_records import FOLDER
from tasks.endpoints.chat import Reply, Request, user
from tasks.endpoints.ledger import RoleTotals
from tasks.endpoints.replay import JOURNAL, Paid, read_journal
from tasks.endpoints.roles import open_role
from tasks.schema.errors import BadSettings, EndpointError, SpendCapReached, Unanswered
from tasks.schema.params import Model
from tasks.schema.settings import settings
from tasks.text.live_checks import Watch
from tests.conftest import ROOT
from tests.tasks.endpoints.batch_server import BatchServer, Body, Faults, completion, until

MODEL = Model(name="m", revision="1", temperature=1.0, max_tokens=100)
FORMS = pytest.mark.parametrize("form", ["openai_batch", "anthropic_batch"])
PROMPTS = [f"Name loaf {number}." for number in range(6)]
Results = list[Reply | BaseException]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_BATCH_GATHER", "0.03")
    monkeypatch.setenv("LONGWRITER_BATCH_POLL", "0.02")
    monkeypatch.setenv("LONGWRITER_RETRIES", "2")
    monkeypatch.setenv("LONGWRITER_PRICES", '{"m": {"prompt": 100, "completion": 1000}}')
    monkeypatch.setattr(openai_api, "_dialects", {})


def use(monkeypatch: pytest.MonkeyPatch, url: str, transport: str, **more: str) -> None:
    """These settings from now on, for teacher and judge."""
    for role in ("TEACHER", "JUDGE"):
        monkeypatch.setenv(f"LONGWRITER_{role}_URL", url)
        monkeypatch.setenv(f"LONGWRITER_{role}_TRANSPORT", transport)
    for name, value in more.items():
        monkeypatch.setenv(f"LONGWRITER_{name}", value)
    settings.cache_clear()


class Ran:
    """The results of one process's requests."""

    def __init__(self, results: Results, account: RoleTotals):
        self.results, self.account = results, account

    @property
    def texts(self) -> list[str]:
        return [one.text if isinstance(one, Reply) else f"{type(one).__name__}: {one}" for one in self.results]


async def ask(requests: Iterable[Request], *, model: Model = MODEL, seed: int | None = None) -> Ran:
    async with open_role("teacher", model, seed=seed) as chat:
        results = await asyncio.gather(*map(chat, requests), return_exceptions=True)
        return Ran(results, chat.account)


def serve(server: BatchServer, go: Callable[[str], Awaitable[Any]]) -> Any:
    async def all_of_it() -> Any:
        async with server.running() as url:
            return await go(url)

    return asyncio.run(all_of_it())


def asked(server: BatchServer, monkeypatch: pytest.MonkeyPatch, form: str, *requests: Request, **more: str) -> Ran:
    async def go(url: str) -> Ran:
        use(monkeypatch, url, form, **more)
        return await ask(requests)

    found: Ran = serve(server, go)
    return found


def lines() -> list[Paid]:
    return list(read_journal(settings().home / JOURNAL))


def records() -> list[Path]:
    return sorted((settings().home / FOLDER).glob("*"))


def expected(prompts: Iterable[str]) -> list[str]:
    return [completion({"messages": [{"content": prompt}]})["choices"][0]["message"]["content"] for prompt in prompts]


REQUESTS = [user(prompt) for prompt in PROMPTS]


@FORMS
def test_requests_that_wait_become_one_batch_at_half_price(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer()
    ran = asked(server, monkeypatch, form, *REQUESTS)
    assert ran.texts == expected(PROMPTS)
    assert len(server.batches) == 1
    assert not server.direct
    assert [line.batched for line in lines()] == [True] * 6
    prompt = 20
    assert ran.account.dollars == pytest.approx(6 * (prompt * 100 + 10 * 1000) / 1e6 / 2)
    assert ran.account.batched == 6
    assert records() == [], "fetched batches leave nothing behind"


@FORMS
def test_a_rerun_pays_nothing_and_a_run_may_switch_the_transport(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer()

    async def go(url: str) -> list[Ran]:
        use(monkeypatch, url, "direct")
        first = await ask(REQUESTS[:3])
        use(monkeypatch, url, form)
        both = [first, await ask(REQUESTS)]
        use(monkeypatch, url, "direct")
        return [*both, await ask(REQUESTS)]

    direct, mixed, again = serve(server, go)
    assert direct.texts == expected(PROMPTS[:3])
    assert mixed.texts == again.texts == expected(PROMPTS)
    assert (len(server.direct), len(server.ran)) == (3, 3)
    assert len(lines()) == 6


def test_a_request_of_a_batch_is_that_of_the_direct_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
    requests = [user("Plan it.", sample=4, schema=schema), user("Write it.", sample=2)]
    server = BatchServer()

    async def go(url: str) -> None:
        for transport in ("direct", "openai_batch"):
            use(monkeypatch, url, transport, HOME=str(settings().home.parent / transport))
            await ask(requests, seed=7)

    serve(server, go)
    assert sorted(map(str, server.direct)) == sorted(map(str, server.ran))
    assert server.ran[0]["seed"] == 11 or server.ran[1]["seed"] == 11


def test_anthropics_form_has_system_schema_and_tokens_in_its_own_fields() -> None:
    schema = {"type": "object"}
    body: Body = {
        "model": "m",
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 3,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}},
    }
    assert messages_request(body) == {
        "model": "m",
        "max_tokens": 9,
        "temperature": 0.5,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Go."}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }
    usage = {"input_tokens": 7, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1, "output_tokens": 4}
    found = completion_of({"content": [{"type": "text", "text": "Yes."}], "stop_reason": "max_tokens", "usage": usage})
    assert found["usage"] == {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}
    assert found["choices"][0]["finish_reason"] == "max_tokens"


def test_an_anthropic_endpoint_gets_its_own_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(key="sk-ant-0123456789abcdef")
    ran = asked(server, monkeypatch, "anthropic_batch", *REQUESTS[:1], TEACHER_API_KEY="sk-ant-0123456789abcdef")
    assert ran.texts == expected(PROMPTS[:1])
    assert all(headers["x-api-key"] == "sk-ant-0123456789abcdef" and "anthropic-version" in headers for headers in server.headers)
    with pytest.raises(BadSettings, match="0 to 1"):
        serve(BatchServer(), lambda url: _hot(url, monkeypatch))


async def _hot(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, url, "anthropic_batch", TEACHER_API_KEY="")
    await ask(REQUESTS, model=MODEL.model_copy(update={"temperature": 1.2}))


FAULTS = {
    "429, 500 and 503 before anything is accepted": Faults(limited=2, broken=1, uploads=1),
    "the connection is lost after the batch was accepted": Faults(lost=1),
    "the list of batches is late": Faults(lost=1, hidden=2),
    "states that cannot be had for a while": Faults(away=3),
    "torn results": Faults(torn=2),
    "each result twice, and one of a stranger": Faults(doubled=True),
}


@FORMS
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_costs_no_reply_and_nothing_is_run_twice(form: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "anthropic_batch" and "late" in name:
        pytest.skip("these batches are recognised by their ids, which a list has at once")
    server = BatchServer(Faults(**vars(FAULTS[name])))
    ran = asked(server, monkeypatch, form, *REQUESTS)
    assert ran.texts == expected(PROMPTS)
    assert set(server.times.values()) == {1}, "nothing is run twice"
    assert len(lines()) == 6
    assert records() == []


@FORMS
def test_requests_that_fail_are_sent_again_and_the_others_are_not(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def result(body: Body, times: int) -> tuple[int, Body] | None:
        prompt = body["messages"][-1]["content"]
        if prompt == PROMPTS[1] and times == 1:
            return 500, {"error": {"message": "something broke", "type": "server_error"}}
        if prompt == PROMPTS[2] and times <= 2:
            return 429, {"error": {"message": "slow down", "type": "rate_limit_error"}}
        if prompt == PROMPTS[3]:
            return 400, {"error": {"message": "the prompt is too long", "type": "invalid_request_error"}}
        return None

    server = BatchServer(Faults(result=result))
    ran = asked(server, monkeypatch, form, *REQUESTS)
    assert [text for number, text in enumerate(ran.texts) if number != 3] == expected(PROMPTS[:3] + PROMPTS[4:])
    assert isinstance(ran.results[3], Unanswered)
    assert "too long" in str(ran.results[3])
    assert sorted(server.times.values()) == [1, 1, 1, 1, 2, 3]


@FORMS
def test_after_expiry_only_what_is_missing_is_sent_again(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(Faults(expired=1))
    ran = asked(server, monkeypatch, form, *REQUESTS)
    assert ran.texts == expected(PROMPTS)
    assert [len(batch.requests) for batch in server.batches.values()] == [6, 3]
    assert set(server.times.values()) == {1}


@FORMS
def test_a_batch_that_was_cancelled_stops_the_run_and_its_replies_are_kept(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(Faults(cancelled=1))

    async def go(url: str) -> tuple[Ran, Ran]:
        use(monkeypatch, url, form)
        return await ask(REQUESTS), await ask(REQUESTS)

    first, second = serve(server, go)
    assert [isinstance(one, EndpointError) for one in first.results] == [False, False, False, True, True, True]
    assert "was cancelled" in str(first.results[3])
    assert second.texts == expected(PROMPTS)
    assert set(server.times.values()) == {1}


def test_a_batch_whose_check_refuses_single_requests_is_sent_again_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(Faults(refused=lambda body: "max_tokens is wrong" if body["messages"][-1]["content"] == PROMPTS[4] else ""))
    ran = asked(server, monkeypatch, "openai_batch", *REQUESTS)
    assert isinstance(ran.results[4], Unanswered)
    assert ran.texts[:4] == expected(PROMPTS[:4])
    assert [len(batch.requests) for batch in server.batches.values()] == [6, 5]


def test_more_tokens_than_may_wait_are_sent_in_smaller_batches_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(Faults(most=2))
    ran = asked(server, monkeypatch, "openai_batch", *REQUESTS)
    assert ran.texts == expected(PROMPTS)
    assert all(len(batch.requests) <= 2 for batch in server.batches.values() if batch.counts["done"])
    assert set(server.times.values()) == {1}


@FORMS
def test_batches_keep_the_providers_limits(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.endpoints import batching

    kind = batching.FORMS["openai" if form == "openai_batch" else "anthropic"]
    monkeypatch.setattr(kind, "requests", 4)
    monkeypatch.setattr(kind, "size", 1200)
    server = BatchServer()
    ran = asked(server, monkeypatch, form, *REQUESTS, user("x" * 1500))
    assert ran.texts == expected([*PROMPTS, "x" * 1500])
    assert all(len(batch.requests) <= 4 for batch in server.batches.values())
    assert len(server.batches) >= 3
    assert set(server.times.values()) == {1}


MOMENTS = ["uploaded", "created", "asked", "downloaded"]


@FORMS
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("transport", ["batch", "direct"])
def test_a_process_that_ends_at_any_moment_pays_nothing_twice(
    form: str, moment: str, transport: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The workspace as it is on disk at that moment is what the next process finds."""
    if (form, moment) == ("anthropic_batch", "uploaded"):
        pytest.skip("this form has no upload")
    copy = tmp_path / "copy"

    def at(step: str) -> None:
        if step == moment and not copy.exists():
            shutil.copytree(settings().home, copy)

    server = BatchServer(Faults(at=at))

    async def go(url: str) -> Ran:
        use(monkeypatch, url, form)
        await ask(REQUESTS[:5])
        use(monkeypatch, url, form if transport == "batch" else "direct", HOME=str(copy))
        return await ask(REQUESTS[1:])

    ran = serve(server, go)
    assert ran.texts == expected(PROMPTS[1:])
    accepted = moment != "uploaded"
    first = next(iter(server.batches.values()))
    assert server.times[first.requests[0][0]] == 1
    if accepted:  # the new request alone is sent, and the reply that nobody asked for is in the journal too
        assert [len(batch.requests) for batch in server.batches.values()] == ([5, 1] if transport == "batch" else [5])
        assert len(server.direct) == (0 if transport == "batch" else 1)
        assert len(lines()) == 6
    assert records() == []


CLIENT = """
import asyncio, sys
from tasks.endpoints.chat import user
from tasks.endpoints.roles import open_role
from tasks.schema.params import Model
async def go():
    async with open_role("teacher", Model(name="m", revision="1", temperature=1.0, max_tokens=100)) as chat:
        for reply in await asyncio.gather(*(chat(user(f"Name loaf {n}.")) for n in range(6))):
            print(reply.text)
asyncio.run(go())
"""


@pytest.mark.slow
def test_a_process_killed_after_it_sent_a_batch_is_followed_by_one_that_fetches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(Faults(polls=10**9))

    async def go(url: str) -> str:
        use(monkeypatch, url, "batch")
        words = [sys.executable, "-c", CLIENT]
        first = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=os.environ.copy(), stderr=asyncio.subprocess.DEVNULL)
        await until(lambda: any(batch.polls for batch in server.batches.values()))
        first.send_signal(signal.SIGKILL)
        await first.wait()
        server.faults.polls = 1
        pipe = asyncio.subprocess.PIPE
        second = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=os.environ.copy(), stdout=pipe, stderr=pipe)
        out, err = await second.communicate()
        assert second.returncode == 0, err.decode()
        assert "was sent" in err.decode()
        return out.decode()

    assert serve(server, go).splitlines() == expected(PROMPTS)
    assert len(server.batches) == 1
    assert records() == []


@FORMS
def test_the_spend_cap_stops_the_run_before_a_batch_is_sent(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer()

    async def go(url: str) -> None:
        use(monkeypatch, url, form, SPEND_CAP="0.2")
        async with open_role("teacher", MODEL) as chat, asyncio.TaskGroup() as group:
            for request in REQUESTS:
                group.create_task(chat(request))

    with pytest.raises(ExceptionGroup) as raised:
        serve(server, go)
    assert raised.group_contains(SpendCapReached)
    assert not server.batches
    assert records() == []


def test_half_of_the_price_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    # 6 requests of at most 100 tokens: $0.6 directly, $0.3 by a batch, and a few cents for the prompts
    ran = asked(BatchServer(), monkeypatch, "openai_batch", *REQUESTS, SPEND_CAP="0.4")
    assert ran.texts == expected(PROMPTS)


def test_equal_requests_are_sent_once_and_a_reply_is_checked_as_a_stream_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = "He knew that it was the only thing that he could do. " * 100

    def result(body: Body, times: int) -> tuple[int, Body] | None:
        found = completion(body)
        found["choices"][0]["message"]["content"] = loop
        return 200, found

    server = BatchServer(Faults(result=result))
    watched = user("Go.")._replace(watch=Watch("en", 200))
    ran = asked(server, monkeypatch, "openai_batch", user("Go."), user("Go."), watched)
    plain, same, stopped = ran.results
    assert isinstance(plain, Reply)
    assert isinstance(same, Reply)
    assert isinstance(stopped, Reply)
    assert plain.text == same.text
    assert stopped.stopped
    assert stopped.stopped.cause == "loop"
    assert [len(batch.requests) for batch in server.batches.values()] == [1]


def test_what_the_endpoint_refuses_of_a_form_is_left_out_of_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def result(body: Body, times: int) -> tuple[int, Body] | None:
        if "output_config" in body:
            return 400, {"error": {"message": "output_config: Extra inputs are not permitted"}}
        return None

    server = BatchServer(Faults(result=result))
    ran = asked(server, monkeypatch, "anthropic_batch", user("Plan.", schema={"type": "object"}))
    assert "JSON schema" in ran.texts[0]
    assert len(server.batches) == 2


@pytest.mark.parametrize(
    ("server", "more", "said"),
    [
        (BatchServer(batches=False), {}, "no batch API; fix: LONGWRITER_TEACHER_TRANSPORT=direct"),
        (BatchServer(key="another"), {}, "401, the key was refused; set LONGWRITER_TEACHER_API_KEY"),
        (BatchServer(Faults(limited=10**6)), {"PATIENCE": "0.2"}, "LONGWRITER_PATIENCE, 0.2 s; run again later"),
    ],
)
@FORMS
def test_an_endpoint_that_takes_no_batch_is_one_clear_line(
    form: str, server: BatchServer, more: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = asked(server, monkeypatch, form, *REQUESTS, **more)
    assert all(isinstance(one, EndpointError) for one in ran.results)
    assert said in str(ran.results[0])


def test_a_certificate_that_is_not_trusted_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
    certificate = made.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem, kind = tmp_path / "server.pem", serialization.Encoding.PEM
    pem.write_bytes(key.private_bytes(kind, *plain) + certificate.public_bytes(kind))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def go() -> Ran:
        listening = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        async with listening:
            use(monkeypatch, f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", "openai_batch")
            return await ask(REQUESTS[:1])

    (error,) = asyncio.run(go()).results
    assert isinstance(error, EndpointError)
    assert "its TLS certificate is not trusted" in str(error)


def test_batches_need_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "", "batch")
    with pytest.raises(BadSettings, match="LONGWRITER_TEACHER_TRANSPORT is batch, and LONGWRITER_TEACHER_URL is not set"):
        asyncio.run(ask(REQUESTS))


@FORMS
def test_a_batch_that_is_not_known_any_more_is_sent_again(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(Faults(forgotten=1))
    assert asked(server, monkeypatch, form, *REQUESTS).texts == expected(PROMPTS)
    assert len(server.batches) == 2


def test_rounds_of_chains_are_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five chains of three requests each, as drafts are written: three batches of five."""
    server = BatchServer()

    async def go(url: str) -> None:
        use(monkeypatch, url, "openai_batch")
        async with open_role("teacher", MODEL) as chat:

            async def chain(name: str) -> None:
                text = name
                for _ in range(3):
                    text = (await chat(user(text))).text

            await asyncio.gather(*(chain(f"chain {number}") for number in range(5)))

    serve(server, go)
    assert [len(batch.requests) for batch in server.batches.values()] == [5, 5, 5]
