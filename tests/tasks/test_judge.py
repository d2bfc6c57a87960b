"""The judge stage over real HTTP: with the rehearsal's judge, and with a judge of scripted replies."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from tasks import judge, store
from tasks.judging.reliability import reliability
from tasks.judging.rubric import parse_rubric
from tasks.judging.verdicts import draw
from tasks.schema.errors import BadInput, BadPrompt, ReplyError
from tasks.schema.params import load
from tasks.schema.records import Verdict
from tasks.schema.settings import settings
from tests.conftest import ROOT
from tests.tasks.judging.endpoint import ASK, DIMENSIONS, GOOD, Body, asked, endpoint, judged, prediction, run, serving

REFERENCE = ROOT / "tasks/prompts/judge_reference.txt"

TEXTS = ["Bread is old. People baked it in clay ovens.", "", "面包的历史很长。", "12 34 56 !?"]
FIVE = GOOD.replace("4", "5")
UNREADABLE = {
    "prose": ("All six deserve a 5.", "no JSON object"),
    "nulls": (GOOD.replace("4", "null"), "relevance is null"),
    "a fraction": (GOOD.replace("4", "4.5"), "relevance is 4.5"),
    "over the scale": (GOOD.replace("4", "7"), "relevance is 7"),
    "under the scale": (GOOD.replace("4", "0"), "relevance is 0"),
    "a word": (GOOD.replace("4", '"five"'), 'relevance is "five"'),
    "nested": (GOOD.replace("4", '{"why": 4}'), "relevance is {why: 4}"),
    "nested deep": ('{"a": ' * 700 + GOOD + "}" * 700, "JSON nested too deep"),
    "two objects": (f"[{GOOD}, {FIVE}]", "2 verdicts that differ"),
    "truncated": (GOOD[:-1], "JSON cut off or broken"),
    "half of the dimensions": ('{"relevance": 4, "accuracy": 4, "coherence": 4}', "clarity is missing"),
    "nothing": ("", "empty reply"),
}


def test_every_prediction_gets_its_verdict_in_its_place(tmp_path: Path) -> None:
    ran = run(tmp_path, *(prediction(text, id) for id, text in zip("abcd", TEXTS, strict=True)), model="rehearsal-judge")
    assert [verdict.id for verdict in ran.verdicts] == ["a", "b", "c", "d"]
    assert all(verdict.rubric and verdict.problem is None and len(verdict.replies) == 1 for verdict in ran.verdicts)
    assert ran.metrics == {"verdicts": 4, "unscored": 0, "replies": 4, "student_unscored": 0, "duels": 0, "contradictions": 0}
    assert ran.duels == []


def test_verdicts_belong_to_their_answers_whatever_ended_first(tmp_path: Path) -> None:
    async def slow_first(request: web.Request) -> web.Response:
        prompt = asked(await request.json())
        grade = next(grade for grade in range(1, 6) if f"Text {grade}." in prompt)
        await asyncio.sleep(0.3 / grade)
        content = json.dumps(dict.fromkeys(DIMENSIONS, grade))
        return web.json_response({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": content}}]})

    with serving(slow_first):
        ran = run(tmp_path, *(prediction(f"Text {grade}.", str(grade)) for grade in range(1, 6)))
    assert [(verdict.id, str(verdict.rubric.clarity if verdict.rubric else 0)) for verdict in ran.verdicts] == [(i, i) for i in "12345"]


def test_an_unreadable_verdict_is_asked_for_again_and_every_reply_is_kept(tmp_path: Path) -> None:
    said = iter(["Six fives.", '{"relevance": 9}', GOOD])
    with endpoint(lambda _: next(said)) as seen:
        (verdict,) = run(tmp_path, prediction("Bread.")).verdicts
    assert verdict.rubric
    assert verdict.replies == ("Six fives.", '{"relevance": 9}', GOOD)
    assert [body.get("seed") for body in seen] == [None, draw(0, 1), draw(0, 2)]
    assert seen[0]["messages"] == seen[2]["messages"]


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_verdict_that_stays_unreadable_leaves_the_answer_unscored(tmp_path: Path, kind: str) -> None:
    reply, why = UNREADABLE[kind]
    with endpoint(lambda body: GOOD if "Cake." in asked(body) else reply) as seen:
        ran = run(tmp_path, prediction("Bread."), prediction("Cake.", "b"), tries=2)
    verdict, other = ran.verdicts
    assert other.rubric == parse_rubric(GOOD)
    assert (verdict.rubric, verdict.replies, len(seen)) == (None, (reply, reply), 3)
    assert (verdict.problem or "").startswith(why)
    assert (ran.metrics["unscored"], ran.metrics["student_unscored"]) == (1, 1)


@pytest.mark.parametrize(
    ("finish", "why"), [("length", "cut off at the judge's max_tokens"), ("content_filter", "stopped by the endpoint's content filter")]
)
def test_a_verdict_that_is_broken_off_is_asked_for_again(tmp_path: Path, finish: str, why: str) -> None:
    """Also where it could be read: what would have followed may have been another one."""
    with endpoint(lambda body: (FIVE, finish) if "seed" not in body else GOOD):
        (verdict,) = run(tmp_path / "once", prediction("Bread.")).verdicts
        (never,) = run(tmp_path / "never", prediction("Bread."), tries=1, unread=True).verdicts
    assert verdict.rubric == parse_rubric(GOOD)
    assert verdict.replies == (FIVE, GOOD)
    assert (never.rubric, never.replies, never.problem) == (None, (FIVE,), why)


@pytest.mark.parametrize("pairwise", [False, True])
def test_a_judge_of_whom_no_reply_can_be_read_is_an_error_and_its_replies_are_kept(tmp_path: Path, pairwise: bool) -> None:
    answers = [prediction("Bread.", model=model) for model in ("student", "control")]
    why = "comparisons could be read" if pairwise else "verdicts could be read"
    with endpoint(lambda body: "Six fours." if "<first" in asked(body) or not pairwise else GOOD), pytest.raises(ReplyError, match=why):
        run(tmp_path, *answers, pairwise=pairwise, tries=1)
    assert store.read_list(tmp_path / "out" / "verdicts.jsonl", Verdict)


def test_repeats_are_draws_of_their_own_and_come_answer_by_answer(tmp_path: Path) -> None:
    with endpoint(lambda body: json.dumps(dict.fromkeys(DIMENSIONS, 1 + body.get("seed", 0)))) as seen:
        ran = run(tmp_path, prediction("Bread.", "a"), prediction("Cake.", "b"), repeats=2)
    assert [(v.id, v.repeat, v.rubric.relevance if v.rubric else None) for v in ran.verdicts] == [
        ("a", 0, 1),
        ("a", 1, 2),
        ("b", 0, 1),
        ("b", 1, 2),
    ]
    assert (len(seen), ran.metrics["verdicts"], ran.metrics["replies"]) == (4, 4, 4)


def test_more_repeats_pay_for_the_additional_ones_alone(tmp_path: Path) -> None:
    with endpoint(lambda body: GOOD if body.get("seed", 0) % 2 == 0 else "Prose.") as seen:
        few = run(tmp_path, prediction("Bread."), repeats=2)
        paid = len(seen)
        more = run(tmp_path, prediction("Bread."), repeats=4, tries=4)
        assert [verdict for verdict in more.verdicts if verdict.repeat < 2] == few.verdicts
        assert len(seen) == sum(len(verdict.replies) for verdict in more.verdicts) > paid


def test_no_two_tries_of_two_repeats_are_the_same_draw() -> None:
    draws = [draw(repeat, attempt) for repeat in range(100) for attempt in range(100)]
    assert len(set(draws)) == len(draws)
    assert draw(0, 0) == 0


def test_an_answer_is_unscored_only_where_no_repeat_could_be_read(tmp_path: Path) -> None:
    def say(body: dict[str, object]) -> str:
        return "Prose." if "Cake" in asked(body) or "seed" not in body else GOOD

    with endpoint(say):
        metrics = run(tmp_path, prediction("Bread.", "a"), prediction("Cake.", "b", model="control"), repeats=2, tries=1).metrics
    assert (metrics["verdicts"], metrics["unscored"], metrics["student_unscored"], metrics["control_unscored"]) == (4, 1, 0, 1)


def test_a_second_judge_gives_one_verdict_to_each_answer_and_scores_nothing(tmp_path: Path) -> None:
    answers = [prediction("Bread.", "a"), prediction("Cake.", "b")]
    with endpoint(lambda _: GOOD), endpoint(lambda _: "Prose.", "second_judge") as seen:
        ran = run(tmp_path, *answers, second="other-judge", repeats=2, tries=2)
    assert [(v.id, v.repeat, v.second) for v in ran.verdicts] == [
        ("a", 0, False), ("a", 1, False), ("b", 0, False), ("b", 1, False), ("a", 0, True), ("b", 0, True),
    ]  # fmt: skip
    assert {verdict.judge.partition("@")[0] for verdict in ran.verdicts if verdict.second} == {"other-judge"}
    assert (len(seen), ran.metrics["unscored"]) == (4, 0)


def test_the_rehearsals_judges_differ_by_repeat_and_the_second_is_stricter(tmp_path: Path) -> None:
    text = "Bread is old. People baked loaf number {} in clay ovens, and sold it at the market of the town."
    answers = [prediction(" ".join(text.format(number) for number in range(1, 3 + place)), str(place)) for place in range(12)]
    ran = run(tmp_path, *answers, model="rehearsal-judge", second="rehearsal-judge-strict", repeats=3)
    found = reliability(ran.verdicts)
    assert 0 < (found.deviation or 0) < 15
    assert 0 < (found.identical or 0) < 1
    assert found.agreement
    assert found.agreement.overall.bias < -5
    assert found.agreement.answers == 12


def test_the_judge_writes_one_reference_for_all_answers_to_a_prompt_and_grades_with_it(tmp_path: Path) -> None:
    def say(body: Body) -> str:
        return "My own bread." if asked(body) == ASK else GOOD

    with endpoint(say) as seen:
        ran = run(tmp_path, prediction("Bread."), prediction("Cake.", model="base"), prompt=REFERENCE, repeats=2)
    assert [asked(body) == ASK for body in seen].count(True) == 1
    grading = [asked(body) for body in seen if asked(body) != ASK]
    assert len(grading) == 4
    assert all("\nMy own bread.\n</reference-" in prompt for prompt in grading)
    assert {one.rubric is not None for one in ran.verdicts} == {True}


@pytest.mark.parametrize(("reply", "why"), [(("", "stop"), "an empty text"), (("My own", "length"), "cut off at the judge's max_tokens")])
def test_without_a_whole_reference_an_answer_is_unscored(tmp_path: Path, reply: tuple[str, str], why: str) -> None:
    with endpoint(lambda body: reply if asked(body) == ASK else GOOD) as seen:
        ran = run(tmp_path, prediction("Bread."), prompt=REFERENCE, tries=2, unread=True)
    assert len(seen) == 2
    (verdict,) = ran.verdicts
    assert (verdict.rubric, len(verdict.replies)) == (None, 2)
    assert verdict.problem
    assert verdict.problem.startswith("no reference by the judge: ")
    assert why in verdict.problem


def test_a_second_run_pays_for_nothing_and_says_the_same(tmp_path: Path) -> None:
    answers = [prediction("Bread."), prediction("Cake.", model="control")]
    with endpoint(lambda body: '{"winner": "tie"}' if "two texts" in asked(body) else GOOD) as seen:
        first = run(tmp_path, *answers, repeats=2, pairwise=True)
        paid = len(seen)
        assert run(tmp_path, *answers, repeats=2, pairwise=True) == first
    assert len(seen) == paid == 6


def test_the_papers_prompt_is_sent_as_it_is_and_its_replies_are_read(tmp_path: Path) -> None:
    prompt = tmp_path / "official.txt"
    prompt.write_text("Judge.\n<User Request>\n\n$INST$\n\n</User Request>\n\n<Response>\n\n$RESPONSE$\n\n</Response>\nIn JSON.\n")
    reply = json.dumps({"Analysis": "Fair.", **{name.replace("_", " ").title().replace("And", "and"): 3 for name in DIMENSIONS}})
    with endpoint(lambda _: reply) as seen:
        (verdict,) = run(tmp_path, prediction("Bread."), prompt=prompt).verdicts
    assert asked(seen[0]) == prompt.read_text().replace("$INST$", ASK).replace("$RESPONSE$", "Bread.")
    assert verdict.rubric
    assert set(verdict.rubric.model_dump().values()) == {3}
    (rehearsed,) = run(tmp_path, prediction("Bread."), prompt=prompt, model="rehearsal-judge").verdicts
    assert rehearsed.rubric
    assert "Breadth and Depth" in rehearsed.replies[0]


def test_the_official_prompt_is_filled_as_the_official_code_does(tmp_path: Path, data: Path) -> None:
    official = data / "longbench_write" / "judge.txt"
    with endpoint(lambda _: GOOD) as seen:
        run(tmp_path, prediction("Bread.\n\n"), prompt=official)
    assert asked(seen[0]) == official.read_text(encoding="utf-8").replace("$INST$", ASK).replace("$RESPONSE$", "Bread.\n\n")


def test_an_answer_of_ten_megabytes_is_judged(tmp_path: Path) -> None:
    with endpoint(lambda body: GOOD if len(asked(body)) > 10_000_000 else "Cut.") as seen:
        (verdict,) = run(tmp_path, prediction('{"relevance": 5} ' * 600_000)).verdicts
    assert verdict.rubric
    assert len(seen) == 1


def test_an_item_that_the_endpoint_does_not_answer_is_unscored_and_the_others_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def picky(request: web.Request) -> web.Response:
        if "poison" in await request.text():
            return web.json_response({"error": {"message": "broken"}}, status=500)
        return web.json_response({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": GOOD}}]})

    monkeypatch.setenv("LONGWRITER_RETRIES", "1")
    settings.cache_clear()
    with serving(picky):
        ran = run(tmp_path, prediction("Bread.", "a"), prediction("poison", "b"), model="judge")
    assert ran.metrics["unscored"] == 1
    assert [verdict.rubric is None for verdict in ran.verdicts] == [False, True]
    assert "500 (broken)" in (ran.verdicts[1].problem or "")


def test_two_answers_under_one_name_are_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"predictions\.jsonl:3: item\.id: a by student, sample 0, is there twice; fix: run the predict"):
        run(tmp_path, prediction("Bread.", "a"), prediction("Cake.", "b"), prediction("Other bread.", "a"), model="rehearsal-judge")
    ran = run(tmp_path, prediction("Bread.", "a"), prediction("Other bread.", "a", sample=1), model="rehearsal-judge")
    assert [verdict.sample for verdict in ran.verdicts] == [0, 1]


def test_an_answer_without_an_id_is_refused_with_the_line(tmp_path: Path) -> None:
    broken = prediction("Bread.", "a").model_dump()
    del broken["item"]["id"]
    lines = [prediction("Cake.", "b").model_dump_json(), json.dumps(broken)]
    (tmp_path / "predictions.jsonl").write_text("\n".join(lines))
    with pytest.raises(BadInput, match=r"predictions\.jsonl:2: item\.id: missing field"):
        judged(tmp_path / "predictions.jsonl", tmp_path, model="rehearsal-judge")


def test_a_prompt_without_its_placeholders_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Is {{answer}} good?")
    with endpoint(lambda _: GOOD) as seen, pytest.raises(BadPrompt, match=r"mine\.txt: \{\{prompt\}\}: missing placeholder"):
        run(tmp_path, prediction("Bread."), prompt=tmp_path / "mine.txt")
    assert seen == []


def test_without_a_judge_nobody_is_asked_and_every_answer_is_unscored(tmp_path: Path) -> None:
    store.write(tmp_path / "predictions.jsonl", [prediction(text, id) for id, text in zip("abcd", TEXTS, strict=True)])
    (tmp_path / "out").mkdir()
    params = load(ROOT / "profiles/rehearsal.yaml").judge
    prompt = ROOT / "tasks/prompts/judge.txt"
    metrics = judge.run(tmp_path / "predictions.jsonl", prompt, tmp_path / "out", judge=params, judge_model=None, second_judge_model=None)
    assert (metrics["verdicts"], metrics["unscored"], metrics["student_unscored"], metrics["duels"]) == (0, 4, 4, 0)
    assert (tmp_path / "out/verdicts.jsonl").read_bytes() == (tmp_path / "out/duels.jsonl").read_bytes() == b""
