"""The report contains every section, escapes hostile text, and loads nothing."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

import pytest

from tasks import report, stage_times, store
from tasks.reporting.verdict import headline, level_of
from tasks.schema.errors import BadInput
from tasks.schema.params import load
from tasks.schema.records import (
    Prediction,
    Reason,
    Reject,
    ScoredItem,
    Served,
)
from tasks.schema.settings import settings
from tasks.statistics import Interval
from tasks.text.degeneration import degeneration
from tasks.tracking.gate import Axis, Decision
from tests.tasks.finished import finished_run, with_base

HOSTILE = '</script></style></svg><script>alert("x")</script><img src="http://evil.example/x.png"> & {{ 7 * 7 }}'
SECTIONS = {
    *(
        "verdict",
        "lengths",
        "scores",
        "judge",
        "reach",
        "degeneration",
        "training",
        "alignment",
        "reinforcement",
        "study",
        "data",
        "rejects",
        "contracts",
    ),
    *("promotion", "samples", "cost", "origin"),
}


class Page(HTMLParser):
    """What a browser would see: tags, ids, addresses that are loaded, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.loaded: list[str] = []  # addresses of other files
        self.links: list[str] = []  # places of this page
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        links = [given.get(name) or "" for name in ("src", "href", "xlink:href", "data", "poster")]
        self.loaded += [link for link in links if link and not link.startswith("#")]
        self.links += [link for link in links if link.startswith("#")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data of a finished run, and what the report made of them."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGWRITER_HOME", str(folder / "home"))  # its journal would be shown
        settings.cache_clear()
        render(folder, finished_run(folder / "data"))
    settings.cache_clear()
    return folder


@pytest.fixture(scope="module")
def html(shown: Path) -> str:
    return (shown / "out/report.html").read_text(encoding="utf-8")


