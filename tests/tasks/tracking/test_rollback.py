"""Aliases move all together or not at all, and a rollback restores the previous champion, on a real SQLite store with failures."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from mlflow import MlflowClient
from tasks.schema.errors import BadInput, EndpointError
from tasks.tracking import alias_moves, registry, turn
from tasks.tracking.alias_moves import plan_rollback
from tasks.tracking.client import connect, names
from tasks.tracking.gate import Axis, Decision
from tasks.tracking.rollback import allow, refuse, roll_back
from tasks.tracking.transaction import Changes
from tests.conftest import ROOT

WRITES = (
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
    "delete_model_version_tag",
    "update_model_version",
)


SERVED = {"served": "2000 of 2000 words"}


@pytest.fixture(autouse=True)
def home(mlflow_home: Path) -> Path:
    """Five versions, each with weights of its own folder."""
    client = connect()
    client.create_registered_model(names().model)
    for number in range(1, 6):
        folder = mlflow_home / "files" / str(number)
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights")
        client.create_model_version(names().model, source=folder.as_uri())
    return mlflow_home


def decision(version: str, *, wins: bool = True, before: str | None = None) -> Decision:
    axes = (Axis(name="s_bar", value=70.0, bound=50.0, passed=wins),)
    alias = "champion" if wins else "challenger"
    runs = {"training_run": "t", "evaluation_run": f"e{version}"}
    said = {"version": version, "model": "student", "alias": alias, "passed": wins, "reason": f"because {version}"}
    return Decision(axes=axes, champion_before=before, **said, **runs)  # type: ignore[arg-type]


def decided(version: str) -> None:
    """What the stage promote does about a version that passes the gate."""
    registry.apply(registry.version(version), decision(version, before=registry.holders().get("champion")), tags={"s_bar": "70.0"})


def promote(version: str, *, wins: bool = True) -> None:
    before = registry.holders().get("champion")
    registry.apply(registry.version(version), decision(version, wins=wins, before=before), tags={"s_bar": "70.0"})
    if wins:
        registry.make_champion(version, tags=SERVED)


def state() -> tuple[dict[str, str], list[tuple[str, str, dict[str, str]]]]:
    """All that the registry says: aliases, and each version's description and tags."""
    versions = connect().search_model_versions(f"name = '{names().model}'")
    return registry.holders(), sorted((str(one.version), one.description or "", dict(one.tags)) for one in versions)


