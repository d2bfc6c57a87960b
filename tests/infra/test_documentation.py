"""The documentation: each command in it exists, and is run here or says what it needs; the tutorial prints what it shows; links work."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from flows.cli import TREE, Leaf, load
from infra.documentation.reference import PAGES
from tests.conftest import ROOT

NEEDS = "# needs: "
OTHERS = {  # pages with tests of their own, or without commands that a test could run
    "docs/deploy.md": "an AWS account; what it names is checked in test_deploy_guide.py",
    "docs/own-data.md": "run literally in tests/e2e/test_own_data.py",
    "docs/small-model.md": "SmolLM2's weights from the package index; the profile is run by hand",
    "docs/team.md": "servers, which tests/e2e/test_team.py starts",
    "docs/results.md": "what was run by hand, with its figures",
    "docs/reading.md": "a folder of results; tested with the reader",
}
FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>sh|text)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """Commands of a page, and the output that the page shows below them; empty: none."""

    page: str
    commands: str
    output: str

    @property
    def needs(self) -> str:
        first = self.commands.strip().splitlines()[0]
        return first.removeprefix(NEEDS) if first.startswith(NEEDS) else OTHERS.get(self.page, "")

    @property
    def lines(self) -> Iterator[list[str]]:
        """The words of each command, without comments, variables and what a pipe follows."""
        without_files = re.sub(r"<<'END'\n.*?^END$", "", self.commands, flags=re.MULTILINE | re.DOTALL)
        for line in without_files.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s\|\s|;\s|&&", re.sub(r"(?:^|\s)#.*", "", line)):
                words = shlex.split(part)
                while words and re.fullmatch(r"[A-Z_]+=.*|export|set", words[0]):
                    words = words[1:]
                if words:
                    yield words


def blocks() -> list[Block]:
    """The blocks of README and docs/, in order."""
    found: list[Block] = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        page = path.relative_to(ROOT).as_posix()
        for match in FENCE.finditer(path.read_text(encoding="utf-8")):
            body = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
            if match["kind"] == "sh":
                found.append(Block(page, body, ""))
            elif found and found[-1].page == page:
                found[-1] = found[-1]._replace(output=body)
    return found


ALL = blocks()
RUN = [block for block in ALL if not block.needs]


def leaf_of(words: list[str]) -> tuple[str, list[str]]:
    """A command of `longwriter` and its arguments. Raises KeyError for one that is not there."""
    entry = TREE[words[0]]
    return (words[0], words[1:]) if isinstance(entry, Leaf) else (f"{words[0]} {words[1]}", words[2:])


@pytest.mark.parametrize("block", ALL, ids=lambda block: f"{block.page}: {block.commands.strip()[:50]!r}")
def test_every_command_exists_with_its_options(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for words in block.lines:
        program = words[0].rpartition("/")[2]
        if program == "longwriter" and words[1:] != ["--help"]:
            name, rest = leaf_of(words[1:])
            entry = TREE[name.split()[0]]
            leaf = entry if isinstance(entry, Leaf) else entry.commands[name.split()[1]]
            load(leaf).make_context(name, [word.replace("…", "x") for word in rest])
        elif program == "make":
            assert set(words[1:2]) <= targets
        elif program.startswith("python") and words[1] == "-m":
            assert find_spec(words[2])


def test_inline_commands_exist() -> None:
    """`longwriter …` in running text."""
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for text in re.findall(r"`(?:[A-Z_]+=\S+ )*longwriter ([^`]+)`", path.read_text(encoding="utf-8")):
            words = text.split()
            if words[0].isupper() or words[0].startswith("-") or (len(words) == 1 and not isinstance(TREE[words[0]], Leaf)):
                continue
            name, rest = leaf_of(words)
            entry = TREE[name.split()[0]]
            leaf = entry if isinstance(entry, Leaf) else entry.commands[name.split()[1]]
            options = {option for parameter in load(leaf).params for option in (*parameter.opts, *parameter.secondary_opts)}
            wrong = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in options | {"--help"}]
            assert not wrong, f"{path.name}: longwriter {text}"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> "Shell":
    return Shell(tmp_path_factory.mktemp("docs"))


class Shell:
    """A shell in a copy of the checkout's own files, where `longwriter` is this checkout's."""

    def __init__(self, folder: Path):
        self.folder, tools = folder / "checkout", folder / "tools"
        tools.mkdir()
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        for name in filter(None, names):
            if (ROOT / name).exists():  # a symbolic link to a folder is one entry
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name, follow_symlinks=False)
        subprocess.run(["git", "init", "-q"], cwd=self.folder, check=True)
        (tools / "longwriter").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m flows.cli "$@"\n')
        (tools / "longwriter").chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "LONGWRITER_HOME": str(folder / "home"),
            "COLUMNS": "100",
        }

    def run(self, commands: str) -> str:
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", commands], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def shows(expected: str, printed: str) -> bool:
    """Whether the output is as the page shows it. `…` is any text: alone on its line, any lines."""
    want, have = ([line.rstrip() for line in text.strip("\n").splitlines()] for text in (expected, printed))
    place = line = mark = 0
    gap: int | None = None  # the last `…` alone on its line, and where it may have ended
    while line < len(have):
        if place < len(want) and want[place] == "…":
            gap, mark, place = place, line, place + 1
        elif place < len(want) and re.fullmatch(re.escape(want[place]).replace("…", ".*"), have[line]):
            place, line = place + 1, line + 1
        elif gap is not None:
            mark += 1
            place, line = gap + 1, mark
        else:
            return False
    return all(rest == "…" for rest in want[place:])


@pytest.mark.integration
@pytest.mark.parametrize("page", sorted({block.page for block in RUN}))
def test_the_commands_of_a_page_run_and_print_what_it_shows(page: str, shell: Shell) -> None:
    for block in RUN:
        if block.page != page:
            continue
        printed = shell.run(block.commands)
        assert not block.output or shows(block.output, printed), printed


def test_the_tutorial_has_outputs() -> None:
    assert len([block for block in RUN if block.page == "docs/tutorial.md" and block.output]) >= 4
    assert shows("a\n…\nz…", "a\nb\nc\nz 3\n")
    assert not shows("a\nz", "a\nb\nz")


def test_pages_that_are_excused_are_there_or_excused_for_nothing() -> None:
    assert {block.page for block in ALL} >= OTHERS.keys() - {"docs/results.md", "docs/reading.md"}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_reference_names_all_of_it(path: str) -> None:
    page = PAGES[path]()
    if path.endswith("commands.md"):
        names = [f"{name} {inner}" for name, entry in TREE.items() if not isinstance(entry, Leaf) for inner in entry.commands]
        assert all(f"## longwriter {name}\n" in page for name in [*(n for n, e in TREE.items() if isinstance(e, Leaf)), *names])
    elif path.endswith("settings.md"):
        from tasks.schema.settings import Settings

        assert all(f"`LONGWRITER_{name.upper()}`" in page for name in Settings.model_fields)
    elif path.endswith("params.md"):
        assert "`plan.paragraph_words.min`" in page
        assert "`collect.sources[].revision`" in page
    else:
        assert "### Draft" in page
        assert "one per step, in order" in page


@pytest.mark.integration
def test_the_site_is_built_with_strict_links(tmp_path: Path) -> None:
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    page = (tmp_path / "site/reference/commands.html").read_text(encoding="utf-8")
    assert "longwriter write" in page
    fetched = re.findall(r'(?:src|href)="(https?://[^"]+)"', (tmp_path / "site/index.html").read_text(encoding="utf-8"))
    assert not [url for url in fetched if re.search(r"\.(?:js|css|woff2?)\b|fonts\.", url)], "the site fetches nothing from other servers"


def test_broken_links_and_commands_are_found() -> None:
    with pytest.raises(KeyError):
        leaf_of(["nothing"])
    with pytest.raises((typer.BadParameter, Exception), match="lenght"):
        load(TREE["ledger"]).make_context("ledger", ["--lenght"])  # type: ignore[arg-type]
