"""team.env has random secrets, is readable by its owner only, is never overwritten, and is refused if incomplete."""

import stat
import subprocess
from pathlib import Path

import pytest

from infra.team import environment
from tasks.schema.errors import BadInput


def test_it_is_written_once_for_its_owner_alone() -> None:
    values = environment.ensure()
    assert stat.S_IMODE(environment.path().stat().st_mode) == 0o600
    assert environment.ensure() == values


def test_two_back_ends_have_no_secret_in_common() -> None:
    one, other = environment.fresh(environment.PORTS), environment.fresh(environment.PORTS)
    secret = [name for name in one if any(word in name for word in ("PASSWORD", "KEY", "AUTH_STRING"))]
    assert len(secret) == 8
    assert not any(one[name] == other[name] or len(one[name]) < 20 for name in secret)


def test_one_that_others_can_read_is_refused() -> None:
    environment.ensure()
    environment.path().chmod(0o644)
    with pytest.raises(BadInput, match=r"team\.env: other accounts can read it, and it contains passwords; fix: chmod 600"):
        environment.ensure()


@pytest.mark.parametrize(
    ("line", "problem"),
    [("what is this", r"team\.env:\d+: not NAME=value"), ("POSTGRES_PASSWORD=", r"POSTGRES_PASSWORD: missing; fix: add it")],
)
def test_what_is_wrong_in_it_is_named(line: str, problem: str) -> None:
    environment.ensure()
    with environment.path().open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(BadInput, match=problem):
        environment.load(environment.path())


def test_a_missing_one_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no such file; fix: longwriter team env"):
        environment.load(tmp_path / "team.env")


def test_a_port_is_changed_in_one_place_and_the_addresses_follow() -> None:
    environment.ensure()
    text = environment.path().read_text()
    environment.path().write_text(text.replace("TEAM_MLFLOW_PORT=15000", "TEAM_MLFLOW_PORT=25000"))
    assert environment.load(environment.path())["LONGWRITER_TRACKING_URI"] == "http://127.0.0.1:25000"
    command = ["sh", "-c", f". {environment.path()}; echo $LONGWRITER_TRACKING_URI"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "http://127.0.0.1:25000\n"


def test_an_address_on_another_port_than_its_server_is_refused() -> None:
    environment.ensure()
    with environment.path().open("a") as file:
        file.write("PREFECT_API_URL=http://127.0.0.1:4200/api\n")
    with pytest.raises(BadInput, match=r"PREFECT_API_URL: port 4200, but TEAM_PREFECT_PORT is 14200; fix: write \$\{TEAM_PREFECT_PORT\}"):
        environment.load(environment.path())
