"""The registry's server is killed, or loses a reply, in the middle of promote: MLflow's real server behind a proxy that does it.

promote ends with one line, nothing is champion that was not served, and the same command again ends with one version, the right champion.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tasks.schema.errors import EndpointError
from tasks.schema.settings import settings
from tasks.tracking import client, registry, turn
from tests.tasks.promotions import aliases, candidate, run
from tests.tasks.tracking.registry_server import Fault, RegistryProxy, mlflow_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]  # the cheap part is in test_registry.py
CREATE, LOCK, TAG = "POST model-versions/create", "POST registered-models/create", "POST model-versions/set-tag"
ALIAS = "POST registered-models/alias"
MOMENTS: tuple[tuple[str, Fault, int], ...] = (
    ("POST runs/create", "dead after", 0),
    ("POST runs/log-batch", "dead", 1),
    ("PUT", "dead after", 0),  # a file of the model or of a run
    ("PATCH logged-models", "dead", 0),  # its files are there, and it is not finished
    (CREATE, "dead", 0),
    (CREATE, "dead after", 0),  # the version is made, and nobody knows
    (LOCK, "dead after", 0),  # the turn is taken
    (TAG, "dead after", 0),  # in the middle of the decision
    (TAG, "dead", 4),
)


@pytest.fixture
def proxy(mlflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryProxy]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    monkeypatch.setenv(client.RETRIES, "1")
    with mlflow_server(mlflow_home, monkeypatch) as url:
        found = RegistryProxy(url)
        monkeypatch.setenv("LONGWRITER_TRACKING_URI", found.url)
        settings.cache_clear()
        yield found
        found.close()


def dies(proxy: RegistryProxy, request: str, fault: Fault, number: int = 0) -> None:
    """The server dies at the `number`-th request that begins so, counted from now, before or after it is carried out."""
    before = count()

    def rule(one: str, _: int) -> Fault | None:
        return fault if one.startswith(request) and next(before) == number else None

    proxy.rule = rule


def test_a_lost_reply_makes_nothing_twice(proxy: RegistryProxy, tmp_path: Path) -> None:
    """Of each kind of request the first one is carried out, and its reply is lost; MLflow's client sends it again."""
    proxy.rule = lambda _, before: "lost" if before == 0 else None
    decision = run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    assert CREATE in proxy.seen
    assert [one.number for one in registry.versions()] == ["1"]
    assert (decision.version, aliases()) == ("1", {"champion": "1"})
    there = client.connect()
    begun = [client.experiment(there)]
    assert len(there.search_logged_models(begun)) == 1
    assert [run.info.status for run in there.search_runs(begun)] == ["FINISHED", "FINISHED"]
    assert [one.name for one in there.search_registered_models()] == [client.names().model], "nobody keeps the turn"


def test_a_server_killed_at_any_moment_leaves_nothing_that_a_repetition_does_not_complete(
    proxy: RegistryProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "PATIENCE", 0.05)  # the turn of a killed server's client is left: here the client lives
    monkeypatch.setattr(turn, "LOOK", 0.01)
    monkeypatch.setenv(client.RETRIES, "0")
    folder = candidate(tmp_path / "a", weights=b"1", s_bar=60.0)
    for moment in MOMENTS:
        dies(proxy, *moment)
        with pytest.raises(EndpointError, match=rf"^MLflow: .*no reply from {proxy.url.removeprefix('http://')} .*; run again") as caught:
            run(folder, served=False)
        assert "\n" not in str(caught.value)
        assert not (folder / "out/decision.json").exists()
        proxy.alive()
        assert aliases() == {}, moment
    assert run(folder, served=False).alias == "champion"
    assert [one.number for one in registry.versions()] == ["1"]
    assert aliases() == {}, "it was not served yet"
    served: tuple[tuple[str, Fault], ...] = ((TAG, "dead after"), (ALIAS, "dead"), (ALIAS, "dead after"))
    for request, fault in served:
        dies(proxy, request, fault)
        with pytest.raises(EndpointError, match=r"; not put back are .*; run again when it works"):
            registry.make_champion("1", tags={"served": "yes"})
        proxy.alive()
        assert aliases() == {} or registry.version("1").tags["served"] == "yes"
    registry.make_champion("1", tags={"served": "yes"})
    assert aliases() == {"champion": "1"}
    assert client.connect().get_model_version(client.names().model, "1").description.startswith("champion: all axes hold")
