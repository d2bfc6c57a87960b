import json
from pathlib import Path

import pytest

from tasks.corpus.dataset import write_dataset
from tasks.schema.errors import BadInput
from tasks.schema.records import Message, Sample
from tasks.study.texts import read_texts, within


def text_of(content: str, words: int) -> Sample:
    said = (Message(role="user", content="Write."), Message(role="assistant", content=content))
    return Sample(id="a", messages=said, language="en", asked_words=None, written_words=words, paragraphs=1, source="pool:1")


@pytest.mark.parametrize(
    ("content", "words", "cap", "left"),
    [
        ("One two. Three four! Five six?", 6, 6, "One two. Three four! Five six?"),
        ("One two. Three four! Five six?", 6, 5, "One two. Three four!"),
        ("One two. Three four! Five six?", 6, 4, "One two. Three four!"),
        ("One two. Three four! Five six?", 6, 3, "One two."),
        ("One two. Three four! Five six?", 6, 1, None),
        ("# Title\n\nOne 2.5 two, three four.", 6, 3, "# Title"),
        ("“一二三。”四五六！七八九", 9, 7, "“一二三。”四五六！"),
        ("no end at all here", 5, 4, None),
    ],
)
def test_a_text_over_the_cap_ends_behind_the_last_sentence_within_it(content: str, words: int, cap: int, left: str | None) -> None:
    cut = within(text_of(content, words), cap, over="cut")
    assert (cut and cut.messages[-1].content) == left
    assert not cut or (cut.written_words <= cap and cut.messages[0].content == "Write.")
    assert within(text_of(content, words), cap, over="drop") == (text_of(content, words) if words <= cap else None)


def test_a_datasets_folder_gives_its_samples(tmp_path: Path) -> None:
    said = (Message(role="user", content="Write."), Message(role="assistant", content="So be it."))
    sample = Sample(id="a", messages=said, language="en", asked_words=3, written_words=3, paragraphs=1, source="pool:1")
    write_dataset(tmp_path / "dataset", [sample])
    assert list(read_texts(tmp_path / "dataset")) == [sample]


def test_recorded_answers_of_any_names_become_samples_and_blank_ones_do_not(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Write.", "output": "One two.\n\nThree."},
        {"prompt": "写。", "response": "一二三四"},
        {"prompt": "x", "answer": " "},
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    first, second = read_texts(tmp_path)
    assert [message.content for message in first.messages] == ["Write.", "One two.\n\nThree."]
    assert (first.written_words, first.paragraphs, first.language, first.source) == (3, 2, "en", "answers.jsonl:1")
    assert (second.written_words, second.language) == (4, "zh")


def test_a_row_without_an_answer_is_named_by_line_and_field(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"prompt": "Write.", "output": "One."}\n{"prompt": "Write."}\n')
    with pytest.raises(BadInput, match=r"answers\.jsonl:2: response: missing field"):
        list(read_texts(tmp_path / "answers.jsonl"))


def test_the_study_trains_on_texts_without_their_traces(tmp_path: Path) -> None:
    traced = text_of("Bread is old.", 3).model_copy(update={"trace": "<think>\nA plan.\n</think>\n\nBread is old."})
    write_dataset(tmp_path / "dataset", [traced], traced=True)
    assert list(read_texts(tmp_path / "dataset")) == [text_of("Bread is old.", 3)]
