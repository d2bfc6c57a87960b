"""The command `longwriter`: what it lists, that its examples are right, and that help is quick."""

import shlex
import subprocess
import sys

import pytest

from flows.cli import TREE, Leaf, load, main

LEAVES = {
    " ".join(path): leaf
    for name, entry in TREE.items()
    for path, leaf in ([((name,), entry)] if isinstance(entry, Leaf) else [((name, one), leaf) for one, leaf in entry.commands.items()])
}


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
