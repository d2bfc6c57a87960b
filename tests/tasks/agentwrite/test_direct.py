"""write.mode direct against a real loopback endpoint: what is accepted, repaired, written serially, and how each is recorded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from tasks import store
from tasks.agentwrite.budget import on_target
from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.agentwrite.writer import Event, write_draft
from tasks.corpus.samples import DraftFault, sample_of
from tasks.endpoints.ledger import samples
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.replay import JOURNAL, read_journal
from tasks.endpoints.roles import open_role
from tasks.rehearsal import roles
from tasks.rehearsal.endpoint import Switches, rehearsal_server
from tasks.rehearsal.prose import paragraph
from tasks.schema.params import Bounds, Model, Recipe, Write
from tasks.schema.records import Draft, Instruction, Language, Plan, Reason, Step
from tasks.schema.settings import Settings, settings
from tasks.text.counts import count_words
from tests.web import served_app

BOUNDS = Bounds(min=40, max=80)
WRITE = Write(version=1, mode="direct", feedback=True, context=32768, tries=2, retakes=1, max_rejects=1)
TEACHER = Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=8192)
RECIPE = Recipe(words=Bounds(min=1, max=100_000), explicit_only=False, min_s_l=0.0)
ASKS = {"en": "Write an essay about bread and its {} ovens.", "zh": "写一篇关于面包和它的{}种炉子的文章。"}
Body = dict[str, Any]


def plan(paragraphs: int, *, words: int = 60, language: Language = "en", number: int = 1, chapters: int = 0) -> Plan:
    text = ASKS[language].format(number)
    asked = Instruction(id=f"id-{number}", text=text, language=language, words=paragraphs * words, source="f:1")
    per = paragraphs // chapters if chapters else 0
    point = "part {} of the bread" if language == "en" else "面包的第{}部分"
    steps = tuple(Step(point=point.format(n + 1), words=words, chapter=n // per + 1 if per else 0) for n in range(paragraphs))
    heads = tuple(Step(point=f"chapter {n + 1}", words=per * words) for n in range(chapters))
    return Plan(instruction=asked, steps=steps, chapters=heads)


@asynccontextmanager
async def serving(say: Callable[[str, int], Body | str], seen: list[Body] | None = None) -> AsyncIterator[str]:
    """An endpoint that says `say(prompt, number of the request)`, from 1: a text, or a whole choice."""
    count = 0

    async def complete(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        asked = orjson.loads(await request.read())
        if seen is not None:
            seen.append(asked)
        said = say(asked["messages"][0]["content"], count)
        choice = said if isinstance(said, dict) else {"finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        return web.json_response({"choices": [{"index": 0, **choice}], "usage": {"prompt_tokens": 9, "completion_tokens": 20}})

    application = web.Application(client_max_size=2**26)
    application.router.add_post("/v1/chat/completions", complete)
    async with served_app(application) as url:
        yield url


def good(prompt: str) -> str:
    """What the rehearsal's teacher says to a prompt."""
    return roles.answer("rehearsal-teacher", [("user", prompt)], seed=0)


def cut(text: str, *, finish: str = "length") -> Body:
    return {"finish_reason": finish, "message": {"role": "assistant", "content": text}}


def write(
    say: Callable[[str, int], Body | str], planned: Plan, *, max_tokens: int | None = None, **changes: object
) -> tuple[Draft | Unwritable, list[Event], list[Body]]:
    events, seen = list[Event](), list[Body]()

    async def go() -> Draft | Unwritable:
        async with serving(say, seen) as url, openai_chat("teacher", url, TEACHER, Settings(retries=0)) as chat:
            section = WRITE.model_copy(update=changes)
            return await write_draft(chat, planned, write=section, bounds=BOUNDS, see=events.append, max_tokens=max_tokens)

    return asyncio.run(go()), events, seen


