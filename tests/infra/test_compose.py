"""The container files pass their linters, and agree with `longwriter team up`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from infra.team import environment
from infra.team.postgres import DATABASES
from infra.team.services import POOLS
from tests.conftest import ROOT

COMPOSE = ROOT / "infra" / "compose.yaml"
CONTAINERS = sorted((ROOT / "infra" / "containers").glob("*.Containerfile"))
TREE = YAML(typ="safe").load(COMPOSE.read_text(encoding="utf-8"))


def beside(program: str) -> str:
    return str(Path(sys.executable).parent / program)


def test_compose_is_as_its_specification_has_it() -> None:
    done = subprocess.run([beside("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.stem)
def test_a_container_file_is_clean_and_does_not_run_as_root(path: Path) -> None:
    done = subprocess.run([beside("hadolint"), path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    users = re.findall(r"^USER (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert users
    assert users[-1] != "root"


def test_nothing_has_a_default_password_and_team_env_has_all_that_is_asked_for() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+)", text))
    assert asked <= set(environment.fresh(environment.PORTS))
    assert not re.findall(r"\$\{\w+:?-[^}]*\}", text)  # ${NAME:-default}
    secret = [name for name in asked if any(word in name for word in ("PASSWORD", "SECRET", "AUTH_STRING", "KEY_ID"))]
    assert all(f"${{{name}:?" in text for name in secret)


def test_every_server_says_whether_it_is_well_and_keeps_its_data() -> None:
    services = TREE["services"]
    assert set(services) == {"postgres", "s3", "mlflow", "prefect", *(f"worker-{pool}" for pool in POOLS)}
    assert all(service["healthcheck"]["test"] for service in services.values())
    kept = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert kept == set(TREE["volumes"])


def test_ports_are_open_to_loopback_alone() -> None:
    ports = [port for service in TREE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_databases_are_those_of_team_up() -> None:
    made = re.findall(r"CREATE DATABASE (\w+);", TREE["configs"]["databases"]["content"])
    assert sorted(made) == sorted(DATABASES)


@pytest.mark.skipif(not shutil.which("docker"), reason="docker's command line is not installed: compose is checked by its schema alone")
def test_docker_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.ensure()
    words = ["docker", "compose", "--env-file", str(environment.path()), "-f", str(COMPOSE), "config", "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True)
    if "is not a docker command" in done.stderr or "unknown flag" in done.stderr:
        pytest.skip("docker has no compose plugin here")
    assert done.returncode == 0, done.stderr