def failing_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """The store's client fails at the n-th write, once, before or after carrying it out in turn; the writes that were made."""
    made: list[str] = []

    def failing(name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            made.append(name)
            if len(made) != number:
                return write(*arguments, **named)
            if number % 2:
                write(*arguments, **named)  # carried out, and the answer is lost
            raise MlflowException("the line is dead\nand more lines")

        return call

    for name in WRITES:
        monkeypatch.setattr(MlflowClient, name, failing(name, getattr(MlflowClient, name)))
    return made


def error_of(change: Callable[[], object], kind: type[Exception] = EndpointError) -> str | None:
    try:
        change()
    except kind as error:
        return str(error)
    return None


def every_failure(change: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """`change` with a store that fails at each of its writes in turn: everything stays as it was. The number of its writes."""
    before = state()
    for number in range(1, 100):
        with monkeypatch.context() as patch:
            made = failing_at(patch, number)
            error = error_of(change)
        if error is None:
            return number - 1
        assert error == "MLflow: the line is dead; aliases and tags are as they were; run again when it works"
        assert state() == before, f"write {number}: {made}"
    raise AssertionError("it never ended")


@pytest.mark.integration
def test_a_promotion_that_fails_at_any_write_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    promote("1")
    promote("2")
    promote("3", wins=False)
    assert every_failure(lambda: decided("3"), monkeypatch) >= 5
    assert registry.holders() == {"champion": "2", "challenger": "3", "previous": "1"}, "it is champion once it has been served"
    assert every_failure(lambda: registry.make_champion("3", tags=SERVED), monkeypatch) >= 7
    assert registry.holders() == {"champion": "3", "previous": "2"}


def test_a_rollback_that_fails_at_any_write_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    promote("1")
    promote("2")
    promote("3", wins=False)
    assert every_failure(lambda: roll_back("it loops"), monkeypatch) >= 6
    assert registry.holders() == {"champion": "1", "challenger": "2"}


@pytest.mark.parametrize("alias", ["challenger", "champion", "previous"])
def test_a_store_that_refuses_one_alias_moves_none(home: Path, alias: str) -> None:
    promote("1")
    promote("2", wins=False)
    before = state()
    with sqlite3.connect(home / "mlflow.db") as database:
        for event in ("INSERT", "UPDATE", "DELETE"):
            row = "OLD" if event == "DELETE" else "NEW"
            database.execute(
                f"CREATE TRIGGER no_{event} BEFORE {event} ON registered_model_aliases WHEN {row}.alias = '{alias}' "
                "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
    with pytest.raises(EndpointError, match=r"^MLflow: .*the disk is full"):
        promote("2")
    assert state()[0] == before[0]
    with sqlite3.connect(home / "mlflow.db") as database:
        for event in ("INSERT", "UPDATE", "DELETE"):
            database.execute(f"DROP TRIGGER no_{event}")
    promote("2")
    assert registry.holders() == {"champion": "2", "previous": "1"}


def test_what_cannot_be_put_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    promote("1")
    broken: list[str] = []
    write = MlflowClient.set_registered_model_alias

    def dies_with_the_second(client: MlflowClient, name: str, alias: str, version: str) -> None:
        broken.append(alias)
        if len(broken) > 1:
            raise MlflowException("gone")
        write(client, name, alias, version)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", dies_with_the_second)
    with pytest.raises(EndpointError, match=r"^MLflow: gone; not put back are alias champion -> 1.*; run again when it works$"):
        promote("2")


@pytest.mark.integration
def test_an_interrupted_change_is_undone_too() -> None:
    promote("1")
    before = state()

    def interrupted() -> None:
        with Changes(connect(), names().model) as changes:
            changes.aliases({"champion": "2", "previous": "1", "challenger": None})
            changes.tags("1", {"a": "b", "s_bar": None})
            changes.describe("2", "text")
            assert registry.holders() == {"champion": "2", "previous": "1"}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert state() == before


def test_aliases_of_others_are_left_alone() -> None:
    connect().set_registered_model_alias(names().model, "production", "5")
    promote("1")
    promote("2")
    roll_back("")
    assert registry.holders() == {"champion": "1", "challenger": "2", "production": "5"}


def test_a_rollback_brings_the_champion_before_back_and_says_when_and_why_on_both() -> None:
    promote("1")
    promote("2")
    promote("3")
    assert registry.holders() == {"champion": "3", "previous": "2"}
    assert roll_back("it loops\nat length") == ("3", "2", "1")
    assert registry.holders() == {"champion": "2", "challenger": "3", "previous": "1"}
    fallen, restored = (connect().get_model_version(names().model, number) for number in ("3", "2"))
    assert fallen.tags["rolled_back"].endswith("Z: it loops at length")
    assert fallen.description.startswith("challenger: rolled back 2")
    assert fallen.description.endswith("it loops at length\n\nchampion: because 3")
    assert "after version 3, " in restored.tags["restored"]
    assert restored.description.startswith("champion again after version 3 was rolled back 2")
    assert roll_back("") == ("2", "1", None)
    assert registry.holders() == {"champion": "1", "challenger": "2"}
    assert "no reason given" in connect().get_model_version(names().model, "2").tags["rolled_back"]
    before = state()
    with pytest.raises(BadInput, match=r"models:/longwriter@champion: there is no champion before version 1; fix: promote another"):
        roll_back("once more")
    assert state() == before


def test_a_version_without_files_does_not_become_champion_again(home: Path) -> None:
    promote("1")
    promote("2")
    (home / "files/1/model.safetensors").unlink()
    before = state()
    with pytest.raises(BadInput, match=r"version 1 cannot be champion again: its weights are gone; fix: put its files back") as caught:
        roll_back("it loops")
    assert caught.value.exit_code == 2
    assert state() == before
    assert roll_back("cannot be served", to_nobody=True) == ("2", None, None), "nobody is champion rather than one that cannot be served"
    assert registry.holders() == {"challenger": "2"}


def test_a_champion_that_was_moved_by_hand_during_the_decision_is_decided_about_again() -> None:
    promote("1")
    compared = decision("2", before="1")
    connect().set_registered_model_alias(names().model, "champion", "3")
    before = state()
    with pytest.raises(registry.ChampionMoved, match="version 2 was compared with version 1, and version 3 is champion now; promote again"):
        registry.apply(registry.version("2"), compared, tags={})
    assert state() == before


@pytest.mark.integration
def test_two_processes_change_the_aliases_one_after_the_other_and_a_killed_one_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promote("1")
    promote("2")
    monkeypatch.setattr(turn, "LOOK", 0.05)
    code = "import sys; from tasks.tracking import turn\nwith turn.alone(): print('in', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "in\n"
        with monkeypatch.context() as patch:
            patch.setattr(turn, "WAIT", 0.5)
            with pytest.raises(EndpointError, match=r"others changed the aliases for 0\.5 s"):
                roll_back("")
        other.kill()
    assert roll_back("") == ("2", "1", None)
    assert "the process that changed the aliases is gone" in capsys.readouterr().err


def test_the_lock_of_another_machine_is_removed_after_a_time_without_change(monkeypatch: pytest.MonkeyPatch) -> None:
    promote("1")
    promote("2")
    connect().create_registered_model(f"{names().model}.lock", tags={"holder": "abcdef 1-1"})
    monkeypatch.setattr(turn, "PATIENCE", 0.2)
    monkeypatch.setattr(turn, "LOOK", 0.05)
    assert roll_back("") == ("2", "1", None)


def test_without_a_champion_there_is_nothing_to_roll_back() -> None:
    with pytest.raises(BadInput, match="there is no champion, so there is nothing to roll back"):
        roll_back("")


def test_a_first_champion_falls_to_nobody_only_where_that_is_said() -> None:
    promote("1")
    assert roll_back("cannot be served", to_nobody=True, tags={"served": "failed"}) == ("1", None, None)
    assert registry.holders() == {"challenger": "1"}
    assert registry.version("1").tags["served"] == "failed"
    assert allow("1")
    assert not allow("1")
    with pytest.raises(BadInput, match="models:/longwriter/9: no such version"):
        allow("9")


def test_two_that_took_each_others_place_do_not_come_back_in_turn() -> None:
    for version in ("1", "2", "1"):
        promote(version)
    assert registry.holders() == {"champion": "1", "previous": "2"}
    assert roll_back("") == ("1", "2", None)


def test_a_lost_previous_alias_is_found_by_the_tag() -> None:
    promote("1")
    promote("2")
    connect().delete_registered_model_alias(names().model, "previous")
    assert plan_rollback({"champion": "2"}, names().aliases, lambda number: registry.version(number).tags.get("champion_before")) == (
        "2",
        "1",
        None,
    )
    promote("2")  # repeated, it is put in its place again
    assert registry.holders()["champion"] == "2"
    assert roll_back("").champion == "1"


@pytest.mark.integration
def test_a_promotion_that_is_killed_at_any_write_is_completed_by_the_next_and_the_champion_was_always_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """kill -9 undoes nothing. Each call here is killed behind its first write."""
    promote("1")
    promote("2")
    promote("3", wins=False)
    decided("3")
    for _ in range(20):
        with monkeypatch.context() as patch:
            patch.setattr(Changes, "__exit__", lambda *_: None)
            failing_at(patch, 1)
            killed = error_of(lambda: registry.make_champion("3", tags=SERVED), MlflowException)
        assert registry.holders()["champion"] == "2" or registry.version("3").tags["served"] == SERVED["served"]
        if killed is None:
            break
    assert registry.holders() == {"champion": "3", "previous": "2"}
    assert not alias_moves.waits(registry.version("3").tags, "2")
    assert registry.version("3").tags["champion_before"] == "2"


def test_a_version_that_waits_to_be_served_is_nobodys_alias_and_keeps_its_time_while_the_champion_stays() -> None:
    promote("1")
    decided("2")
    since = registry.version("2").tags["candidate_since"]
    assert (
        connect().get_model_version(names().model, "2").description.startswith("passed the gate, becomes champion once it has been served")
    )
    decided("2")
    assert (registry.version("2").tags["candidate_since"], registry.holders()) == (since, {"champion": "1"})
    connect().set_registered_model_alias(names().model, "champion", "3")
    with pytest.raises(registry.ChampionMoved, match="version 2 was compared with version 1, and version 3 is champion now; promote again"):
        registry.make_champion("2", tags=SERVED)
    assert registry.holders() == {"champion": "3"}
    connect().set_registered_model_alias(names().model, "champion", "1")
    registry.make_champion("2", tags=SERVED)
    assert registry.holders() == {"champion": "2", "previous": "1"}
    assert connect().get_model_version(names().model, "2").description == "champion: because 2"


def test_of_two_versions_that_passed_against_the_same_champion_the_first_that_is_served_takes_its_place() -> None:
    promote("1")
    decided("2")
    decided("3")
    registry.make_champion("3", tags=SERVED)
    with pytest.raises(registry.ChampionMoved, match="version 2 was compared with version 1, and version 3 is champion now; promote again"):
        registry.make_champion("2", tags=SERVED)
    promote("2")
    assert registry.holders() == {"champion": "2", "previous": "3"}


def test_a_version_that_cannot_be_served_is_refused_and_blocked_until_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    promote("1")
    decided("2")
    assert every_failure(lambda: refuse("2", "it loops", tags={"served": "failed"}), monkeypatch) >= 5
    assert registry.holders() == {"champion": "1", "challenger": "2"}
    tags = registry.version("2").tags
    assert tags["rolled_back"].endswith(": it loops")
    assert "candidate_since" not in tags
    with pytest.raises(registry.ChampionMoved):
        registry.make_champion("2", tags=SERVED)
    assert allow("2")
    promote("2")
    assert refuse("2", "it loops now", tags={}) == ("2", "1", None), "a champion is rolled back"


def test_a_rollback_of_the_champion_ends_the_wait_of_those_that_were_compared_with_it() -> None:
    promote("1")
    promote("2")
    decided("3")
    roll_back("it loops")
    with pytest.raises(registry.ChampionMoved, match="version 3 was compared with version 2, and version 1 is champion now"):
        registry.make_champion("3", tags=SERVED)
