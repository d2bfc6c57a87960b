import asyncio

import pytest

from tasks.agentwrite.writer import Unwritable, write_draft
from tasks.endpoints.chat import Chat, Reply, Request
from tasks.schema.records import Draft, Instruction, Plan, Reason, Step, Usage

PLAN = Plan(
    instruction=Instruction(id="1", text="Write about {{plan}} and $STEP$ in bread.", language="en", words=6, source="f:1"),
    steps=(Step(point="the start", words=3), Step(point="the end", words=3)),
)


class Scripted:
    """A teacher that says its lines in order and remembers what it was asked."""

    def __init__(self, *lines: tuple[str, str]):
        self.lines, self.asked = list(lines), list[Request]()

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        text, finish = self.lines.pop(0)
        return Reply(text, finish, Usage(1, 1), 0.0)


def write(chat: Chat, tries: int = 2) -> Draft | Unwritable:
    return asyncio.run(write_draft(chat, PLAN, tries=tries))


def test_each_paragraph_sees_the_instruction_the_plan_and_all_text_so_far() -> None:
    teacher = Scripted((" One two three.\n", "stop"), ("Four five six.", "stop"))
    draft = write(teacher)
    assert isinstance(draft, Draft)
    assert draft.paragraphs == ("One two three.", "Four five six.")
    second = teacher.asked[1].messages[0].content
    for part in (PLAN.instruction.text, "Paragraph 1 - Main Point: the start", "One two three.", "Paragraph 2 - Main Point: the end"):
        assert part in second


def test_what_comes_before_the_newest_paragraph_is_a_prefix_of_the_next_request() -> None:
    teacher = Scripted(("One two three.", "stop"), ("Four five six.", "stop"))
    write(teacher)
    first, second = (request.messages[0].content for request in teacher.asked)
    prefix = first[: first.index("</text>")].rstrip()
    assert second.startswith(prefix)
    assert second[len(prefix) :].lstrip().startswith("One two three.")


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("", "stop", Reason.EMPTY),
        ("  \n ", "stop", Reason.EMPTY),
        ("One two", "length", Reason.TRUNCATED),
        ("One two", "content_filter", Reason.REFUSAL),
        ("I'm sorry, but I can't help with that request.", "stop", Reason.REFUSAL),
        ("<step>\nParagraph 1", "stop", Reason.LEAKED_PROMPT),
    ],
)
def test_a_bad_paragraph_is_asked_for_again_and_never_kept(text: str, finish: str, reason: Reason) -> None:
    teacher = Scripted((text, finish), ("One two three.", "stop"), ("Four five six.", "stop"))
    draft = write(teacher)
    assert isinstance(draft, Draft)
    assert draft.paragraphs[0] == "One two three."
    assert [request.sample for request in teacher.asked] == [0, 1, 0]
    lost = write(Scripted((text, finish), (text, finish)))
    assert isinstance(lost, Unwritable)
    assert lost.reason == reason
    assert lost.detail.startswith("paragraph 1 of 2, 2 tries: ")


def test_a_paragraph_that_was_written_before_is_a_repetition() -> None:
    lost = write(Scripted(("Same.", "stop"), ("Same.", "stop"), ("Same.", "stop")))
    assert isinstance(lost, Unwritable)
    assert (lost.reason, lost.detail) == (Reason.REPEATED, "paragraph 2 of 2, 2 tries: same as paragraph 1")
