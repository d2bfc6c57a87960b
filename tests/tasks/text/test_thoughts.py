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


TAGS = (("<think>\n", "\n</think>"), ("[THINK]", "[/THINK]"), ("◁think▷\n", "\n◁/think▷"))
PROSE = st.lists(
    st.sampled_from(("Bread was baked.", "An oven, 3 > 2.", "烤面包的日子。", "A <b>list</b>.", "- one\n- two", "`</think>` ends it.")),
    min_size=1,
)


def trace(paragraphs: list[str], tags: tuple[str, str], *, times: int = 1) -> str:
    """A text with thoughts before each paragraph and at its end, each block `times` times."""
    blocks = ["\n\n".join([f"{tags[0]}I have written {number} of them.{tags[1]}"] * times) for number in range(len(paragraphs) + 1)]
    return "\n\n".join([part for pair in zip(blocks, paragraphs, strict=False) for part in pair] + blocks[-1:])


@given(PROSE, st.sampled_from(TAGS))
def test_thoughts_between_paragraphs_are_taken_out_byte_for_byte_and_their_number_changes_nothing(
    paragraphs: list[str], tags: tuple[str, str]
) -> None:
    text = "\n\n".join(paragraphs)
    once, twice = (split_thoughts(trace(paragraphs, tags, times=times)) for times in (1, 2))
    assert once.text == twice.text == text
    assert once.reasoning.count("I have written") == len(paragraphs) + 1
    assert twice.reasoning.count("I have written") == 2 * len(paragraphs) + 2


def test_thoughts_between_paragraphs_are_read_where_thoughts_came_first() -> None:
    text = "One.\n\n<think>\nHm.\n</think>\n\nTwo."
    assert split_thoughts(text) == ("", text)
    assert split_thoughts(text, reasoned=True) == ("Hm.", "One.\n\nTwo."), "the server has split off the first thoughts"
    assert split_thoughts(f"<think>Oh.</think>{text}") == ("Oh.\nHm.", "One.\n\nTwo.")
    assert split_thoughts("<think>Oh.</think>One.\n\n<think>\nHm, the next") == ("Oh.\nHm, the next", "One."), "cut off"
    assert split_thoughts("<think>Oh.</think>One.\n\n<think>\nHm.\n</think>\nTwo.\n\nThree.") == ("Oh.\nHm.", "One.\n\nTwo.\n\nThree.")
    assert split_thoughts("<think>Oh.</think>One.\n\n<think>\nHm </think> is a tag.\n</think>\n\nTwo.").text == "One.\n\nTwo."
    for kept in (
        "An example:\n\n<think>\nHm.\n</think>\n\nThe end.",
        "```\n\n<think>\nHm.\n</think>\n\n```",
        "The tag <think> and </think>.",
    ):
        assert split_thoughts(f"<think>Oh.</think>{kept}") == ("Oh.", kept)


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
def test_tags_are_split_in_linear_time(piece: str) -> None:
    split_thoughts(piece * (250_000 // len(piece)))
    split_thoughts(f"<think>{piece * (250_000 // len(piece))}x")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["\n\n<think>\n", "a\n\n<think>\n</think>\n\n", "\n\n[THINK]\n\n<think>\n", " \n"])
def test_thoughts_between_paragraphs_are_read_in_linear_time(piece: str) -> None:
    split_thoughts(f"<think>a</think>b{piece * (300_000 // len(piece))}x")
