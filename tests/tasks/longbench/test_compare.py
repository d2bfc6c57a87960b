"""`longwriter eval compare`: two evaluations item by item, and one evaluation against the paper's table."""

import hashlib
import json
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pytest

from tasks import store
from tasks.evaluation import compare
from tasks.longbench import published
from tasks.longbench.adapters import read_items
from tasks.longbench.compare import Comparison, MeasureDifference, Side, paired
from tasks.schema.errors import BadInput
from tasks.schema.records import FixedLength, Language, ScoredItem
from tests.conftest import ROOT, SHARED

LENGTHS = (300, 1000, 3000, 8000)


def item(place: int, s_l: float, s_q: float | None = 60.0, *, model: str = "student", asked: int | None = None) -> ScoredItem:
    language: Language = "zh" if place % 2 else "en"
    asked = asked or LENGTHS[place % 4]
    return ScoredItem(id=f"i{place}", model=model, type="News", language=language, asked=asked, written=1, s_l=s_l, s_q=s_q)


def evaluation(folder: Path, items: Sequence[ScoredItem], *, judge: str | None = None) -> str:
    store.write(folder / "items.jsonl", items)
    if judge:
        store.write_json(folder / "scorecard.json", {"student": {"judge": judge}})
    return str(folder)


def scores(count: int = 40, *, more: float = 0.0, seed: int = 1, noise: float = 2.0) -> list[ScoredItem]:
    """Items that differ much from each other and, at the same place, little between two calls."""
    spread, own = random.Random(0), random.Random(seed)
    return [item(place, 30 + 40 * spread.random() + more + noise * own.random()) for place in range(count)]


def row(found: Comparison, group: str, measure: str) -> MeasureDifference:
    return next(row for row in found.rows if (row.group, row.measure) == (group, measure))


def test_a_small_gain_on_every_item_is_told_although_the_items_differ_much(tmp_path: Path) -> None:
    a, b = evaluation(tmp_path / "a", scores(more=4)), evaluation(tmp_path / "b", scores(seed=2))
    found = row(compare(a, b), "overall", "s_l")
    assert found.verdict == "better"
    assert found.interval is not None
    assert 3 < found.interval.low < found.difference < found.interval.high < 5
    assert row(compare(b, a), "overall", "s_l").verdict == "worse"
    assert row(compare(b, a), "overall", "s_l").difference == pytest.approx(-found.difference)


def test_a_difference_within_the_noise_is_not_told(tmp_path: Path) -> None:
    found = compare(evaluation(tmp_path / "a", scores(seed=1, noise=20)), evaluation(tmp_path / "b", scores(seed=2, more=0.3, noise=20)))
    assert found.verdict == "cannot tell"
    assert {each.verdict for each in found.rows} == {"cannot tell"}


@pytest.mark.integration
def test_the_difference_that_a_comparison_detects_is_detected_in_four_of_five_cases() -> None:
    def told(seed: int, more: float) -> MeasureDifference:
        a, b = Side("a", scores(seed=seed, noise=20, more=more)), Side("b", scores(seed=1000 + seed, noise=20))
        return row(paired(a, b), "overall", "s_l")

    size = mean(told(seed, 0.0).detectable or 0.0 for seed in range(20))
    assert 3 < size < 5  # 2.8 standard errors of 40 differences with a standard deviation of 8.2
    found = [told(seed, size).verdict for seed in range(100)]
    assert 70 <= found.count("better") <= 90
    assert "worse" not in found


def test_how_many_topics_would_decide_is_said_where_nothing_can_be_told() -> None:
    a, b = Side("a", scores(seed=1, noise=20, more=4)), Side("b", scores(seed=2, noise=20))
    found = paired(a, b)
    overall = row(found, "overall", "s_bar")
    assert found.verdict == "cannot tell"
    assert overall.detectable is not None
    needed = math.ceil(40 * (overall.detectable / abs(overall.difference)) ** 2)
    said = f"40 topics detect a difference of {overall.detectable:.1f} points in 80% of comparisons"
    assert f"{said}; to detect {abs(overall.difference):.1f} points, about {needed} topics are needed" in found.notes
    clear = paired(Side("a", scores(more=4)), Side("b", scores(seed=2)))
    assert not [note for note in clear.notes if "detect" in note]