def render(tmp_path: Path, data: Path) -> str:
    (tmp_path / "out").mkdir(parents=True)
    report.run(data, tmp_path / "metrics", tmp_path / "plots", tmp_path / "out")
    return (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_the_page_has_every_section_and_plot_and_loads_nothing(html: str) -> None:
    page = Page(html)
    assert set(page.ids) >= SECTIONS
    assert len(page.ids) == len(set(page.ids))
    assert html.count("<svg") == 10  # the study has not run, and without texts nothing is known of loops and endings
    assert page.loaded == []
    assert not page.tags & {"script", "img", "link", "iframe", "object"}
    assert "url(http" not in html
    assert "This is a rehearsal." in page.text
    assert "S_l where more than 200 are asked" in page.text  # a quarter of the longest ask
    assert "short ask" in page.text
    assert Path("params.yaml").read_text(encoding="utf-8").strip() in page.text


def test_only_scores_have_a_better_and_a_worse_side(html: str) -> None:
    """More words than the control is no merit, and what is no difference has no column."""
    tables = {name: html.partition(f'<section id="{name}">')[2].partition("</section>")[0] for name in SECTIONS}
    shown = {name: "student − control" in tables[name] for name in ("scores", "lengths", "degeneration")}
    assert shown == {"scores": True, "lengths": False, "degeneration": False}


def test_a_difference_that_may_be_chance_has_no_colour(html: str) -> None:
    section = html.partition('<section id="alignment">')[2].partition("</section>")[0]
    assert re.search(r"S_l [\d.]+ before, <strong>[\d.]+</strong> after \([+-][\d.]+, cannot tell\)", section), section


def test_hostile_text_is_shown_as_text(tmp_path: Path) -> None:
    html = render(tmp_path, finished_run(tmp_path / "data", hostile=HOSTILE))
    page = Page(html)
    assert not page.tags & {"script", "img"}
    assert page.loaded == []
    assert HOSTILE in page.text
    assert "49 " not in page.text.split("</script>")[1][:80]


def test_thoughts_are_folded_and_named_as_such(html: str) -> None:
    folded = html.partition("<details><summary>the model's thoughts, which are in no count and no score</summary>")[2].partition(
        "</details>"
    )[0]
    assert "First I think." in folded
    assert "First I think." not in html.replace(folded, "", 1).partition("<details>")[0]


def test_a_reinforcement_is_shown_with_its_rewards_beside_the_measure_that_is_not_trained(shown: Path, tmp_path: Path) -> None:
    shutil.copytree(shown / "data", tmp_path / "data")
    steps = [
        {"model": "reinforced", "step": step, "loss": 0.1, "reward": step / 20, "reward_length": step / 20, "flat": 0.25, "cut": 0.5}
        | ({"held_out": 40.0 + step} if step in (1, 10, 20) else {})
        | ({"unscored_ranking": 0.2} if step == 20 else {})
        for step in range(1, 21)
    ]
    (tmp_path / "data/reinforce/history.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    section = render(tmp_path, tmp_path / "data").partition('<section id="reinforcement">')[2].partition("</section>")[0]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in section.split("<tr>")]
    rows = {row[0]: row[1:] for row in cells if row}
    assert list(rows)[:2] == [
        "what is trained: the weighted mean of the rewards",
        "not trained: S_l without loops on held-out prompts, 0 to 100",
    ]
    assert rows["not trained: S_l without loops on held-out prompts, 0 to 100"] == ["41", "60"]
    assert rows["reward length, 0 to 1"] == ["0.08", "0.97"]
    assert rows["not scored by ranking, share"] == ["0", "0.10"]
    assert section.count("<svg") == 2
    for label in ("held-out S_l ÷ 100, not trained", "groups without a gradient", "not scored by ranking"):
        assert label in section


def test_without_a_reinforcement_the_page_says_so(html: str) -> None:
    section = html.partition('<section id="reinforcement">')[2].partition("</section>")[0]
    assert "This run reinforced nobody" in section
    assert "<svg" not in section


@pytest.mark.integration
def test_what_is_unscored_is_a_dash_and_not_a_zero(tmp_path: Path) -> None:
    html = render(tmp_path, finished_run(tmp_path / "data", scored=False))
    assert "<b>–</b>" in html
    scores = json.loads((tmp_path / "metrics/scores.json").read_text())
    assert scores["student"]["s_q"] is None
    assert scores["student"]["unscored"] == 4


def test_the_figures_for_git_hold_every_answer_and_step(shown: Path) -> None:
    ruler = (shown / "plots/ruler.csv").read_text().splitlines()
    assert ruler[0] == "model,asked,written,without_loops"
    assert any(line.startswith("control,800,200,") for line in ruler)
    assert len(ruler) == 13
    assert (shown / "plots/loss.csv").read_text().splitlines()[1] == "student,1,5.0"


def test_the_same_run_gives_the_same_page(shown: Path, html: str, tmp_path: Path) -> None:
    assert render(tmp_path, shown / "data") == html


@pytest.mark.parametrize(
    "stage", ["promote", "score", *(pytest.param(one, marks=pytest.mark.slow) for one in ("predict", "build_pairs", "assemble"))]
)
def test_a_run_with_a_missing_stage_still_renders_and_names_what_is_missing(shown: Path, tmp_path: Path, stage: str) -> None:
    shutil.copytree(shown / "data", tmp_path / "data", ignore=lambda folder, _: [stage] if Path(folder) == shown / "data" else [])
    page = Page(render(tmp_path, tmp_path / "data"))
    assert set(page.ids) >= SECTIONS
    assert "This run is not complete." in page.text
    assert stage in page.text.partition("Not written yet:")[2].partition("The sections below")[0]
    assert not (tmp_path / "metrics").exists()  # git's figures are not replaced by those of half a run


def test_a_run_of_nothing_has_every_section(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    page = Page(render(tmp_path, tmp_path / "data"))
    assert "No verdict yet: the stage promote has not run." in page.text
    assert set(page.ids) >= SECTIONS


def test_a_damaged_file_is_an_error_with_its_place(tmp_path: Path) -> None:
    data = finished_run(tmp_path / "data")
    (data / "promote/decision.json").write_text("{")
    with pytest.raises(BadInput, match=r"promote/decision\.json"):
        render(tmp_path, data)


def test_the_page_opens_with_the_verdict_and_the_level_of_proof_before_any_table(html: str) -> None:
    text = Page(html).text
    verdict = "Not promoted: version 2, the student, is challenger; the axis s_bar fails: it is missing."
    assert text.index(verdict) < text.index("rehearsal") < text.index("Asked against written")
    assert html.index('id="verdict"') < html.index("<svg") < html.index("<table")


AXES = (
    Axis(name="s_bar", value=80.0, bound=50.0, passed=True),
    Axis(name="s_l", value=62.0, bound=60.0, passed=True),
    Axis(name="gain_over_champion", value=1.5, bound=0.0, passed=True, interval=Interval(low=0.2, high=2.8)),
)


@pytest.mark.parametrize(
    ("alias", "axes", "sentence"),
    [
        (
            "champion",
            AXES,
            "Promoted: version 2, the student, is champion; all 3 axes hold; gain_over_champion decided: +1.50 [0.20, 2.80], "
            "required above 0.00.",
        ),
        (
            "champion",
            AXES[:2],
            "Promoted: version 2, the student, is champion; all 2 axes hold; s_l was passed most narrowly: 62.00, required at least 60.00.",
        ),
        (
            "challenger",
            (AXES[0], AXES[1].model_copy(update={"value": 40.0, "passed": False})),
            "Not promoted: version 2, the student, is challenger; the axis s_l fails: 40.00, required at least 60.00.",
        ),
        (
            "challenger",
            AXES,
            "Not promoted: version 2, the student, passes every axis, but it was rolled back or "
            "could not be served before, and is blocked.",
        ),
    ],
)
def test_the_verdict_is_one_sentence_with_the_axis_that_decided(
    alias: Literal["champion", "challenger"], axes: tuple[Axis, ...], sentence: str
) -> None:
    decision = Decision(
        version="2",
        model="student",
        alias=alias,
        passed=all(axis.passed for axis in axes),
        axes=axes,
        reason="",
        champion_before=None,
        training_run="a",
        evaluation_run="b",
    )
    served = Served.model_construct(version="2")  # type: ignore[call-arg]
    assert headline(decision, served).sentence == sentence
    if alias == "champion":
        yet = "Not promoted yet: version 2, the student, passes every axis and becomes champion once the stage serve has served it."
        assert headline(decision, None).sentence == headline(decision, served.model_copy(update={"version": "1"})).sentence == yet


@pytest.mark.parametrize(
    ("base", "judge", "level"),
    [
        ("tiny", "rehearsal-judge", "rehearsal"),
        ("Qwen/Qwen2.5-7B-Instruct", "rehearsal-judge", "rehearsal"),
        ("smollm2", None, "small real model"),
        ("Qwen/Qwen2.5-7B-Instruct", "gpt-4o", "real run"),
    ],
)
def test_the_level_of_proof_is_what_took_part(base: str, judge: str | None, level: str) -> None:
    params = load(Path("profiles/small.yaml"))
    named = None if judge is None else params.models.teacher.model_copy(update={"name": judge})
    models = params.models.model_copy(
        update={"teacher": params.models.teacher.model_copy(update={"name": "gpt-4o"}), "judge": named, "second_judge": None}
    )
    assert level_of(params.model_copy(update={"base": params.base.model_copy(update={"model": base}), "models": models})) == level


def test_every_answer_is_a_point_that_opens_its_text(html: str) -> None:
    page = Page(html)
    answers = {name for name in page.ids if name.startswith("answer-")}
    assert len(answers) == 12
    assert answers <= {link.removeprefix("#") for link in page.links}
    assert "student: asked 800, written 800 · S_l 100, S_q 60" in page.text  # a point's title


@pytest.mark.integration
def test_a_thousand_long_answers_with_texts_stay_under_two_megabytes(tmp_path: Path) -> None:
    """Texts that grow when they are escaped, and texts of three bytes a character."""
    data = finished_run(tmp_path / "data")
    predictions = store.read_list(data / "predict/predictions.jsonl", Prediction)
    items = store.read_list(data / "score/items.jsonl", ScoredItem)
    texts = ("<&\">' " * 3000, "长文本写作。" * 3000, "word " * 8000)
    several = [(model, sample) for model in dict.fromkeys(item.model for item in items) for sample in range(84)]
    store.write(
        data / "predict/predictions.jsonl",
        (
            prediction.model_copy(update={"model": model, "sample": sample, "response": texts[sample % 3]})
            for prediction in predictions[:4]
            for model, sample in several
        ),
    )
    made = [item.model_copy(update={"model": model, "sample": sample}) for item in items[:4] for model, sample in several]
    assert len(made) > 1000
    store.write(data / "score/items.jsonl", made)
    assert len(render(tmp_path, data).encode()) < 2_000_000


def test_rejects_are_shown_with_examples_and_endings_by_cause(tmp_path: Path) -> None:
    data = finished_run(tmp_path / "data")
    rejects = [Reject(id=None, stage="write", reason=Reason.REFUSAL, detail=f"I cannot, {n}", source=f"pool.jsonl:{n}") for n in range(9)]
    store.write(data / "write/rejects.jsonl", rejects)
    items = [
        item.model_copy(update={"degeneration": degeneration("A sentence that is not", finish_reason="length")})
        for item in store.read_list(data / "score/items.jsonl", ScoredItem)
    ]
    store.write(data / "score/items.jsonl", items)
    text = Page(render(tmp_path, data)).text
    assert "pool.jsonl:0: I cannot, 0" in text
    assert "pool.jsonl:8" not in text  # the first three are enough
    assert "cut by the token limit" in text


def test_times_of_the_stages_are_shown_and_what_was_not_timed_has_none(tmp_path: Path) -> None:
    data = finished_run(tmp_path / "data")
    for seconds in (9.0, 200.0):  # the last run counts
        stage_times.record(data / "collect", seconds=seconds, at=1.0)
    stage_times.record(tmp_path / "elsewhere/collect", seconds=4000.0, at=1.0)
    assert stage_times.of(data) == {"collect": 200.0}
    assert "3 min 20 s" in Page(render(tmp_path, data)).text


def test_what_the_training_changed_is_student_minus_base_first(tmp_path: Path) -> None:
    page = Page(render(tmp_path, with_base(finished_run(tmp_path / "data"))))
    assert page.text.index("student − base") < page.text.index("student − control")
    assert "What the training changed" in page.text


def test_without_a_judge_the_page_says_so_and_has_its_sections(tmp_path: Path) -> None:
    data = with_base(finished_run(tmp_path / "data", scored=False))
    store.write_json(data / "score/reliability.json", {"judge": None, "duels": []})
    page = Page(render(tmp_path, data))
    assert "No judge saw the answers" in page.text
    assert "S̄ does not exist" in page.text
    assert set(page.ids) >= SECTIONS
