"""`longwriter eval contradictions` and `contradiction-exam`: judges of known skill over HTTP, and what the reports say of them."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from tasks import store
from tasks.endpoints.allowance import SpendLimit
from tasks.evaluation.__main__ import app
from tasks.evaluation.contradictions import ContradictionOptions, contradiction_exam, contradictions, texts_of
from tasks.judging.contradiction_card import ContradictionCard, card_file
from tasks.judging.contradiction_plants import DISTANCES, PlantedAnswer, distance_class, plant
from tasks.judging.contradictions import KINDS, density
from tasks.rehearsal import roles
from tasks.rehearsal.statements import contradictory
from tasks.schema.errors import BadInput, ReplyError, SpendCapReached
from tasks.schema.params import Params, load
from tasks.schema.records import BenchmarkItem, Draft, Instruction, JudgedPart, Prediction, Step
from tasks.text.words import count_fixed
from tests.conftest import ROOT
from tests.tasks.judging.endpoint import Body, asked, endpoint

SUBJECTS = ("bread", "salt", "rain", "tea", "wool", "glass", "paper", "iron")
EMPTY = '{"contradictions": []}'


@pytest.fixture(scope="module")
def params() -> Params:
    return load(ROOT / "params.yaml")


def answer(subject: str, words: int) -> str:
    """Prose without a contradiction: no two sentences differ by a number alone."""
    draw = random.Random(subject)
    things = ("door", "road", "lamp", "river", "table", "garden", "letter", "winter", "bridge", "market", "window", "ladder")
    lines = [f"{draw.choice(things).capitalize()} {number} {' '.join(draw.sample(things, 9))} {subject}." for number in range(words // 12)]
    lines = [re.sub(r" \d+", "", line) for line in lines]
    return "\n\n".join(" ".join(lines[start : start + 8]) for start in range(0, len(lines), 8))


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    rows = []
    for place, subject in enumerate(SUBJECTS):
        item = BenchmarkItem(id=f"p{place}", prompt=f"Write about {subject}.", type="", length=300, language="en")
        text = answer(subject, 300 + 500 * place)
        rows.append(Prediction(item=item, model="m", response=text, finish_reason="stop", tokens=1, seconds=0.1))
    store.write(tmp_path / "predictions.jsonl", rows)
    return tmp_path / "predictions.jsonl"


def rules(body: Body, overlooking: float = 0.0) -> str:
    """The rehearsal's rule judge."""
    return roles.answer("rehearsal-judge", [("user", asked(body))], seed=0, overlooking=overlooking)


def quiet(_: str) -> None:
    """Prints nothing."""


def card_by(reply: Callable[[Body], str], answers: Path, params: Params, **options: Any) -> ContradictionCard:
    with endpoint(reply):
        settings = ContradictionOptions(out=answers.parent / "exams")._replace(**options)
        found = contradiction_exam(answers, params=params, options=settings, say=quiet)
    assert found.card
    return found.card


@pytest.mark.parametrize(("language", "sentence"), [("en", "The mill was built in 1893 and burned down soon after that. "), ("zh", "")])
@pytest.mark.parametrize("place", range(5))
def test_each_class_is_planted_once_with_true_places(language: str, sentence: str, place: int) -> None:
    prompt = "Write a 1500-word essay about bread." if language == "en" else "写一篇1500字的关于面包的散文"
    text = roles.essay(prompt, seed=place)
    text = text.replace("Then, ", f"{sentence}Then, ", 1)
    made = plant(text, language, place=place)
    assert {one.kind for one in made.plants} == set(KINDS)
    for one in made.plants:
        assert one.earlier.end <= one.later.start
        assert one.distance == count_fixed(made.text[one.earlier.end : one.later.start])
    assert without(made, text) == "".join(text.split())
    found = contradictory(made.text)
    assert sorted((pair.earlier_start, pair.later_start) for pair in found) == sorted(
        (one.earlier.start, one.later.start) for one in made.plants
    )
    assert any(one.change == "year" for one in made.plants) == bool(sentence)
    assert plant(text, language, place=place) == made


def without(made: PlantedAnswer, text: str) -> str:
    """The planted text without the planted sentences and without white space."""
    spans = [span for one in made.plants for span in (one.earlier, one.later) if made.text[span.start : span.end] not in text]
    kept, at = "", 0
    for span in sorted(spans):
        kept, at = kept + made.text[at : span.start], span.end
    return "".join((kept + made.text[at:]).split())