def test_an_evaluation_is_neither_better_nor_worse_than_itself(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a", scores())
    found = compare(a, a)
    assert {(each.difference, each.verdict) for each in found.rows} == {(0, "cannot tell")}


def test_items_are_matched_by_id_and_not_by_order(tmp_path: Path) -> None:
    a, items = evaluation(tmp_path / "a", scores(more=4)), scores(seed=2)
    straight, mixed = compare(a, evaluation(tmp_path / "b", items)), compare(a, evaluation(tmp_path / "c", items[::-1]))
    assert straight.rows == mixed.rows


def test_another_benchmark_with_the_same_ids_is_refused_in_one_line(tmp_path: Path) -> None:
    ours = [each.model_copy(update={"prompt": f"p{each.id}", "topic": each.id}) for each in scores(12)]
    theirs = [each.model_copy(update={"prompt": f"q{each.id}" if place > 2 else each.prompt}) for place, each in enumerate(ours)]
    a, b = evaluation(tmp_path / "a", ours), evaluation(tmp_path / "b", theirs)
    assert compare(a, a).items == 12
    problem = r"b/items.jsonl:student: prompt: another prompt than in .*a/items.jsonl:student under the id of 9 of 12 items"
    with pytest.raises(BadInput, match=problem):
        compare(a, b)
    old = evaluation(tmp_path / "old", scores(12))
    assert any("paired by id alone" in note for note in compare(a, old).notes)
    assert not any("paired by id alone" in note for note in compare(a, a).notes)


def test_prompts_of_one_topic_are_one_observation(tmp_path: Path) -> None:
    """Five topics at eight lengths: of five flips of a sign none is rare enough to tell anything."""
    topics = [each.model_copy(update={"topic": f"t{place % 5}"}) for place, each in enumerate(scores(more=4))]
    a, b = evaluation(tmp_path / "a", topics), evaluation(tmp_path / "b", scores(seed=2))
    found = compare(a, b)
    assert (found.items, found.topics, found.verdict) == (40, 5, "cannot tell")
    assert any("count as one topic: 5 topics" in note for note in found.notes)
    apart = compare(evaluation(tmp_path / "c", scores(more=4)), b)
    assert (apart.items, apart.topics, row(apart, "overall", "s_l").verdict) == (40, 40, "better")


def test_items_of_one_side_alone_are_listed(tmp_path: Path) -> None:
    items = scores()
    found = compare(evaluation(tmp_path / "a", items[2:]), evaluation(tmp_path / "b", items[:-1]))
    assert (found.items, found.only_a, found.only_b) == (37, ("i39",), ("i0", "i1"))
    assert row(found, "overall", "s_l").items == 37


def test_unscored_items_leave_the_quality_alone(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a", [item(place, 70, None if place < 3 else 80 + place % 3) for place in range(20)])
    b = evaluation(tmp_path / "b", [item(place, 70, None if place == 3 else 60) for place in range(20)])
    found = compare(a, b)
    assert found.unscored == 4
    assert (row(found, "overall", "s_l").items, row(found, "overall", "s_q").items) == (20, 16)
    assert row(found, "overall", "s_q").b == 60


def test_a_verdict_on_quality_holds_with_the_unscored_answers_at_both_bounds(tmp_path: Path) -> None:
    b = evaluation(tmp_path / "b", [item(place, 70, 60) for place in range(40)])
    few = evaluation(tmp_path / "few", [item(place, 70, None if place < 1 else 80 + place % 3) for place in range(40)])
    many = evaluation(tmp_path / "many", [item(place, 70, None if place < 12 else 80 + place % 3) for place in range(40)])
    assert row(compare(few, b), "overall", "s_q").verdict == "better"
    for found, difference in ((compare(many, b), 21.0), (compare(b, many), -21.0)):
        quality = row(found, "overall", "s_q")
        assert quality.difference == pytest.approx(difference, abs=0.1)
        assert quality.interval
        assert quality.scored_interval
        assert not quality.scored_interval.low <= 0 <= quality.scored_interval.high
        assert quality.interval.low <= 0 <= quality.interval.high
        assert quality.interval.low < quality.scored_interval.low < quality.scored_interval.high < quality.interval.high
        assert (quality.verdict, found.verdict) == ("cannot tell", "cannot tell")
        assert any("unscored answers at 0 or at 100 points" in note for note in found.notes)


def test_more_topics_do_not_settle_what_unscored_answers_leave_open(tmp_path: Path) -> None:
    b = evaluation(tmp_path / "b", [item(place, 70, 60 + place % 5) for place in range(40)])
    many = evaluation(tmp_path / "many", [item(place, 70, None if place < 16 else 64 + place % 7) for place in range(40)])
    assert any("unscored answers alone allow a difference of" in note for note in compare(many, b).notes)


def test_without_a_judge_the_length_score_decides(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a", [item(place, 70 + place % 3, None) for place in range(20)])
    b = evaluation(tmp_path / "b", [item(place, 60, 90) for place in range(20)])
    found = compare(a, b)
    assert [each.measure for each in found.rows if each.group == "overall"] == ["s_l"]
    assert found.verdict == "better"


def test_bins_and_languages_are_rows_and_corrected_for_their_number(tmp_path: Path) -> None:
    found = compare(evaluation(tmp_path / "a", scores(more=4)), evaluation(tmp_path / "b", scores(seed=2)))
    groups = list(dict.fromkeys(each.group for each in found.rows))
    assert groups == ["overall", "[0,500)", "[500,2000)", "[2000,4000)", "[4000,20000]", "en", "zh"]
    for each in found.rows:
        assert (each.p_holm is None) == (each.group == "overall")
        assert each.p_holm is None or each.p is None or each.p_holm >= each.p
    assert "Holm-corrected over 18 rows" in found.notes[0]


def test_three_items_tell_nothing_however_much_they_differ(tmp_path: Path) -> None:
    found = compare(evaluation(tmp_path / "a", scores(3, more=40)), evaluation(tmp_path / "b", scores(3)))
    assert found.verdict == "cannot tell"
    assert row(found, "overall", "s_l").interval is None
    assert any("3 topics are too few to tell anything: at least 6 are needed" in note for note in found.notes)


def test_judges_that_differ_are_named(tmp_path: Path) -> None:
    found = compare(evaluation(tmp_path / "a", scores(), judge="j1"), evaluation(tmp_path / "b", scores(), judge="j2"))
    assert any("judges differ" in note and "j1" in note and "j2" in note for note in found.notes)


def test_a_model_of_several_is_named_after_a_colon_and_is_the_student_if_not(tmp_path: Path) -> None:
    both = [*scores(8, more=30, noise=0), *(each.model_copy(update={"model": "control"}) for each in scores(8, noise=0))]
    folder = evaluation(tmp_path / "score", both)
    for a, b in ((folder, f"{folder}:control"), (f"{folder}/items.jsonl:student", f"{folder}/items.jsonl:control")):
        assert row(compare(a, b), "overall", "s_l").difference == pytest.approx(30)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("none", "score", r"none: no such file; fix: check the path"),
        ("score:other", "score", r"items\.jsonl: model: no items of other; fix: name one of student"),
        ("two", "score", r"items\.jsonl: model: items of 2 models; fix: name one of x, y, such as .*items\.jsonl:x"),
        ("twice", "score", r"items\.jsonl:2: id: i1 by student is there twice"),
        ("score", "elsewhere", r"no item in common with"),
        ("score", "lengths", r"i0 asks for 7 words, and for 300 in"),
        ("score", "paper:LongWriter9B", r"paper:LongWriter9B: no such model in the paper's table; fix: use LongWriter-9B"),
        ("paper:GPT-4o", "score", r"paper:GPT-4o: a published model has no items to stand for A; fix: give it as B"),
    ],
)
def test_what_cannot_be_compared_is_named(tmp_path: Path, a: str, b: str, message: str) -> None:
    evaluation(tmp_path / "score", scores(4))
    evaluation(tmp_path / "two", [item(0, 1, model="x"), item(0, 1, model="y")])
    evaluation(tmp_path / "twice", [item(1, 1), item(1, 2)])
    evaluation(tmp_path / "elsewhere", [item(99, 1)])
    evaluation(tmp_path / "lengths", [item(0, 1, asked=7)])
    with pytest.raises(BadInput, match=message):
        compare(*(side if side.startswith("paper:") else str(tmp_path / side) for side in (a, b)))


def test_against_the_paper_only_what_is_beyond_the_gap_between_reruns_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = "".join(sorted(f"i{place}" for place in range(120)))
    monkeypatch.setattr(published, "PROMPTS", hashlib.sha256(own.encode()).hexdigest()[:16])  # as if these were the paper's
    figures = {"worse": 50.0, "cannot tell": 76.0, "better": 95.0}  # LongWriter-9B has an S_l of 78.6
    for verdict, s_l in figures.items():
        a = evaluation(tmp_path / verdict.replace(" ", "-"), [item(place, s_l + place % 2 / 2, 82.3) for place in range(120)])
        found = compare(a, "paper:longwriter-9b")
        assert row(found, "overall", "s_l").verdict == verdict
        assert row(found, "overall", "s_l").p is None
        assert row(found, "overall", "s_q").verdict == "cannot tell"
        assert not any("do not measure the same" in note for note in found.notes)
    assert any("3 to 4 points" in note for note in found.notes)
    assert any("S_l secondary" in note for note in found.notes)


def test_against_the_paper_nothing_is_told_of_other_prompts(tmp_path: Path) -> None:
    found = compare(evaluation(tmp_path / "a", [item(place, 100, 100) for place in range(120)]), "paper:LongWriter-9B-DPO")
    assert {found.verdict, *(each.verdict for each in found.rows)} == {"cannot tell"}
    assert any("A did not answer the 120 prompts of the paper" in note for note in found.notes)
    assert any("S_l recalled; S_q recalled; S̄ secondary" in note for note in found.notes)


def test_the_papers_prompts_are_known_by_their_ids(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [item.id for item in read_items(data / "longbench_write" / "longbench_write.jsonl").items]
    if data != SHARED:  # in the place of the paper's prompts
        assert not published.is_papers(ids)
        monkeypatch.setattr(published, "PROMPTS", hashlib.sha256("".join(sorted(ids)).encode()).hexdigest()[:12])
    assert published.is_papers(ids[::-1])
    assert not published.is_papers(ids[1:])


def test_a_scorecard_stands_for_the_items_beside_it(tmp_path: Path) -> None:
    a, b = evaluation(tmp_path / "a", scores(), judge="j"), evaluation(tmp_path / "b", scores(more=9), judge="j")
    assert compare(f"{a}/scorecard.json:student", f"{b}/scorecard.json").rows == compare(a, b).rows


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "tasks.evaluation", "compare", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.integration
def test_the_command_prints_a_table_or_one_json_object_and_gates_only_when_asked(tmp_path: Path) -> None:
    a, b = evaluation(tmp_path / "a", scores()[1:]), evaluation(tmp_path / "b", scores(more=9, seed=2))
    done = run(a, b)
    assert done.returncode == 0, done.stderr
    assert "1 items only in B, not compared: i0" in done.stdout
    assert done.stdout.rstrip().endswith("worse")
    found = run(a, b, "--json", "--gate")
    assert found.returncode == 1
    assert Comparison.model_validate_json(found.stdout.splitlines()[-1]).verdict == "worse"
    assert run(b, a, "--gate").returncode == 0


def test_an_error_is_one_line(tmp_path: Path) -> None:
    done = run(str(tmp_path / "none"), "paper:GPT-4o", "--gate")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {tmp_path / 'none'}: no such file; fix: check the path\n")


def test_json_holds_every_row(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a", scores())
    document = json.loads(run(a, "paper:GPT-4o", "--json").stdout)
    assert [(each["measure"], each["b"]) for each in document["rows"]] == [("s_l", 65.3), ("s_q", 91.8), ("s_bar", 78.6)]


def test_several_answers_to_a_prompt_count_as_their_mean(tmp_path: Path) -> None:
    twice = [each.model_copy(update={"sample": sample, "s_l": each.s_l + gain}) for each in scores() for sample, gain in ((0, 0), (1, 8))]
    found = row(compare(evaluation(tmp_path / "a", twice), evaluation(tmp_path / "b", scores())), "overall", "s_l")
    assert (found.items, found.verdict) == (40, "better")
    assert found.difference == pytest.approx(4)
    with pytest.raises(BadInput, match=r"items\.jsonl:2: id: i0 by student is there twice"):
        compare(evaluation(tmp_path / "c", [item(0, 1), item(0, 2)]), str(tmp_path / "b"))


def test_fixed_mode_compares_the_fixed_scores_and_nothing_else(tmp_path: Path) -> None:
    length = FixedLength(written=100, least=100, most=200, s_l=100)
    a = [each.model_copy(update={"fixed": length}) for each in scores()]
    b = [each.model_copy(update={"fixed": length.model_copy(update={"s_l": 40 + place % 3})}) for place, each in enumerate(scores())]
    folders = evaluation(tmp_path / "a", a), evaluation(tmp_path / "b", b)
    fixed, paper = compare(*folders, mode="fixed"), compare(*folders)
    assert (fixed.mode, fixed.verdict, row(fixed, "overall", "s_l").a) == ("fixed", "better", 100)
    assert (paper.mode, row(paper, "overall", "s_l").difference) == ("paper", 0)
    with pytest.raises(BadInput, match=r"c/items\.jsonl:student: fixed: no scores in fixed mode"):
        compare(folders[0], evaluation(tmp_path / "c", scores()), mode="fixed")
    with pytest.raises(BadInput, match=r"paper:LongWriter-9B: the paper's scores are its own mode's"):
        compare(folders[0], "paper:LongWriter-9B", mode="fixed")