def whole(draft: Draft | Unwritable) -> Draft:
    """A draft that has its length, one paragraph for each step, and becomes a sample."""
    from collections import Counter

    assert isinstance(draft, Draft), draft
    assert len(draft.paragraphs) == len(draft.steps)
    assert on_target(sum(map(count_words, draft.paragraphs)), draft.instruction.words)
    made = sample_of(draft, RECIPE, Counter())
    assert not isinstance(made, DraftFault), made
    return draft


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_whole_text_of_the_right_length_takes_one_call(language: Language) -> None:
    planned = plan(8, language=language)
    draft, events, seen = write(lambda prompt, _: good(prompt), planned)
    assert whole(draft).way == "direct"
    assert len(seen) == 1
    prompt = seen[0]["messages"][0]["content"]
    assert all(f"Paragraph {number} - " in prompt.partition("<steps>")[2] for number in range(1, 9))
    assert planned.instruction.text in prompt
    assert list(events[0].parts) == list(range(1, 9))
    assert "\n\n".join(whole(draft).paragraphs) == good(prompt)


def test_a_text_over_max_tokens_takes_one_call_per_chapter_and_each_sees_the_text_so_far() -> None:
    draft, _, seen = write(lambda prompt, _: good(prompt), plan(12, chapters=3), max_tokens=700)
    assert whole(draft).way == "direct"
    assert len(seen) == 3
    last = seen[-1]["messages"][0]["content"]
    assert whole(draft).paragraphs[7] in last
    assert "Paragraph 8 - " not in last.partition("<steps>")[2]
    first = seen[0]["messages"][0]["content"]
    assert last.startswith(first[: first.index("\n</text>")])


def test_a_text_over_max_tokens_without_chapters_takes_equal_calls() -> None:
    draft, _, seen = write(lambda prompt, _: good(prompt), plan(9), max_tokens=800)
    assert whole(draft).way == "direct"
    assert [body["messages"][0]["content"].partition("<steps>")[2].count("Paragraph ") for body in seen] == [5, 4]


def test_a_plan_that_misses_the_asked_length_is_scaled_to_it() -> None:
    planned = plan(8)
    planned = planned.model_copy(update={"instruction": planned.instruction.model_copy(update={"words": 560})})
    draft, _, seen = write(lambda prompt, _: good(prompt), planned)
    assert whole(draft).way == "direct"
    assert "together they have 560 words" in seen[0]["messages"][0]["content"]


def test_a_few_sentences_are_no_paragraph_of_the_plan() -> None:
    planned = plan(4, words=80)
    little = "The bread is baked. It is good bread."
    draft, events, _ = write(lambda prompt, number: little if number == 1 else good(prompt), planned)
    assert whole(draft).way == "direct"
    assert events[0].fault
    assert events[0].fault.reason == Reason.TOO_SHORT
    assert not events[0].parts


def test_a_text_cut_in_mid_sentence_goes_on_behind_its_last_sentence() -> None:
    def say(prompt: str, number: int) -> Body | str:
        text = good(prompt)
        return cut(text[: int(0.6 * len(text))]) if number == 1 else text

    draft, events, seen = write(say, plan(10))
    assert whole(draft).way == "repaired"
    assert len(seen) == 2
    assert events[0].fault
    assert events[0].fault.reason == Reason.TRUNCATED
    so_far = seen[1]["messages"][0]["content"].partition("<text>\n")[2].partition("\n</text>")[0]
    assert so_far.rstrip().endswith(".")
    assert so_far in "\n\n".join(whole(draft).paragraphs)
    assert good(seen[0]["messages"][0]["content"]).startswith(so_far[:200])


def test_a_text_without_paragraphs_that_is_cut_off_is_divided_between_sentences() -> None:
    def say(prompt: str, number: int) -> Body | str:
        if number > 1:
            return good(prompt)
        text = " ".join(part.partition("\n")[2] for part in good(prompt).split("\n\n"))
        return cut(text[: int(0.55 * len(text))])

    draft, events, seen = write(say, plan(10))
    assert whole(draft).way == "repaired"
    assert len(seen) == 2
    assert len(events[0].parts) >= 4