def test_a_judge_that_finds_everything_has_full_recall_and_precision(answers: Path, params: Params) -> None:
    card = card_by(rules, answers, params)
    assert card.texts == 8
    assert card.total.recall.of == 8 * len(KINDS)
    assert card.total.recall.share == card.total.precision.share == card.kind_named.share == 1.0
    assert {kind: found.recall.share for kind, found in card.by_kind.items()} == dict.fromkeys(KINDS, 1.0)
    assert {found.recall.of for found in card.by_kind.values()} == {8}
    assert len(card.by_distance) > 1
    assert sum(found.recall.of for found in card.by_distance.values()) == 8 * len(KINDS)
    assert (card.own, card.own_density, card.unread, card.refused) == (0, 0.0, 0, 0)
    assert card_file(answers.parent / "exams", card.judge)


@pytest.mark.parametrize("overlooking", [0.3, 0.6])
def test_a_judge_that_overlooks_a_share_of_them_has_exactly_that_recall(overlooking: float, answers: Path, params: Params) -> None:
    card = card_by(lambda body: rules(body, overlooking), answers, params)
    rows = [plant(one.response, "en", place=place) for place, one in enumerate(store.read(answers, Prediction))]
    pairs = [pair for row in rows for pair in contradictory(row.text)]
    seen = [random.Random(f"{pair.earlier} {pair.later}").random() >= overlooking for pair in pairs]
    assert (card.total.recall.hits, card.total.recall.of) == (sum(seen), len(pairs))
    assert card.total.precision.share == 1.0
    assert card.total.recall.interval
    assert card.total.recall.interval.low < sum(seen) / len(seen) < card.total.recall.interval.high


def test_a_judge_that_sees_near_contradictions_only_shows_so_by_distance(answers: Path, params: Params) -> None:
    def near(body: Body) -> str:
        found = orjson.loads(rules(body))["contradictions"]
        text = asked(body)
        places = [(one, text.index(one["earlier"]) + len(one["earlier"]), text.index(one["later"])) for one in found]
        close = [one for one, end, start in places if count_fixed(text[end:start]) <= DISTANCES[0]]
        return json.dumps({"contradictions": close})

    card = card_by(near, answers, params)
    shares = {name: found.recall.share for name, found in card.by_distance.items()}
    assert shares.pop(distance_class(1)) == 1.0
    assert set(shares.values()) == {0.0}


def test_a_judge_that_finds_nothing_has_no_recall(answers: Path, params: Params) -> None:
    card = card_by(lambda _: EMPTY, answers, params)
    assert (card.total.recall.share, card.total.recall.of) == (0.0, 40)
    assert card.total.precision.share is None
    assert card.own == 0


def inventing(body: Body) -> str:
    """A judge that calls the first two sentences of each text a contradiction."""
    part = re.findall(r"<part-[0-9a-f]+>\n(.*?)\n</part-", asked(body), re.DOTALL)[0]
    first, second = re.findall(r"[^.\n]+\.", part)[:2]
    return json.dumps({"contradictions": [{"kind": "factual_detail", "earlier": first, "later": second, "why": "so it seems"}]})


def test_a_judge_that_invents_contradictions_has_no_precision_and_reports_on_clean_texts(answers: Path, params: Params) -> None:
    card = card_by(inventing, answers, params)
    assert card.total.precision.share == 0.0
    assert card.total.recall.share == 0.0
    assert card.own == 8
    assert card.own_density
    assert card.own_density > 1


def test_a_judge_that_invents_quotes_is_refused_and_its_texts_are_in_no_figure(answers: Path, params: Params) -> None:
    def invents(body: Body) -> str:
        if "rain" in asked(body):
            return json.dumps({"contradictions": [{"kind": "factual_detail", "earlier": "no such words", "later": "nor these", "why": ""}]})
        return rules(body)

    card = card_by(invents, answers, params)
    assert (card.unread, card.unread_plants, card.refused) == (2, 5, 2 * params.judge.tries)
    assert (card.total.recall.share, card.total.recall.of) == (1.0, 35)


def test_the_exam_is_paid_once_and_its_cost_is_known_before(answers: Path, params: Params) -> None:
    lines: list[str] = []
    options = ContradictionOptions(out=answers.parent / "exams")
    with endpoint(rules) as seen:
        estimated = contradiction_exam(answers, params=params, options=options._replace(estimate=True), say=lines.append)
        assert (estimated.card, seen) == (None, [])
        assert estimated.cost.calls == 16
        with pytest.raises(SpendCapReached, match=r"--cap: 15 calls allowed, and this needs 16 calls"):
            contradiction_exam(answers, params=params, options=options._replace(limit=SpendLimit(calls=15)), say=quiet)
        assert seen == []
        first = contradiction_exam(answers, params=params, options=options, say=quiet)
        assert len(seen) == 16
        again = contradiction_exam(answers, params=params, options=options._replace(limit=SpendLimit(calls=1)), say=lines.append)
        assert len(seen) == 16
    assert again.card == first.card
    assert "16 calls" in lines[1]
    assert "0 calls (16 more are recorded" in lines[-1]


