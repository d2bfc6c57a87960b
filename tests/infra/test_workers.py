"""Definitions of workers on other machines: the Kubernetes job as Prefect renders it, and the systemd unit."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.workers.base import BaseJobConfiguration

from infra.team.services import ALIVE
from tests.conftest import ROOT

TEMPLATE = ROOT / "infra" / "kubernetes" / "gpu-job-template.json"
UNIT = ROOT / "infra" / "systemd" / "longwriter-worker@.service"


def rendered(**values: Any) -> dict[str, Any]:
    """The job manifest that Prefect fills the template's placeholders into, as its Kubernetes worker does."""
    from prefect.utilities.templating import apply_values

    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    defaults = {name: one["default"] for name, one in template["variables"]["properties"].items() if one.get("default") is not None}
    given = {"name": "run", "labels": {}, "annotations": {}, "env": [], "command": ["prefect", "flow-run", "execute"]}
    manifest: dict[str, Any] = apply_values(template["job_configuration"], {**defaults, **given, **values})["job_manifest"]
    return manifest


def test_the_rendered_job_is_valid_and_asks_for_gpus_and_runs_without_root(tmp_path: Path) -> None:
    manifest = rendered(gpus=4, image="registry.example.org/longwriter:cuda")
    named = {**manifest, "metadata": {**manifest["metadata"], "name": "run"}}  # which Kubernetes makes of generateName
    (tmp_path / "job.yaml").write_text(json.dumps(named))
    validate_dataset = str(Path(sys.executable).parent / "kubernetes-validate")
    done = subprocess.run([validate_dataset, "--strict", str(tmp_path / "job.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pod = manifest["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert container["image"] == "registry.example.org/longwriter:cuda"
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert [source["secretRef"]["name"] for source in container["envFrom"]] == ["longwriter"]


@pytest.mark.parametrize("given", [{}, {"env": {"LONGWRITER_SERVER": "vllm"}}])
def test_a_job_tells_that_it_lives_and_asks_again_whatever_environment_a_deployment_adds(given: dict[str, Any]) -> None:
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    made: Any = asyncio.run(BaseJobConfiguration.from_template_and_values(template, {"image": "i", **given}))
    assert made.env == {**ALIVE, **given.get("env", {})}
    assert all(f"{name}={value}" in UNIT.read_text(encoding="utf-8") for name, value in ALIVE.items())


def test_every_variable_of_the_template_is_used_and_every_placeholder_is_a_variable() -> None:
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    text = json.dumps(template["job_configuration"])
    for name in template["variables"]["properties"]:
        assert "{{ " + name + " }}" in text, name
    assert text.count("{{ ") == sum(text.count("{{ " + name + " }}") for name in template["variables"]["properties"])


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")
def test_the_unit_is_one_that_systemd_takes_and_calls_safe(tmp_path: Path) -> None:
    """The paths that the unit names are of the machine it is for: here a command that exists stands for the worker's."""
    text = UNIT.read_text(encoding="utf-8").replace("/srv/longwriter/.venv/bin/prefect", "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    target = tmp_path / "longwriter-worker@gpu.service"
    shutil.copy(tmp_path / UNIT.name, target)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(target)], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "longwriter" in line] == []
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=35", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-400:]
