"""Secrets are masked before text is shortened, stored or shown, in every spelling; other text is not changed."""

import asyncio
import base64
import copy
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tasks.endpoints.chat import user
from tasks.endpoints.roles import only_model, open_role
from tasks.schema.errors import BadSettings, PipelineError, SecretInReply
from tasks.schema.params import Model
from tasks.schema.redaction import MASK, REMOVED, mask, redact, split_url
from tasks.schema.settings import settings
from tasks.schema.urls import Url
from tests.canaries import canary, hits
from tests.tasks.judging.endpoint import serving
from tests.web import served_app

MODEL = Model(name="some-model", revision="1", temperature=1.0, max_tokens=1000)
KEY = canary("judge/key+") + '/"\\'  # with characters that JSON and URLs spell in other ways
PASSWORD, TOKEN = canary("password"), canary("token")
ANSWER: dict[str, object] = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rye."}}]}


def ask(text: str = "Name a loaf.") -> str:
    async def go() -> str:
        async with open_role("judge", MODEL) as chat:
            return (await chat(user(text))).text

    return asyncio.run(go())


def says(
    status: int, body: str | dict[str, object], headers: dict[str, str] | None = None
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def complete(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)

    return complete


def answer(content: object = "Rye.", **choice: object) -> dict[str, object]:
    message = {"role": "assistant", "content": content}
    return {"model": KEY, "id": KEY, "choices": [{"index": 0, "finish_reason": "stop", "message": message} | choice]}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_JUDGE_API_KEY", KEY)
    monkeypatch.setenv("LONGWRITER_RETRIES", "0")
    monkeypatch.setenv("LONGWRITER_PATIENCE", "0")


LONG = "x" * 185  # a message is cut at 200 characters, in the middle of what follows
ECHOES = [
    says(400, {"error": {"message": f"bad key {KEY}"}}),
    says(400, {"error": {"message": f"{LONG}{KEY}"}}),
    says(400, {"message": f"{LONG}{KEY}"}),
    says(400, f"<html>{LONG}{KEY}</html>"),
    says(401, {"error": f"Authorization: Bearer {KEY}"}),
    says(403, {"detail": f"{quote(KEY, safe='')} may not do that"}),
    says(429, {"error": {"message": f"{LONG}{KEY}"}}, {"Retry-After": KEY}),
    says(500, {"error": {"message": base64.b64encode(KEY.encode()).decode()}}),
    says(302, "", {"Location": f"https://host/{quote(KEY, safe='')}/v1?key={quote(KEY, safe='')}"}),
    says(200, answer(finish_reason=KEY)),
    says(200, {"error": {"message": f"{LONG}{KEY}", "code": 400}}),
    says(200, f"{KEY} is no completion"),
    says(200, answer() | {"usage": {"prompt_tokens": KEY}}),
    says(200, answer(f"My key is {KEY}.")),
    says(200, answer([{"type": "text", "text": f"My key is {KEY}."}])),
    says(200, json.dumps(answer(f"My key is {KEY}.")).replace("/", "\\/")),
    says(200, json.dumps(answer("My key is KEY.")).replace("KEY.", "".join(f"\\u{ord(letter):04x}" for letter in KEY))),
]


@pytest.mark.parametrize("number", range(len(ECHOES)))
def test_a_key_that_an_endpoint_sends_back_is_neither_stored_nor_shown(
    number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(ECHOES[number]):
        try:
            said = ask()
        except PipelineError as error:
            said = f"{error!r} {error}"
    shown = said + "".join(capfd.readouterr())
    for piece in (KEY, KEY[:20], KEY[-20:], quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode()):
        assert piece not in shown
    assert hits(tmp_path, re.compile(re.escape(KEY[:20]).encode())) == []


def test_an_answer_with_the_key_in_it_is_kept_masked_and_used_on_no_run(tmp_path: Path) -> None:
    asked = 0

    async def complete(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response(answer(f"Rye. The key is {KEY}, by the way."))

    with serving(complete):
        for _ in range(2):
            with pytest.raises(SecretInReply, match="contains a key or password"):
                ask()
    assert asked == 1
    assert REMOVED in (tmp_path / "home" / "replay.jsonl").read_text()


def test_an_ordinary_answer_is_kept_to_the_letter() -> None:
    text = "He wrote user:password@host, Bearer tokens, sk-abcdefghijklmnopqrstuvwx, https://a:b@c.org/?key=1 and ***."
    with serving(says(200, answer(text))):
        assert ask() == text


@pytest.mark.parametrize("stand_in", ["EMPTY", "none", "not-needed", "unused", "password", "longwriter", "secret"])
def test_a_key_that_is_a_word_is_not_looked_for_in_answers(stand_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_JUDGE_API_KEY", stand_in)
    with serving(says(200, answer(f"The {stand_in} is one."))):
        assert ask() == f"The {stand_in} is one."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host:8000/v1?api_key=abc&x=1", f"https://{MASK}@host:8000/v1?api_key={MASK}&x=1"),
        ("see https://token@host/v1.", f"see https://{MASK}@host/v1."),
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {MASK}"),
        ("sk-proj-0123456789abcdefghij", f"sk-{MASK}"),
        ("nothing of the kind: a@b.org, x?y=z", "nothing of the kind: a@b.org, x?y=z"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_masked_in_messages(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_two_secrets_that_begin_alike_are_both_masked_whole() -> None:
    one, other = "service-key-2026-aaaa1111bbbb", "service-key-2026-cccc2222dddd"
    split_url(f"http://:{one}@host/v1"), split_url(f"http://:{other}@host/v1")
    assert mask(f"{one} {other} {one[:-4]} {other[:-4]}") == " ".join([MASK] * 4)


@given(st.text(), st.text(), st.integers(0, 60))
def test_a_long_secret_is_masked_wherever_it_is_and_however_it_was_cut(before: str, after: str, cut: int) -> None:
    secret = "k3y-9f8e7d6c5b4a39281706f5e4d3c2b1a0"
    split_url(f"http://:{secret}@host/v1")
    kept = secret[: max(16, len(secret) - cut)]
    assert kept not in mask(f"{before}{kept} {after}")


@pytest.mark.parametrize(
    ("given", "shown", "info"),
    [
        ("https://me:p%40ss@host:8000/v1?api_key=1#x", "https://host:8000/v1", "me:p@ss"),
        ("https://me:p@ss@host/v1", "https://host/v1", "me:p@ss"),
        ("https://me:p/ss?x@host/v1", "https://host/v1", "me:p/ss?x"),
        ("HTTPS://token@host/v1", "https://host/v1", "token"),
        ("http:/me:pass@host/v1", "http:/host/v1", "me:pass"),
        ("me:pass@host/v1", "host/v1", "me:pass"),
        ("postgresql://me:pass@host/runs?sslmode=require", "postgresql://host/runs", "me:pass"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1", ""),
        ("http://host/v1/user@example", "http://host/v1/user@example", ""),
        ("models:/longwriter@challenger", "models:/longwriter@challenger", ""),
        ("data/a:b/c?d#e@f", "data/a:b/c?d#e@f", ""),
        ("sqlite:////home/me/runs.db", "sqlite:////home/me/runs.db", ""),
        ("", "", ""),
    ],
)
def test_a_url_is_split_from_its_credentials_and_other_text_is_left_alone(given: str, shown: str, info: str) -> None:
    url = Url(given)
    assert (str(url), url.user_info.get_secret_value(), url.full.get_secret_value()) == (shown, info, given)
    assert copy.deepcopy(url).full == url.full
    assert Url(url) is url


@given(st.text())
def test_any_text_can_be_asked_whether_it_is_a_url(text: str) -> None:
    assert isinstance(Url(text).is_http, bool)


def basic(request: web.Request) -> str:
    return base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()


def test_credentials_in_a_url_are_sent_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, str]] = []

    async def complete(request: web.Request) -> web.Response:
        seen.append((basic(request), request.query_string))
        return web.json_response(
            ANSWER if len(seen) == 1 else {"error": {"message": f"{PASSWORD} {TOKEN}"}}, status=200 if len(seen) == 1 else 400
        )

    monkeypatch.delenv("LONGWRITER_JUDGE_API_KEY")
    with serving(complete):
        url = str(settings().judge_url)
        monkeypatch.setenv("LONGWRITER_JUDGE_URL", f"{url.replace('://', f'://me:{PASSWORD}@')}?api_key={TOKEN}&version=2")
        settings.cache_clear()
        assert ask() == "Rye."
        with pytest.raises(PipelineError) as error:
            ask("Another loaf.")
        assert settings().judge_url == url
        assert PASSWORD not in f"{settings()!r}{settings().model_dump()}{settings().model_dump_json()}"
    assert seen == [(f"me:{PASSWORD}", f"api_key={TOKEN}&version=2")] * 2
    shown = f"{error.value}" + "".join(capfd.readouterr())
    assert PASSWORD not in shown
    assert TOKEN not in shown
    assert hits(tmp_path, re.compile(f"{PASSWORD}|{TOKEN}".encode())) == []


def test_a_candidates_url_is_asked_for_its_models_with_its_credentials() -> None:
    async def go() -> tuple[str, str]:
        sent = []

        async def models(request: web.Request) -> web.Response:
            sent.append(basic(request))
            return web.json_response({"data": [{"id": "loaf"}]})

        application = web.Application()
        application.router.add_get("/v1/models", models)
        async with served_app(application) as url:
            url = url.replace("http://", f"http://me:{PASSWORD}@")
            return await only_model(url, settings().api_key("candidate")), sent[0]

    assert asyncio.run(go()) == ("loaf", f"me:{PASSWORD}")


def test_a_url_with_credentials_and_a_key_beside_it_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_JUDGE_URL", f"http://me:{PASSWORD}@127.0.0.1:9/v1")
    with pytest.raises(BadSettings, match="only one can be sent") as error:
        ask()
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize("name", ["STORE", "CHECKPOINT_STORE", "S3_ENDPOINT"])
def test_credentials_in_the_address_of_a_bucket_are_refused_without_being_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"LONGWRITER_{name}", f"s3://me:{PASSWORD}@bucket/x")
    with pytest.raises(BadSettings, match=f"LONGWRITER_{name}: .*set AWS_ACCESS_KEY_ID") as error:
        settings()
    assert PASSWORD not in str(error.value)


def test_a_key_pasted_with_its_line_end_is_sent_without_it_and_one_that_cannot_be_sent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_JUDGE_API_KEY", f"{TOKEN}\n")
    with serving(says(200, ANSWER)):
        assert ask() == "Rye."
    for name in ("LONGWRITER_JUDGE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv("LONGWRITER_JUDGE_API_KEY", raising=False)
        monkeypatch.setenv(name, f"{TOKEN}\n{TOKEN}")
        settings.cache_clear()
        with serving(says(200, ANSWER)), pytest.raises(BadSettings, match=f"{name}: .*line end") as error:
            ask("Another loaf.")
        assert TOKEN not in str(error.value)