def test_contradictions_of_recorded_answers_are_reported_with_their_quotes(answers: Path, params: Params, tmp_path: Path) -> None:
    rows = [
        one.model_copy(update={"response": plant(one.response, "en", place=place).text if place % 2 else one.response})
        for place, one in enumerate(store.read(answers, Prediction))
    ]
    store.write(answers, rows)
    with endpoint(rules) as seen:
        found = contradictions(answers, params=params, options=ContradictionOptions(out=tmp_path / "found", part=800), say=quiet)
    assert found.report
    (figures,) = found.report.models.values()
    texts = [one.response for one in rows]
    assert (figures.texts, figures.scored, figures.count, figures.free) == (8, 8, 20, 0.5)
    expected = [density(5 if place % 2 else 0, count_fixed(text)) for place, text in enumerate(texts)]
    assert figures.density == pytest.approx(sum(expected) / 8)
    assert figures.interval
    assert len(seen) == figures.parts > 8
    parts = store.read_list(tmp_path / "found" / "parts.jsonl", JudgedPart)
    for part in parts:
        for one in part.found or ():
            for quote in (one.earlier, one.later):
                assert texts[int(part.id[1:])][quote.start : quote.end] == quote.text


def test_a_text_file_and_drafts_can_be_judged(tmp_path: Path) -> None:
    (tmp_path / "story.md").write_text("# A\n\nOne two three.", encoding="utf-8")
    assert [one.text for one in texts_of(tmp_path / "story.md", None)] == ["# A\n\nOne two three."]
    asked_for = Instruction(id="1", text="Write about bread.", language="en", words=100, source="f:1")
    steps = tuple(Step(point="bread", words=50) for _ in range(2))
    store.write(tmp_path / "drafts.jsonl", [Draft(instruction=asked_for, steps=steps, paragraphs=("One.", "Two."))])
    for source in (tmp_path, tmp_path / "drafts.jsonl"):
        assert [(one.id, one.text) for one in texts_of(source, None)] == [("1", "One.\n\nTwo.")]


def test_a_judge_that_is_never_readable_ends_with_one_line(answers: Path, params: Params) -> None:
    with endpoint(lambda _: "All is well."), pytest.raises(ReplyError, match="none of 8 parts could be read"):
        contradictions(answers, params=params, options=ContradictionOptions(), say=quiet)


def test_without_a_judge_and_with_too_small_a_context_nothing_is_asked(answers: Path, params: Params) -> None:
    nobody = params.model_copy(update={"models": params.models.model_copy(update={"judge": None})})
    with pytest.raises(BadInput, match=r"models\.judge: null: nobody looks for contradictions"):
        contradictions(answers, params=nobody, options=ContradictionOptions(), say=quiet)
    with pytest.raises(BadInput, match=r"--context: 4,200 tokens.*leave no room"):
        contradictions(answers, params=params, options=ContradictionOptions(context=4_200), say=quiet)


def command(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_the_commands_print_tables_and_json(answers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    text = plant(answer("honey", 900), "en", place=1).text
    (tmp_path / "story.txt").write_text(text, encoding="utf-8")
    with endpoint(rules):
        priced = command("contradictions", "story.txt", "--estimate")
        assert priced.stdout.splitlines()[-1].startswith("1 calls, about ")
        shown = command("contradictions", "story.txt", "--list", "2")
        assert shown.exit_code == 0, shown.output
        assert shown.output.count("  characters ") == 4
        assert "The judge is not examined" in shown.output
        data = orjson.loads(command("contradictions", "story.txt", "--json").stdout.splitlines()[-1])
        assert data["models"]["story"]["count"] == 5
        exam = command("contradiction-exam", str(answers), "--texts", "6")
        assert exam.exit_code == 0, exam.output
        assert "100%" in exam.output
        card = orjson.loads(command("contradiction-exam", str(answers), "--texts", "6", "--json").stdout.splitlines()[-1])
        assert card["total"]["recall"]["share"] == 1.0
        again = orjson.loads(command("contradictions", "story.txt", "--json").stdout.splitlines()[-1])
        assert again["exam"]
    refused = command("contradictions", "story.txt", "--cap", "much")
    assert refused.exit_code == 2