def test_a_text_that_ends_early_by_itself_goes_on_with_the_first_paragraph_that_is_missing() -> None:
    def say(prompt: str, number: int) -> str:
        return "\n\n".join(good(prompt).split("\n\n")[:6]) if number == 1 else good(prompt)

    draft, _, seen = write(say, plan(10))
    assert whole(draft).way == "repaired"
    assert len(seen) == 2
    assert seen[1]["messages"][0]["content"].partition("<steps>\n")[2].startswith("Paragraph 7 - ")


def test_an_offer_to_continue_is_no_part_of_the_text() -> None:
    def say(prompt: str, number: int) -> str:
        if number > 1:
            return good(prompt)
        return "\n\n".join(good(prompt).split("\n\n")[:6]) + "\n\nWould you like me to continue with the remaining sections?"

    draft, _, _ = write(say, plan(10))
    assert whole(draft).way == "repaired"
    assert "Would you like" not in "".join(whole(draft).paragraphs)


def test_a_text_to_be_continued_gets_its_last_paragraph_again() -> None:
    def say(prompt: str, number: int) -> str:
        return good(prompt) + ("\n\nTO BE CONTINUED" if number == 1 else "")

    draft, events, seen = write(say, plan(10))
    assert whole(draft).way == "repaired"
    assert len(seen) == 2
    assert events[0].fault
    assert "TO BE CONTINUED" in events[0].fault.detail
    assert seen[1]["messages"][0]["content"].partition("<steps>\n")[2].startswith("Paragraph 10 - ")
    assert "CONTINUED" not in "".join(whole(draft).paragraphs)


