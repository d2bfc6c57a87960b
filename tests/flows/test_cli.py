"""The command `longwriter`: what it lists, that its examples are right, and that help is quick."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import TREE, Leaf, load, main
from tests.conftest import ROOT

LEAVES = {
    " ".join(path): leaf
    for name, entry in TREE.items()
    for path, leaf in ([((name,), entry)] if isinstance(entry, Leaf) else [((name, one), leaf) for one, leaf in entry.commands.items()])
}

WRITES = {  # commands that are called for what they do; every other command reads, and has --json
    *(
        "run",
        "repro",
        "use",
        "study",
        "deploy",
        "worker",
        "chat",
        "train worker",
        "eval ci",
        "eval official",
        "eval export",
        "data release",
        "data import",
    ),
    "read",
    *("flow dataset", "flow training", "flow evaluation", "flow promotion", "models rollback", "models allow", "models approve"),
    "models evaluated",
    "models push",
    "models export",
    *("store alias", "store bucket", "team up", "team down", "team env"),
}
LINES = {"eval verdicts", "data lengths"}  # read any number of rows: one JSON document a line


def said(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "flows.cli", *words], capture_output=True, text=True)


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_help_and_an_example_that_it_takes(name: str) -> None:
    leaf = LEAVES[name]
    command = load(leaf)
    assert command.help
    assert leaf.help.endswith(".")
    words = shlex.split(leaf.example)
    assert words[: len(name.split())] == name.split()
    context = command.make_context(name, words[len(name.split()) :])
    assert context.params.keys() >= {parameter.name for parameter in command.params if parameter.required}


def test_help_and_completion_import_nothing_heavy() -> None:
    code = (
        "import sys; from flows.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'torch', 'mlflow', 'prefect', 'dvc', 'pydantic', 'transformers', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert all(f" {name} " in done.stdout for name in TREE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate"], "No such command"),
        (["eval", "scores"], "Did you mean 'score'"),
        (["eval", "score", "x.jsonl", "--lenght", "3"], "--length"),
        (["ledger", "more"], "unexpected extra argument"),
    ],
)
def test_what_is_not_known_is_refused_with_exit_code_2(words: list[str], message: str) -> None:
    done = said(*words)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("longwriter ")


@pytest.mark.parametrize("name", LEAVES)
def test_a_command_that_reads_has_json(name: str) -> None:
    options = {option for parameter in load(LEAVES[name]).params for option in parameter.opts}
    assert name in WRITES or "--json" in options


def test_no_command_is_listed_as_writing_that_is_not_there() -> None:
    assert not WRITES - LEAVES.keys()


def ended(*words: str) -> int:
    """The exit code of the command, in this process."""
    with pytest.raises(SystemExit) as ending:
        main(list(words))
    return int(ending.value.code or 0)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the commands below read; the working directory is the checkout."""
    rows = [{"prompt": f"Write {words} words on bread.", "response": "Bread. " * words, "length": words} for words in (20, 40)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "replies.jsonl").write_text(json.dumps({"reply": "no grades"}) + "\n")
    ended("eval", "score", str(tmp_path / "answers.jsonl"), "--out", str(tmp_path / "scored"), "--json")
    monkeypatch.chdir(ROOT)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["stages"],
        ["ledger"],
        ["doctor", "--no-ask", "--params", "profiles/rehearsal.yaml"],
        ["eval", "score", "{}/answers.jsonl"],
        ["eval", "compare", "{}/scored", "{}/scored"],
        ["eval", "verdicts", "{}/replies.jsonl"],
        ["data", "lengths", "{}/answers.jsonl"],
        ["train", "plan", "--profile", "rehearsal", "--tokens", "100000"],
        ["models", "list"],
        ["models", "candidates"],
        ["team", "status"],
        ["estimate", "{}/answers.jsonl"],
    ],
    ids=" ".join,
)
def test_json_is_one_document_alone_on_standard_output(
    files: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, words: list[str]
) -> None:
    if words[0] == "models":
        request.getfixturevalue("mlflow_home")
    capsys.readouterr()
    assert ended(*(word.format(files) for word in words), "--json") in (0, 3)  # 3: the team's servers are down
    shown = capsys.readouterr().out
    name = " ".join(words[:2]) if " ".join(words[:2]) in LEAVES else words[0]
    documents = shown.splitlines() if name in LINES else [shown]
    assert documents
    assert all(isinstance(json.loads(document), dict | list) for document in documents)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("longwriter ev", "eval"),
        ("longwriter eval sc", "score"),
        ("longwriter models p", "preview"),
        ("longwriter eval score --le", "--length"),
    ],
)
def test_the_shell_completes_commands_and_options(line: str, found: str) -> None:
    environment = {"_LONGWRITER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    command = [sys.executable, "-c", "from flows.cli import main; main()"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert found in done.stdout.split()


def test_completion_is_installed_for_a_shell(tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-c", "from flows.cli import main; main()", "--install-completion", "bash"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert any("longwriter" in path.name for path in tmp_path.rglob("*") if path.is_file())
