"""write.reflect teacher: one note for each paragraph of a finished draft, paid once, checked, and never in the text."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import store, write
from tasks.agentwrite.estimate import EndpointPace, estimate_one
from tasks.agentwrite.reflections import MOST, read_note
from tasks.agentwrite.writer import Event, write_draft
from tasks.corpus.samples import sample_of
from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.ledger import REFLECTION, samples
from tasks.endpoints.replay import JOURNAL, read_journal
from tasks.rehearsal import roles
from tasks.schema.errors import EndpointError, ReplyError, Unanswered
from tasks.schema.params import Bounds, Model, PlanSection, Recipe, load
from tasks.schema.records import Draft, Plan, Sample, Usage
from tasks.schema.settings import settings
from tasks.text.thoughts import split_thoughts
from tests.conftest import ROOT
from tests.tasks.agentwrite.drafts import WRITE, plan

BOUNDS = Bounds(min=40, max=60)
NOTED = WRITE.model_copy(update={"reflect": "teacher"})
Say = Callable[[Request], str]


class Teacher:
    """The rehearsal's teacher; `note` says something else after a paragraph."""

    def __init__(self, note: Say | None = None):
        self.note, self.asked = note, list[Request]()

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        prompt = request.messages[0].content
        if "<finished-" in prompt and self.note:
            return Reply(self.note(request), "stop", Usage(1, 1), 0.0)
        return Reply(roles.answer("rehearsal-teacher", [("user", prompt)], seed=request.sample), "stop", Usage(1, 1), 0.0)

    @property
    def notes(self) -> list[Request]:
        return [request for request in self.asked if request.way == REFLECTION]


def written(teacher: Teacher, *, see: Callable[[Event], None] = lambda _: None, steps: int = 3, **changes: object) -> Draft:
    section = NOTED.model_copy(update=changes)
    made = asyncio.run(write_draft(teacher, plan(steps, text="Write 150 words about bread."), write=section, bounds=BOUNDS, see=see))
    assert isinstance(made, Draft), made
    return made


@pytest.mark.parametrize("mode", ["serial", "parallel", "direct"])
def test_every_mode_gets_one_note_for_each_paragraph_and_the_same_text(mode: str) -> None:
    teacher, events = Teacher(), list[Event]()
    draft = written(teacher, see=events.append, mode=mode)
    assert draft.model_copy(update={"reflections": ()}) == written(Teacher(), mode=mode, reflect="rule")
    assert [note.partition(" has")[0] for note in draft.reflections] == ["Paragraph 1", "Paragraph 2", "Paragraph 3"]
    assert len(teacher.notes) == 3
    assert {request.record for request in teacher.notes} == {draft.instruction.id}
    assert sum("reflection on paragraph" in event.name for event in events) == 3


def test_a_note_sees_its_paragraph_and_the_next_one_and_not_the_whole_text() -> None:
    teacher = Teacher()
    draft = written(teacher, steps=5)
    prompts = [request.messages[0].content for request in teacher.notes]
    for number, prompt in enumerate(prompts):
        assert [paragraph in prompt for paragraph in draft.paragraphs] == [number <= place <= number + 1 for place in range(5)]


def test_the_notes_are_in_the_trace_and_not_in_the_text() -> None:
    recipe = Recipe(words=Bounds(min=1, max=5000), explicit_only=False, min_s_l=0, form="interleaved")
    draft = written(Teacher())
    sample = sample_of(draft, recipe, Counter())
    assert isinstance(sample, Sample)
    thoughts, text = split_thoughts(sample.trace or "")
    assert all(note in thoughts for note in draft.reflections)
    assert text == sample.messages[-1].content == "\n\n".join(draft.paragraphs)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("", "the note is empty"),
        ("word " * (MOST + 1), f"the note has {MOST + 1} words"),
        ("x" * 1_300, "the note has 1 words and 1300 characters"),
        ("A note. </think> More.", "the note has a tag of thoughts: </think>"),
        ("I'm sorry, but I can't help with that request.", "no note: "),
        ("这一段已经写完了，下面要接着写面包的历史，并且不要重复前面的内容，也不要改变语气。" * 2, "no note: zh instead of en"),
        ("As said: Bread was baked in clay ovens long before anybody wrote down how it was to be done.", "the note repeats a paragraph"),
    ],
)
def test_a_note_that_fails_a_check_says_why(said: str, problem: str) -> None:
    near = ("Bread was baked in clay ovens long before anybody wrote down how it was to be done.", "")
    with pytest.raises(ReplyError) as raised:
        read_note(said, near=near, language="en")
    assert problem in str(raised.value)


def test_an_unusable_note_is_asked_for_again_and_then_left_out() -> None:
    teacher = Teacher(lambda request: "" if request.sample == 0 or "number 2 of 3" in request.messages[0].content else "It is\ndone.")
    draft = written(teacher, tries=2)
    assert draft.reflections == ("It is done.", "", "It is done.")
    assert len(teacher.notes) == 6


def test_an_endpoint_that_does_not_answer_a_note_costs_the_note_and_one_that_is_down_ends_the_run() -> None:
    def fails(error: Exception) -> Say:
        def say(_: Request) -> str:
            raise error

        return say

    assert written(Teacher(fails(Unanswered("nobody there")))).reflections == ("", "", "")
    with pytest.raises(EndpointError):
        written(Teacher(fails(EndpointError("it is down"))))


def test_the_estimate_counts_a_call_for_each_paragraph_and_one_more_round() -> None:
    params = load(ROOT / "params.yaml")
    instruction = plan(4, 50, text="Write 200 words about bread.").instruction
    rule, teacher = (
        estimate_one(instruction, plan=params.plan, write=params.write.model_copy(update={"reflect": who}), pace=EndpointPace(1, 50, ""))
        for who in ("rule", "teacher")
    )
    assert teacher.calls == rule.calls + 4
    assert teacher.rounds == rule.rounds + 1
    assert teacher.completion > rule.completion


def test_a_rerun_pays_no_note_again_and_the_ledger_knows_them(tmp_path: Path) -> None:
    params, model = load(ROOT / "params.yaml"), Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=4096)
    plans = [Plan.model_validate(plan(3, text="Write 150 words about bread.").model_dump())]
    store.write(tmp_path / "plans.jsonl", plans)
    journal, drafts = settings().home / JOURNAL, list[list[Draft]]()
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        section: PlanSection = params.plan
        metrics = write.run(tmp_path / "plans.jsonl", tmp_path / run, write=NOTED, plan=section, teacher_model=model)
        drafts.append(store.read_list(tmp_path / run / "drafts.jsonl", Draft))
        assert (metrics["reflections"], metrics["reflections_missing"]) == (3, 0)
    assert drafts[0] == drafts[1]
    (noted,) = samples(read_journal(journal), {}, [REFLECTION])
    assert noted.calls == 3
    assert sum(1 for _ in read_journal(journal)) == 6
