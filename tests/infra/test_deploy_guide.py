"""Everything that docs/deploy.md names exists: templates with their parameters and outputs, make's targets, files."""

import re
import shlex
import subprocess

from cfnlint.decode import decode

from tests.conftest import ROOT

GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.S) for line in block.splitlines()]


def template(stack: str) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = decode(str(ROOT / "infra" / "cloudformation" / f"{stack}.yaml"))[0]
    return found


def test_every_stack_is_deployed_with_its_own_parameters() -> None:
    deployed = set()
    for command in COMMANDS:
        if "cloudformation deploy" not in command:
            continue
        words = shlex.split(command)
        stack = words[words.index("--stack-name") + 1].removeprefix("longwriter-")
        assert words[words.index("--template-file") + 1] == f"infra/cloudformation/{stack}.yaml"
        given = {word.split("=")[0] for word in words[words.index("--parameter-overrides") + 1 :]}
        known = template(stack)["Parameters"]
        assert given <= set(known)
        assert {name for name, one in known.items() if "Default" not in one} <= given
        assert ("CAPABILITY_IAM" in words) == any(one["Type"] == "AWS::IAM::Role" for one in template(stack)["Resources"].values())
        deployed.add(stack)
    assert deployed == {path.stem for path in (ROOT / "infra" / "cloudformation").glob("*.yaml")}


def test_every_output_is_one_of_its_stack() -> None:
    asked = re.findall(r"--stack-name longwriter-(\w+) --query \"Stacks\[0\]\.Outputs\[\?OutputKey=='(\w+)'\]", GUIDE)
    assert asked
    assert all(output in template(stack)["Outputs"] for stack, output in asked)
    for name in ("CiRoleArn", "WorkerProfile"):
        assert name in template("roles")["Outputs"]
    assert "ClientGroup" in template("database")["Outputs"]


def test_every_target_and_file_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", " ".join([*COMMANDS, *re.findall(r"`(make [^`]*)`", GUIDE)]))) <= targets
    for path in re.findall(r"\binfra/[\w./@-]+\w", GUIDE):
        assert (ROOT / path).exists(), path


def test_the_commands_are_ones_that_a_shell_reads() -> None:
    subprocess.run(["bash", "-n"], input="\n".join(COMMANDS), text=True, check=True)
