"""Thoughts are removed from a reply in every format that servers use; a tag that the text only mentions stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.thoughts import split_thoughts

SPLIT = {
    "think": ("<think>\nHm.\n</think>\n\nThe text.", "Hm.", "The text."),
    "thinking": ("<thinking>Hm.</thinking>The text.", "Hm.", "The text."),
    "reasoning": ("\n<reasoning>\nHm.\n</reasoning>\nThe text.", "Hm.", "The text."),
    "capitals": ("<THINK>Hm.</THINK> The text.", "Hm.", "The text."),
    "Seed": ("<seed:think>Hm.</seed:think>The text.", "Hm.", "The text."),
    "Kimi": ("◁think▷Hm.◁/think▷The text.", "Hm.", "The text."),
    "Magistral": ("[THINK]Hm.[/THINK]The text.", "Hm.", "The text."),
    "Command": ("<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>The text.<|END_RESPONSE|>", "Hm.", "The text."),
    "Sky": ("<|begin_of_thought|>Hm.<|end_of_thought|><|begin_of_solution|>The text.<|end_of_solution|>", "Hm.", "The text."),
    "gpt-oss": (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>The text.<|return|>",
        "Hm.",
        "The text.",
    ),
    "gpt-oss with a commentary": (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>Oh.<|end|>"
        "<|start|>assistant<|channel|>final <|constrain|>json<|message|>{}",
        "Hm.\nOh.",
        "{}",
    ),
    "gpt-oss without its tokens": ("analysisWe write. Then stop.assistantfinalThe text.", "We write. Then stop.", "The text."),
    "gpt-oss cut off in its thoughts": ("<|channel|>analysis<|message|>Hm.", "Hm.", ""),
    "gpt-oss without thoughts": ("<|channel|>final<|message|>The text.", "", "The text."),
    "no opening tag": ("Hm. I write it.\n</think>\n\nThe text.", "Hm. I write it.", "The text."),
    "no opening tag, on the line": ("Hm. I write it.</think>The text.", "Hm. I write it.", "The text."),
    "no opening tag, Chinese": ("我想一想。</think>正文。", "我想一想。", "正文。"),
    "a closing tag first": ("</think>\nThe text.", "", "The text."),
    "no closing tag": ("<think>Hm. I write", "Hm. I write", ""),
    "empty thoughts": ("<think>\n\n</think>\n\nThe text.", "", "The text."),
    "only thoughts": ("<think>Hm.</think>", "Hm.", ""),
    "twice": ("<think>Hm.</think>\n<think>Oh.</think>\nThe text.", "Hm.\nOh.", "The text."),
    "a template's tokens first": ("<|im_start|>assistant\n<think>Hm.</think>The text.", "Hm.", "The text."),
    "a byte order mark first": ("\ufeff<think>Hm.</think>The text.", "Hm.", "The text."),
    "closed by a related name": ("<think>Hm.</thinking>The text.", "Hm.", "The text."),
    "a tag mentioned in the thoughts": ("<think>I write </think> when I am done.\n</think>\nThe text.", None, "The text."),
    "an answer's tags behind": ("<think>Hm.</think>\n<answer>\nThe text.\n</answer>", "Hm.", "The text."),
    "a mention behind": ("<think>Hm.</think>\nThe tag `</think>` ends them.", "Hm.", "The tag `</think>` ends them."),
    "JSON behind": ('First {"a": 1}, hm.\n</think>{"a": 2}', 'First {"a": 1}, hm.', '{"a": 2}'),
}
KEPT = (
    "",
    "The text.",
    "  The text, with white space.\n",
    "Reasoning models write <think> and </think> around their thoughts.",
    "Reasoning models write `<think>` first and `</think>` last.\n\nThen comes the text.",
    "The template ends with `</think>`, which vLLM reads.",
    "The closing tag is </think>. Behind it stands the text.",
    "The closing tag “</think>” comes last.",
    "The closing tag is:\n\n</think>\n\nIt ends them.",
    "It forgot its </think>\n\nSo it was empty.",
    "An example:\n\n```\nHm.\n</think>\nThe text.\n```\n\nThat is all.",
    "An example:\n\n<think>\nHm.\n</think>\n\nThat is all.",
    "She said [THINK] twice, then ◁think▷.",
    "In the final analysis, the channel is what she thinks of.",
    "analysis is the first word here.",
)


@pytest.mark.parametrize("name", SPLIT)
def test_thoughts_are_split_off_in_every_form(name: str) -> None:
    reply, reasoning, text = SPLIT[name]
    found = split_thoughts(reply)
    assert found.text == text
    assert reasoning is None or found.reasoning == reasoning


@pytest.mark.parametrize("text", KEPT)
def test_a_text_without_thoughts_stays_as_it_is(text: str) -> None:
    assert split_thoughts(text) == ("", text)


@given(st.lists(st.sampled_from(("<think>", "</think>", "[THINK]", "[/THINK]", "\n", " ", "Hm.", "so", "`", "```"))))
def test_no_word_is_lost(parts: list[str]) -> None:
    found = split_thoughts("".join(parts))
    assert f"{found.reasoning} {found.text}".count("Hm.") == parts.count("Hm.")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    [
        "<think>",
        "</think>",
        "<think>a</think>",
        "<think> a </think> b",
        "[THINK]",
        "\n</think>",
        "```</think>\n",
        " ",
        "<|channel|>final<|message|> ",
    ],
)
def test_a_megabyte_of_tags_is_split_in_linear_time(piece: str) -> None:
    split_thoughts(piece * (1_000_000 // len(piece)))
    split_thoughts(f"<think>{piece * (1_000_000 // len(piece))}x")
