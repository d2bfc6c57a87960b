"""Recorded answers in the shapes of servers and other tools are read like replies: text, thoughts, finish reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks import store
from tasks.evaluation.recorded import read_recorded, score_recorded
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, Prediction

PROMPT = "Write 8 words about bread."
TEXT = "The oven was lit at dawn, she said."
THOUGHTS = "Eight words. I could write many more of them."
MESSAGE = {"role": "assistant", "content": TEXT, "reasoning_content": THOUGHTS}
COMPLETION = {"choices": [{"index": 0, "finish_reason": "max_tokens", "message": MESSAGE}]}
ASKED = {"prompt": PROMPT, "length": 8}
TURNS = (("user", PROMPT), ("assistant", TEXT))
USER = {"role": "user", "content": PROMPT}

Row = dict[str, Any]
SHAPES: dict[str, tuple[Row, str, str]] = {  # the row, its thoughts, its finish reason
    "plain": ({**ASKED, "response": TEXT, "finish_reason": "eos"}, "", "eos"),
    "tags": ({**ASKED, "response": f"<think>{THOUGHTS}</think>\n{TEXT}"}, THOUGHTS, ""),
    "a closing tag": ({**ASKED, "output": f"{THOUGHTS}\n</think>\n\n{TEXT}"}, THOUGHTS, ""),
    "thoughts beside it": ({**ASKED, "response": TEXT, "reasoning": THOUGHTS, "stop_reason": "end_turn"}, THOUGHTS, "end_turn"),
    "parts": ({**ASKED, "response": [{"type": "thinking", "thinking": THOUGHTS}, {"type": "text", "text": TEXT}]}, THOUGHTS, ""),
    "a completion": ({**ASKED, "response": COMPLETION}, THOUGHTS, "max_tokens"),
    "a completion, prompt beside it": ({**ASKED, **COMPLETION}, THOUGHTS, "max_tokens"),
    "a text completion": ({**ASKED, "response": {"choices": [{"text": TEXT, "finish_reason": "eos_token"}]}}, "", "eos_token"),
    "a batch's output": ({**ASKED, "custom_id": "a", "response": {"status_code": 200, "body": COMPLETION}}, THOUGHTS, "max_tokens"),
    "Ollama": ({**ASKED, "response": {"message": {"content": TEXT, "thinking": THOUGHTS}, "done_reason": "stop"}}, THOUGHTS, "stop"),
    "Anthropic": ({**ASKED, "response": {"content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn"}}, "", "end_turn"),
    "a completion as a string": ({**ASKED, "response": json.dumps(COMPLETION)}, THOUGHTS, "max_tokens"),
    "Gemini": (
        {
            **ASKED,
            "response": {
                "candidates": [{"content": {"parts": [{"text": THOUGHTS, "thought": True}, {"text": TEXT}]}, "finishReason": "MAX_TOKENS"}]
            },
        },
        THOUGHTS,
        "MAX_TOKENS",
    ),
    "Bedrock": (
        {**ASKED, "response": {"output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}}, "stopReason": "end_turn"}},
        "",
        "end_turn",
    ),
    "Ollama's generate": ({**ASKED, "response": {"response": TEXT, "done": True, "done_reason": "length"}}, "", "length"),
    "Responses": (
        {
            **ASKED,
            "response": {
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": THOUGHTS}]},
                    {"type": "message", "content": [{"type": "output_text", "text": TEXT}]},
                ],
            },
        },
        THOUGHTS,
        "max_output_tokens",
    ),
    "transformers": ({**ASKED, "response": [{"generated_text": TEXT}]}, "", ""),
    "a chat": ({"length": 8, "messages": [{"role": "system", "content": "Be brief."}, USER, MESSAGE]}, THOUGHTS, ""),
    "a chat of parts": (
        {"length": 8, "messages": [{"role": role, "content": [{"type": "text", "text": said}]} for role, said in TURNS]},
        "",
        "",
    ),
    "lm-eval": ({"doc_id": 0, "doc": {**ASKED, "type": "x"}, "resps": [[TEXT]], "filtered_resps": [TEXT]}, "", ""),
    "evalscope": ({"index": 0, "messages": [USER], "model_output": COMPLETION, "metadata": {"length": 8}}, THOUGHTS, "max_tokens"),
    "Inspect": ({"samples": [{"id": 1, "input": PROMPT, "output": COMPLETION, "metadata": {"length": 8}}]}, THOUGHTS, "max_tokens"),
}  # fmt: skip


def written(path: Path, *rows: Row) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_read_as_it_is_meant(tmp_path: Path, shape: str) -> None:
    row, thoughts, finish = SHAPES[shape]
    (found,) = read_recorded(written(tmp_path / "rows.jsonl", row))
    assert (found.item.prompt, found.item.length) == (PROMPT, 8)
    assert (found.response, found.reasoning, found.finish_reason) == (TEXT, thoughts, finish)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({**ASKED, "response": None}, "response: not a string: None"),
        ({**ASKED, "response": 5}, "response: not a string: 5"),
        ({**ASKED, "response": ["a", "b"]}, "response: not a string: ['a', 'b']"),
        ({**ASKED}, "response: missing field"),
        (
            {**ASKED, "response": {"status_code": 429, "body": {"error": {"message": "slow"}}}},
            "response: an error in place of an answer: slow",
        ),
        ({**ASKED, "response": {"a": 1}}, "response: an object without an answer that is known: its fields are a"),
        ({**ASKED, "response": [{"type": "image_url"}]}, "response: the content has a part of type 'image_url', which is no text"),
        ({"custom_id": "a", "response": {"status_code": 200, "body": COMPLETION}}, "prompt: missing field"),
        ({"messages": [USER], "length": 8}, "response: missing field"),
    ],
)
def test_what_is_no_answer_is_refused_in_one_line(tmp_path: Path, row: Row, why: str) -> None:
    with pytest.raises(BadInput) as raised:
        list(read_recorded(written(tmp_path / "rows.jsonl", row)))
    assert f"rows.jsonl:1: {why}" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("answer", ['{"choices": ["rye", "wheat"]}', '{"candidates": [{"name": "Ann"}]}', '{"choices": [', '{"bread": 1}'])
def test_an_answer_that_is_json_stays_as_it_is(tmp_path: Path, answer: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({**ASKED, "response": answer}))
    (one,) = read_recorded(path)
    assert one.response == answer


def test_several_answers_in_one_row_are_samples(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", {"doc": ASKED, "resps": [[TEXT, f"{TEXT} Twice."]]})
    assert [(found.sample, found.response) for found in read_recorded(path)] == [(0, TEXT), (1, f"{TEXT} Twice.")]


def test_thoughts_are_in_no_score_and_paper_mode_says_what_the_papers_script_would_count(tmp_path: Path) -> None:
    plain = written(tmp_path / "plain.jsonl", {**ASKED, "response": TEXT})
    inline = written(tmp_path / "inline.jsonl", {**ASKED, "response": f"<think>{THOUGHTS * 9}</think>{TEXT}"})
    beside = written(tmp_path / "beside.jsonl", {**ASKED, "response": TEXT, "reasoning_content": THOUGHTS * 9})
    cards = [summarise(list(score_recorded(path))) for path in (plain, inline, beside)]
    assert [card.s_l for card in cards] == [100.0] * 3
    assert [card.reasoned for card in cards] == [0, 1, 1]
    assert [card.stripped is None for card in cards] == [True, False, True]
    assert cards[1].stripped is not None
    assert (cards[1].stripped.answers, cards[1].stripped.s_l) == (1, 0.0)


def test_an_evaluations_own_folder_and_the_predictions_of_several_models_are_scored(tmp_path: Path) -> None:
    item = BenchmarkItem(id="a", prompt=PROMPT, type="News", length=8, language="en")
    answers = [
        Prediction(item=item, model=model, response=TEXT, finish_reason="stop", tokens=9, seconds=0.1, reasoning=THOUGHTS, inline=True)
        for model in ("student", "control")
    ]
    store.write(tmp_path / "predictions.jsonl", answers)
    written(tmp_path / "items.jsonl", {"no": "answer"})
    items = list(score_recorded(tmp_path))
    assert [(one.model, one.id, one.written, one.s_l, one.reasoned) for one in items] == [
        ("student", "a", 8, 100.0, True),
        ("control", "a", 8, 100.0, True),
    ]
    assert (items[0].with_thoughts or 0) > 8
