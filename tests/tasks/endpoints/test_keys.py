"""The key of a stored reply: everything that could change the reply causes a new request, and nothing else does."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tasks.endpoints.chat import Request, user
from tasks.endpoints.roles import open_role
from tasks.schema.params import Model
from tasks.schema.settings import settings
from tests.tasks.judging.endpoint import endpoint

MODEL = Model(name="some-model", revision="1", temperature=0.5, max_tokens=1024)
ASK = user("Write about bread.")


def ask(request: Request = ASK, *, role: Any = "judge", model: Model = MODEL, **own: Any) -> str:
    async def go() -> str:
        async with open_role(role, model, **own) as chat:
            return (await chat(request)).text

    return asyncio.run(go())


def checkpoint(folder: Path, weights: str) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_text(weights)
    return folder


@pytest.mark.parametrize(
    "changed",
    [
        {"model": MODEL.model_copy(update={"name": "other-model"})},
        {"model": MODEL.model_copy(update={"revision": "2"})},
        {"model": MODEL.model_copy(update={"temperature": 0.6})},
        {"model": MODEL.model_copy(update={"max_tokens": 1025})},
        {"model": MODEL.model_copy(update={"reasoning": "low"})},
        {"seed": 1},
        {"request": user("Write about bread. ")},
        {"request": user("Write about bread.", sample=1)},
        {"request": user("Write about bread.", schema={"type": "object"})},
        {"request": Request((*ASK.messages, *user("Go on.").messages))},
    ],
    ids=str,
)
def test_what_could_change_the_reply_asks_anew(changed: dict[str, Any]) -> None:
    with endpoint(lambda _: "Bread.") as bodies:
        ask(), ask(**changed), ask(), ask(**changed)
    assert len(bodies) == 2


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    one, same, other = (checkpoint(tmp_path / name, weights) for name, weights in (("a", "x"), ("b", "x"), ("c", "y")))
    with endpoint(lambda _: "Bread.", role="candidate") as bodies:
        for folder in (one, same, other, one):
            ask(role="candidate", checkpoint=folder)
    assert len(bodies) == 2


@pytest.mark.parametrize(
    "changed", ["CONCURRENCY=3", "TIMEOUT=9", "RETRIES=2", "PATIENCE=5", "JUDGE_API_KEY=k", "TRACES=0", "REQUESTS_PER_MINUTE=600"]
)
def test_where_and_how_fast_it_is_asked_changes_nothing(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(lambda _: "Bread.") as bodies:
        ask()
        name, _, value = changed.partition("=")
        monkeypatch.setenv(f"LONGWRITER_{name}", value)
        settings.cache_clear()
        assert ask() == "Bread."
    assert len(bodies) == 1


def test_another_url_and_how_urgent_a_request_is_change_nothing() -> None:
    with endpoint(lambda _: "Bread.") as bodies:
        ask()
    with endpoint(lambda _: "Cake.") as others:
        assert ask(ASK._replace(urgency=9.0, words=100)) == "Bread."
    assert (len(bodies), len(others)) == (1, 0)
