from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.prompts import fill
from tasks.schema.errors import BadPrompt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.txt").write_text("Say\n{{a}} and {{b}}, {{a}}.")
    return tmp_path


def test_values_take_their_places(folder: Path) -> None:
    assert fill("p", folder, a="1", b="2") == "Say\n1 and 2, 1."


@given(a=st.text(), b=st.text())
def test_text_that_looks_like_a_placeholder_is_inserted_literally(tmp_path_factory: pytest.TempPathFactory, a: str, b: str) -> None:
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "p.txt").write_text("<{{a}}|{{b}}>")
    assert fill("p", folder, a=a + "{{b}}$STEP$", b=b + "{{a}}") == f"<{a}{{{{b}}}}$STEP$|{b}{{{{a}}}}>"


def test_a_placeholder_nobody_fills_is_named_with_its_line(folder: Path) -> None:
    with pytest.raises(BadPrompt, match=r"p\.txt:2: \{\{b\}\}: unknown placeholder; known are a$"):
        fill("p", folder, a="1")


def test_a_value_the_prompt_has_no_place_for_is_an_error(folder: Path) -> None:
    with pytest.raises(BadPrompt, match=r"p\.txt: \{\{c\}\}: missing placeholder"):
        fill("p", folder, a="1", b="2", c="3")


def test_a_missing_prompt_file_is_an_error(folder: Path) -> None:
    with pytest.raises(BadPrompt, match="no such file"):
        fill("q", folder)
