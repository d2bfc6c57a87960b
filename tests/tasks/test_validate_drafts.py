"""The drafts' contract: a faulty teacher is found before the drafts are cleaned."""

import re
from pathlib import Path

import pytest

from tasks import store, validate_drafts
from tasks.rehearsal.prose import paragraph
from tasks.schema.errors import GateFailed
from tasks.schema.params import load
from tasks.schema.records import Draft, Instruction, Step
from tests.conftest import ROOT

PARAMS = load(ROOT / "profiles/rehearsal.yaml").validate_drafts.model_copy(update={"min_rows": 4, "clean": 1.0, "within_s_l": 1.0})


def draft(number: int, *paragraphs: str, planned: int = 50, asked: int = 100) -> Draft:
    written = paragraphs or tuple(paragraph(topic="bread", language="en", words=50, part=part, parts=2, seed=number) for part in (1, 2))
    ask = Instruction(
        id=f"d{number}", text="Write about bread.", language="en", words=asked, length_kind="exact", source=f"pool.jsonl:{number}"
    )
    return Draft(instruction=ask, steps=(Step(point="a", words=planned), Step(point="b", words=planned)), paragraphs=written)


GOOD = draft(0).paragraphs


def run(folder: Path, drafts: list[Draft]) -> dict[str, object]:
    store.write(folder / "drafts.jsonl", drafts)
    (folder / "out").mkdir()
    return dict(validate_drafts.run(folder / "drafts.jsonl", folder / "out", validate_drafts=PARAMS))


def test_good_drafts_pass(tmp_path: Path) -> None:
    metrics = run(tmp_path, [draft(n) for n in range(6)])
    assert (metrics["warnings"], metrics["written_words"]) == (0, 600)


PLANTED: dict[str, Draft] = {
    "one_paragraph_per_step": draft(21, GOOD[0]),
    "no_empty_paragraphs": draft(22, GOOD[0], "…"),
    "plan_adds_up": draft(23, asked=400),
    "follows_plan": draft(24, *GOOD, planned=200, asked=400),
    "in_its_language": draft(25, GOOD[0], "面包从前是在土窑里烤的，后来每个村子都有了一座公共的烤炉。" * 4),
    "no_refusals": draft(26, "I'm sorry, but I can't help with that request.", GOOD[1]),
    "only_prose": draft(27, GOOD[0], "Error: 502 Bad Gateway"),
    "not_cut_off": draft(28, GOOD[0], GOOD[1].rstrip(".") + " and then he saw that the"),
    "no_repeated_paragraphs": draft(29, GOOD[0], GOOD[0]),
}


def test_each_planted_defect_is_named_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(GateFailed) as failure:
        run(tmp_path, [*(draft(n) for n in range(6)), *PLANTED.values()])
    for name, planted in PLANTED.items():
        assert re.search(rf"\b{name} \([^;]*; [^;]*\b{planted.instruction.id}\b", str(failure.value)), name


def test_what_the_cleaning_takes_off_is_a_warning(tmp_path: Path) -> None:
    planted = draft(9, f"Paragraph 1: {GOOD[0]}", f"{GOOD[1]}\n\nLet me know if you would like me to go on.")
    assert run(tmp_path, [*(draft(n) for n in range(6)), planted])["warnings"] == 2
