"""The measures in edge cases where a simple count would be wrong."""

import subprocess
import sys

import pytest

from tasks.contracts.measures import BATCH, MeasuredRow, frame, measure, repetition, row_of
from tasks.corpus.likeness import repeats
from tasks.schema.records import Message, Sample
from tests.conftest import ROOT
from tests.tasks.contracts.made import said


def measured(answer: str) -> dict[str, object]:
    messages = (Message(role="user", content="Write."), Message(role="assistant", content=answer))
    row = Sample(id="a", messages=messages, language="en", asked_words=10, written_words=10, paragraphs=1, source="f:1")
    return measure(row_of(1, row), repeats([]))._asdict()


@pytest.mark.parametrize(
    "text", ["Paragraph 3: The river", "**Paragraph 12** The river", "One.\n\nParagraph 2 - Two", "第三段：河流", "第 12 段\n河流"]
)
def test_a_paragraph_that_begins_with_its_number_is_an_identifier(text: str) -> None:
    assert measured(text)["identifiers"] == 1


@pytest.mark.parametrize(
    "text", ["Paragraph 3 of the treaty binds both.", "See paragraph 3: it binds.", "第三段路最难走。", "他走完了第三段：很累。"]
)
def test_prose_that_mentions_a_paragraph_is_not(text: str) -> None:
    assert measured(text)["identifiers"] == 0


def test_repetition_is_the_share_of_sentences_seen_before_whatever_their_case_and_spacing() -> None:
    assert repetition("One day. One  DAY! Another day. 一天。一天。") == pytest.approx(2 / 5)
    assert repetition("") == 0.0


def test_joined_emoji_are_not_invisible_characters_but_a_zero_width_space_is() -> None:
    assert measured("می\u200cخواهم and a sign \u200d alone")["invisible"] == 1
    assert measured("A family 👨\u200d👩\u200d👧 walks.")["invisible"] == 0
    assert measured("A\u200b family\ufeff walks.")["invisible"] == 2


def test_near_copies_are_found_whatever_batches_they_are_in() -> None:
    texts = [f"Write about the {number} lanterns on the bridge over river {number}, and who lights them." for number in range(BATCH + 3)]
    texts[-1] = texts[0].upper()
    rows = [MeasuredRow(n, f"r{n}", f"f:{n}", said(text), "en", None, long=n != BATCH + 4) for n, text in enumerate([*texts, texts[2]], 1)]
    found = frame(rows, repeats([]), None)
    assert list(found["row"]) == list(range(1, len(rows) + 1))
    assert {row: text for row, text in zip(found["row"], found["near_duplicate"], strict=True) if isinstance(text, str)} == {
        BATCH + 3: "100% of f:1"
    }


@pytest.mark.integration
def test_a_frame_holds_no_conversations() -> None:
    """The same measures of answers that are ten times as long take no more memory."""

    def peak(words: int) -> int:
        code = (
            "import sys; from benchmarks.processes import most_memory; from tests.tasks.contracts.made import said\n"
            "from tasks.contracts.measures import MeasuredRow, frame; from tasks.corpus.likeness import repeats\n"
            "from tasks.schema.records import Message\n"
            "words = int(sys.argv[1])\n"
            "def row(n):\n"
            "    turns = (*said(f'Write on road {n}.')[:1], Message(role='assistant', content=f'Road {n}.' + ' stone' * words))\n"
            "    return MeasuredRow(n, f'r{n}', f'f:{n}', turns, 'en', None)\n"
            "table = frame(map(row, range(1_000)), repeats(['x y z']), None)\n"
            "assert len(table) == 1_000; print(most_memory())"
        )
        done = subprocess.run([sys.executable, "-c", code, str(words)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return int(done.stdout)

    assert peak(2_000) < peak(20) + 6 * 2**20  # the longer answers are 12 MB
