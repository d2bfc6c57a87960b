import asyncio

import pytest

from tasks.corpus.selection import Choice, choose
from tasks.endpoints.chat import Reply, Request
from tasks.schema.errors import ReplyError
from tasks.schema.records import Usage


class Scripted:
    """A selector that says its lines in order and remembers what it was asked."""

    def __init__(self, *lines: str):
        self.lines, self.asked = list(lines), list[Request]()

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply(self.lines.pop(0), "stop", Usage(1, 1), 0.0)


@pytest.mark.parametrize(
    "text",
    [
        '{"needs_long_answer": true, "words": 900, "topic": "essay"}',
        '```json\n{"needs_long_answer": true, "words": 900, "topic": "essay"}\n```',
        ' {"topic":"essay","words":900,"needs_long_answer":true}\n',
        'My choice: {"topic":"essay","words":900,"needs_long_answer":true}. I hope that helps!',
    ],
)
def test_a_choice_is_one_json_object_in_a_fence_or_without(text: str) -> None:
    assert asyncio.run(choose(Scripted(text), "Write.")) == Choice(needs_long_answer=True, words=900, topic="essay")


def test_a_reply_that_cannot_be_read_is_asked_for_once_more_as_a_new_sample() -> None:
    selector = Scripted("Yes, of course.", '{"needs_long_answer": false, "words": null, "topic": "other"}')
    assert asyncio.run(choose(selector, "Write.")) == Choice(needs_long_answer=False, words=None, topic="other")
    assert [request.sample for request in selector.asked] == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"needs_long_answer": "yes", "words": 1}',
        '{"needs_long_answer": true, "words": 0}',
        '{"needs_long_answer": true, "words": 1, "topic": "essay", "x": 1}',
        '{"needs_long_answer": true, "words": 1, "topic": "cooking"}',
        "[1]",
    ],
)
def test_no_choice_is_ever_made_up(text: str) -> None:
    with pytest.raises(ReplyError, match="no choice in 2 replies"):
        asyncio.run(choose(Scripted(text, text), "Write."))


def test_the_instruction_stands_between_its_tags_literally() -> None:
    selector = Scripted('{"needs_long_answer": true, "words": 900, "topic": "essay"}')
    asyncio.run(choose(selector, "Write about {{instruction}}."))
    assert "<instruction>\nWrite about {{instruction}}.\n</instruction>" in selector.asked[0].messages[0].content