def test_a_loop_is_cut_off_and_the_text_goes_on_before_it() -> None:
    def say(prompt: str, number: int) -> Body | str:
        text = good(prompt)
        half = text[: text.rindex("\n\n", 0, len(text) // 2)]
        return cut(half + "\n\nHe knew that it was the only thing that was left to do." * 200) if number == 1 else text

    draft, _, seen = write(say, plan(10))
    assert whole(draft).way == "repaired"
    assert len(seen) == 2
    assert "".join(whole(draft).paragraphs).count("He knew that it was the only thing") <= 1


def test_a_loop_that_is_stopped_leaves_a_beginning_to_go_on_from() -> None:
    planned = plan(24)

    def say(prompt: str, number: int) -> Body | str:
        text = good(prompt)
        half = text[: text.rindex("\n\n", 0, len(text) // 2)]
        return cut(half + "\n\nHe knew that it was the only thing that was left to do." * 400) if number == 1 else text

    draft, events, seen = write(say, planned, stop_early=True)
    assert whole(draft).way == "repaired"
    assert seen[0]["stream"]
    assert events[0].reply.stopped
    assert len(events[0].parts) >= 9
    assert len(seen) == 2


def test_a_change_of_language_is_cut_off_and_the_text_goes_on_before_it() -> None:
    def say(prompt: str, number: int) -> str:
        paragraphs = good(prompt).split("\n\n")
        return (
            "\n\n".join([*paragraphs[:5], *["面包在炉子里慢慢地烤熟，村子里的人都闻到了香味。" * 3] * 5]) if number == 1 else good(prompt)
        )

    draft, _, _ = write(say, plan(10))
    assert whole(draft).way == "repaired"
    assert "面包" not in "".join(whole(draft).paragraphs)


def test_a_condensed_text_is_extended_paragraph_by_paragraph_with_what_is_around_it() -> None:
    planned = plan(10)

    def say(prompt: str, number: int) -> str:
        if number > 1:
            return good(prompt)
        return roles.answer("rehearsal-teacher", [("user", prompt)], seed=0, reach=roles.TeacherReach(480, condensed=True))

    draft, _, seen = write(say, planned)
    assert whole(draft).way == "repaired"
    assert 2 <= len(seen) <= 6
    for body in seen[1:]:
        prompt = body["messages"][0]["content"]
        around, paragraph = (prompt.partition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0] for tag in ("text", "paragraph"))
        assert paragraph in around
        assert around.count("\n\n") <= 4


def test_a_text_somewhat_too_long_is_cut_paragraph_by_paragraph() -> None:
    def say(prompt: str, number: int) -> str:
        text = good(prompt.replace("Word Count: 60 words", "Word Count: 72 words"))
        return text if number == 1 else good(prompt)

    draft, _, seen = write(say, plan(10))
    assert whole(draft).way == "repaired"
    assert all("<paragraph>" in body["messages"][0]["content"] for body in seen[1:])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("I'm sorry, but I can't help with that request.", Reason.REFUSAL),
        ("", Reason.EMPTY),
        ("word " * 9_000, Reason.TOO_LONG),
        (paragraph(topic="面包", language="zh", words=400, part=1, parts=1, seed=1), Reason.LANGUAGE),
        ("It is a fine thing to bake bread. " * 10, Reason.REPEATED),
    ],
)
def test_without_a_usable_part_it_is_asked_once_more_and_then_written_serially(bad: str, reason: Reason) -> None:
    def say(prompt: str, _: int) -> str:
        return bad if "<steps>" in prompt else good(prompt)

    planned = plan(8)
    draft, events, seen = write(say, planned)
    assert whole(draft).way == "serial"
    assert [body.get("seed", 0) for body in seen[:2]] == [0, 1]
    assert len(seen) == 2 + 8
    assert events[0].fault
    assert events[0].fault.reason == reason
    again, _, seen = write(lambda prompt, number: bad if number == 1 else good(prompt), planned)
    assert whole(again).way == "direct"
    assert len(seen) == 2


def test_a_good_beginning_is_kept_and_the_rest_written_serially_if_no_direct_call_brings_more() -> None:
    def say(prompt: str, number: int) -> str:
        if "<steps>" not in prompt:
            return good(prompt)
        return "\n\n".join(good(prompt).split("\n\n")[:4]) if number == 1 else "I'm sorry, but I can't help with that request."

    draft, _, seen = write(say, plan(8))
    assert whole(draft).way == "repaired"
    assert len(seen) == 3 + 4


def test_if_serial_mode_fails_too_the_sample_is_a_reject_with_its_reason() -> None:
    lost, _, _ = write(lambda *_: "I'm sorry, but I can't help with that request.", plan(4))
    assert isinstance(lost, Unwritable)
    assert lost.reason == Reason.REFUSAL


def test_drafts_of_the_other_modes_have_no_way_in_their_file(tmp_path: Path) -> None:
    draft, _, _ = write(lambda prompt, _: good(prompt), plan(4), mode="serial")
    assert "way" not in whole(draft).model_dump_json()
    direct, _, _ = write(lambda prompt, _: good(prompt), plan(4))
    store.write(tmp_path / "drafts.jsonl", [whole(draft), whole(direct)])
    assert [read.way for read in store.read(tmp_path / "drafts.jsonl", Draft)] == [None, "direct"]


def test_the_ledger_says_for_each_sample_how_it_was_made_and_a_rerun_pays_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LONGWRITER_HOME", str(tmp_path))
    plans = [plan(n, number=n) for n in (4, 8, 14)]

    async def go() -> tuple[list[Draft | Unwritable], int]:
        async with rehearsal_server(Switches(reach=600)) as url:
            monkeypatch.setenv("LONGWRITER_TEACHER_URL", url)
            async with open_role("teacher", TEACHER) as chat:
                drafts = [await write_draft(chat, one, write=WRITE, bounds=BOUNDS) for one in plans]
                return drafts, chat.account.calls

    drafts, paid = asyncio.run(go())
    assert [whole(draft).way for draft in drafts] == ["direct", "direct", "repaired"]
    found = samples(read_journal(settings().home / JOURNAL), {})
    assert [(sample.record, sample.way, sample.calls) for sample in found] == [
        ("id-4", "direct", 1),
        ("id-8", "direct", 1),
        ("id-14", "repaired", 2),
    ]
    again, paid_again = asyncio.run(go())
    assert again == drafts
    assert (paid, paid_again) == (4, 0)
