"""The difference of a scorecard to a baseline as Markdown: paired if both have items, else by their figures."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tasks import store
from tasks.evaluation.baseline import Baseline, committed, of_side, read_baseline
from tasks.evaluation.difference import MARKER, Condition, code, compared, difference, gate, page
from tasks.longbench.compare import Side
from tasks.longbench.scorecard import Scorecard
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import ScoredItem
from tests.conftest import ROOT
from tests.tasks.evaluation.evaluations import items


def side(found: Sequence[ScoredItem], judge: str = "j") -> Side:
    return Side("now", found, judge)


def told(now: Sequence[ScoredItem], baseline: Baseline | None) -> str:
    return difference(summarise(now, judge="j"), baseline, compared(side(now), baseline))


def line(text: str, name: str) -> list[str]:
    """The cells of the table row that begins with `name`."""
    found = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in found.strip("|").split("|")]


@pytest.mark.parametrize(("now", "before", "arrow", "verdict"), [(0.9, 0.6, "▲", "better"), (0.6, 0.9, "▼", "worse")])
def test_with_items_on_both_sides_the_arrows_are_paired_verdicts_in_both_modes(now: float, before: float, arrow: str, verdict: str) -> None:
    text = told(items(now), of_side(side(items(before))))
    assert f"- paper mode: {arrow} **{verdict}**, S̄ " in text
    assert f"- fixed mode: {arrow} **{verdict}**, S̄ " in text
    name, prompts, s_l, s_l_fixed, s_q, s_bar, s_bar_fixed, unscored = line(text, "overall")
    assert (name, prompts, unscored) == ("overall", "24", "0 of 24")
    assert all(f"<br>{arrow} " in cell and cell.count("[") == 2 for cell in (s_l, s_l_fixed, s_bar, s_bar_fixed))
    assert "<br>○ " in s_q
    assert all(line(text, group) for group in ("[0,500)", "[500,2000)", "[2000,4000)", "[4000,20000]", "en", "zh"))


def test_an_evaluation_against_itself_cannot_be_told_and_shows_no_difference() -> None:
    text = told(items(0.8), of_side(side(items(0.8))))
    assert "- paper mode: ○ **cannot tell**, S̄ +0.00 points" in text
    assert "-0.00" not in text


def test_the_differences_are_those_of_the_scores() -> None:
    now, before = summarise(items(0.9)), summarise(items(0.6))
    text = told(items(0.9), of_side(side(items(0.6))))
    assert f"▲ {now.s_l - before.s_l:+.2f}" in line(text, "overall")[2]
    assert f" {now.by_bin['[0,500)'].s_l - before.by_bin['[0,500)'].s_l:+.2f}" in line(text, "[0,500)")[2]


def test_a_group_of_all_prompts_is_compared_as_the_whole_is() -> None:
    text = told(items(0.9, languages="en"), of_side(side(items(0.6, languages="en"))))
    assert line(text, "en")[2:] == line(text, "overall")[2:]


def test_figures_without_items_give_plain_differences_and_no_verdict(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    kept = {"items": 24, "s_l": 50.0, "s_l_fixed": 40.0, "s_q": 60.0, "s_bar": 55.0, "s_bar_fixed": 50.0, "unscored": 2}
    store.write_json(path, {"control": kept | {"s_l": 1.0}, "student": kept})
    now = summarise(items(0.9))
    text = told(items(0.9), read_baseline(str(path)))
    assert "figures without items: differences are plain, whether they are noise cannot be told" in text
    assert not any(arrow in text for arrow in "▲▼○")
    cells = line(text, "overall")
    assert cells[2].endswith(f"<br>{now.s_l - 50:+.2f}")
    assert now.fixed
    assert cells[3].endswith(f"<br>{now.fixed.s_l - 40:+.2f}")
    assert cells[7] == "0 of 24<br>-2"
    assert "<br>" not in "".join(line(text, "zh"))


def test_what_git_keeps_of_a_revision_is_a_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-qm", "a", "--allow-empty"], check=True)
    assert committed("HEAD") is None
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/scores.json").write_bytes((ROOT / "metrics/scores.json").read_bytes())
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "b"], check=True)
    (tmp_path / "metrics/scores.json").write_text("{}")
    found = committed("HEAD")
    assert found
    assert found.groups["overall"].s_bar == json.loads((ROOT / "metrics/scores.json").read_text())["student"]["s_bar"]
    with pytest.raises(BadInput, match="--output=x: BASE: no such revision here; fix: fetch it"):
        committed("--output=x")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[]", r"Input should be an object, got \[\]"),
        (b"{}", "no scores of any model"),
        (b'{"a": 1}', "a: Input should be an object, got 1"),
        (b'{"a": {"s_l": 1}, "b": {"s_l": 1}}', "scores of 2 models, and none is called student"),
        (b'{"a": {"s_l": "high", "unscored": 0}}', "s_l: Input should be a valid number, got .high."),
        (b'{"a": {"unscored": 0}}', "s_l: missing field"),
        (b"{", "not JSON"),
    ],
)
def test_figures_of_another_format_are_refused_by_name(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "scores.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=problem) as error:
        read_baseline(str(path))
    assert str(error.value).startswith(str(path))


def test_a_baseline_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("nothing", "nothing.json", "nothing:student"):
        with pytest.raises(BadInput, match="no such file or folder; fix: give the folder of an evaluation"):
            read_baseline(str(tmp_path / name))


def test_a_scorecard_without_items_is_figures_of_every_group(tmp_path: Path) -> None:
    before = summarise(items(0.6))
    store.write_json(tmp_path / "scorecard.json", {"student": before.model_dump(mode="json")})
    text = told(items(0.9), read_baseline(str(tmp_path)))
    now = summarise(items(0.9))
    assert line(text, "zh")[2].endswith(f"<br>{now.by_language['zh'].s_l - before.by_language['zh'].s_l:+.2f}")


def test_unscored_answers_are_counted_and_bounded() -> None:
    now: list[ScoredItem] = [*items(0.9, count=20), *items(0.9, s_q=None)[20:]]
    text = told(now, of_side(side(items(0.9))))
    assert line(text, "overall")[7] == "4 of 24<br>+4"
    card: Scorecard = summarise(now)
    assert card.s_q_bounds
    assert f"S_q is {card.s_q_bounds.low:.1f} if each had 0" in text


def test_without_a_judge_the_quality_cells_are_dashes_and_s_l_decides() -> None:
    text = told(items(0.9, s_q=None), of_side(side(items(0.6, s_q=None))))
    cells = line(text, "overall")
    assert (cells[4], cells[5], cells[6]) == ("–", "–", "–")
    assert "paper mode: ▲ **better**, S_l " in text


def test_prompts_of_one_side_only_are_counted_not_compared() -> None:
    text = told(items(0.9), of_side(side(items(0.9, count=16))))
    assert "- 8 prompts only in this evaluation, not compared" in text
    assert "over 16 prompts" in text


def test_different_judges_are_said() -> None:
    now = items(0.9)
    found = compared(side(now), of_side(Side("then", items(0.9), "another | judge")))
    text = difference(summarise(now, judge="j"), of_side(Side("then", items(0.9), "another | judge")), found)
    assert "the judges differ, S_q and S̄ do not compare: A j; B another \\| judge" in text


def test_names_from_outside_stay_names() -> None:
    assert code("a`b\n<img src=x> | c") == "`a'b <img src=x> | c`"
    assert code("https://me:secret@host/v1") == "`https://host/v1`"
    assert page(f"Evaluation of {code('x')}", ["a", "b"]).startswith(f"{MARKER}\n\n### Evaluation of `x`\n\na\n\nb")


def test_the_gate_names_what_fails() -> None:
    holding, failing = Condition("s_l", "s_l 70.00, at least 60.00: holds", True), Condition("s_bar", "s_bar 48.20: fails", False)
    assert gate([holding]).startswith("**The gate holds.**")
    text = gate([holding, failing])
    assert text.startswith("**The gate fails**: s_bar.")
    assert "| ✗ | s_bar 48.20: fails |" in text
