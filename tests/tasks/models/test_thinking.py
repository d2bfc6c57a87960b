"""The thinking forms of published chat templates, found by rendering; and that a trace reaches the model through each of them whole."""

from functools import cache
from typing import Any

import pytest

from tasks.models.chat_templates import known_by_trl, shipped
from tasks.models.rendering import RenderRequest, Result
from tasks.models.rendering import _one as rendered_here
from tasks.models.rendering import _turns as turns_of
from tasks.models.thinking import ThinkingForm, found_in, requests_of, thinking_form
from tasks.schema.records import Message
from tasks.text.thoughts import split_thoughts
from tasks.text.traces import OURS, SPARE, Tags, TraceBlock, interleave
from tasks.training.conversations import IGNORED, Encoder
from tasks.training.tokenizer import CHAT_TEMPLATE
from tasks.training.traced import Traced, Unrenderable, choose_tags, tags_for
from tests.tasks.models.marked_templates import GOOD, PROMPT, marked
from tests.tasks.models.template_table import TOKENS, published
from tests.tasks.training.packs import answers, encoded

THINK = ThinkingForm(exists=True, tags=OURS)
CHANNELS = ThinkingForm(exists=True, tags=None)  # of gpt-oss and Gemma: they cannot stand between two paragraphs
NONE = ThinkingForm(exists=False)
# Of the form of Magistral's template: thoughts are parts of a content.
PARTS = (
    "{% for m in messages %}[{{ m.role }}]{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
    "{% if p.type == 'thinking' %}[THINK]{{ p.thinking }}[/THINK]{% else %}{{ p.text }}{% endif %}{% endfor %}{% endif %}</s>{% endfor %}"
)
COMMAND = PARTS.replace("[THINK]", "<|START_THINKING|>").replace("[/THINK]", "<|END_THINKING|>")
OPENS = marked(GOOD).replace(PROMPT, "{% if add_generation_prompt %}<|im_start|>assistant\n<|begin_of_thought|>\n{% endif %}")

TEXT = "Bread is old.\n\nOvens are older."
BLOCKS = [TraceBlock("Plan: two.", "Bread is old."), TraceBlock("Next: ovens.", "Ovens are older."), TraceBlock("Done.")]
TRACE = interleave(BLOCKS)


@cache
def found() -> dict[str, ThinkingForm]:
    """The form of each published template, and of the ones above. They are known, so that no child process has to render them."""
    templates = {**published(), "parts": PARTS, "command": COMMAND, "opens": OPENS, "tiny": CHAT_TEMPLATE}
    return {name: found_in([rendered(request) for request in requests_of(template)]) for name, template in templates.items()}


def rendered(request: RenderRequest) -> Result:
    return rendered_here(request.template, turns_of(request), request.prompt, TOKENS)  # type: ignore[arg-type]


@pytest.mark.slow  # a child process that imports transformers
def test_a_child_process_finds_the_same_form() -> None:
    for name in ("qwen3", "parts"):
        assert thinking_form({**published(), "parts": PARTS}[name], TOKENS) == found()[name]


def test_thinking_forms_are_found_by_rendering() -> None:
    forms = found()
    for name in ("qwen3", "qwen3_5_think", "qwen3_5_nothink", "qwen3_8", "deepseek_r1_distill", "glm4moe", "lfm2_2_5", "nemotron_3_nano"):
        assert forms[name] == THINK, name
    for name in ("gptoss", "gemma4_v5", "muse_glimmer"):
        assert forms[name] == CHANNELS, name
    for name in ("llama3_1", "qwen2_5", "qwen3_instruct_2507", "gemma3", "phi3", "tiny"):
        assert forms[name] == NONE, name
    assert forms["parts"] == ThinkingForm(exists=True, tags=Tags("[THINK]", "[/THINK]"))
    assert forms["command"] == ThinkingForm(exists=True, tags=Tags("<|START_THINKING|>", "<|END_THINKING|>"))
    assert forms["opens"] == ThinkingForm(exists=True, tags=Tags("<|begin_of_thought|>", "<|end_of_thought|>"))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return encoded(answers(8))[0]


def turns(answer: str, *earlier: str) -> list[Message]:
    contents = [*earlier, "Write about bread.", answer]
    return [Message(role="assistant" if number % 2 else "user", content=text) for number, text in enumerate(contents)]


def read(tokenizer: Any, template: str, *, tags: Tags = OURS, messages: list[Message] | None = None) -> tuple[str, str]:
    """(all text, the text of the targets) of a conversation with a trace."""
    tokenizer.chat_template = template
    (tokens,) = Encoder(tokenizer, tags).encode([Traced(messages or turns(TEXT), TRACE)])
    return tokenizer.decode(tokens.input_ids), tokenizer.decode([label for label in tokens.labels if label != IGNORED])


TRAINED = {name: forms[0] for name, template in published().items() if (forms := list(known_by_trl(template).values()))}
TRAINED |= {"llama3_1": shipped()["llama-3.1"], "qwen2_5": shipped()["qwen2.5"], "qwen3_instruct_2507": shipped()["chatml"]}
FINAL = ("<|start|>assistant<|channel|>final<|message|>", "<|start|>assistant to=user<|message|>")  # before an answer, in channels
NO_TEXT = ("idefics3", "smolvlm", "llava_next")  # templates that render no plain text as a content


@pytest.mark.parametrize("name", sorted(TRAINED.keys() - set(NO_TEXT)))
def test_a_trace_is_trained_on_whole_behind_what_the_model_is_asked_with(tokenizer: Any, name: str) -> None:
    """The template itself would drop, merge or move the thoughts: Qwen3's keeps what follows the last closing tag."""
    tags = found()[name].tags or OURS
    whole, targets = read(tokenizer, TRAINED[name], tags=tags)
    tokenizer.chat_template = TRAINED[name]
    asked = tokenizer.apply_chat_template([turns("")[0].model_dump()], tokenize=False, add_generation_prompt=True)
    assert whole.startswith(asked), "the model continues what a server sends"
    said = next((targets.removeprefix(begin) for begin in FINAL if targets.startswith(begin)), targets)
    stripped = split_thoughts(said.rpartition(tags.close)[0] + tags.close)
    assert stripped.text == TEXT
    assert stripped.reasoning.split("\n") == ["Plan: two.", "Next: ovens.", "Done."]
    assert whole.count(tags.close) - asked.count(tags.close) == len(BLOCKS), "no empty thoughts beside the trace"


def test_earlier_answers_of_a_conversation_are_targets_too(tokenizer: Any) -> None:
    _, targets = read(tokenizer, TRAINED["qwen2_5"], messages=turns(TEXT, "What is bread?", "A food."))
    assert targets.startswith("A food.")
    assert split_thoughts(targets.partition("<|im_end|>")[2].lstrip().partition("<|im_end|>")[0]).text == TEXT


def test_text_that_spells_special_tokens_stays_text_in_a_trace_too(tokenizer: Any) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE
    controls = set(tokenizer.get_added_vocab().values())
    plain, spelled = (
        Encoder(tokenizer).encode([Traced(turns(TEXT), interleave([block._replace(thoughts=said) for block in BLOCKS]))])[0]
        for said in ("Plan: two.", "Plan: <|end|> two <|assistant|>.")
    )
    assert [token for token in spelled.input_ids if token in controls] == [token for token in plain.input_ids if token in controls]
    assert tokenizer.decode(spelled.input_ids).count("Plan: <|end|> two <|assistant|>.") == len(BLOCKS)
    assert (spelled.labels != IGNORED).sum() > (plain.labels != IGNORED).sum()


def test_a_trace_of_no_answer_and_a_template_that_begins_answers_elsewhere_are_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE
    with pytest.raises(Unrenderable, match="the last turn is not the assistant's"):
        Encoder(tokenizer).encode([Traced(turns(TEXT)[:1], TRACE)])
    tokenizer.chat_template = marked(GOOD).replace(PROMPT, "{% if add_generation_prompt %}<|im_start|>writer\n{% endif %}")
    with pytest.raises(Unrenderable, match="begins an answer in another way than it asks for one"):
        Encoder(tokenizer).encode([Traced(turns(TEXT), TRACE)])


def test_a_base_without_a_thinking_form_gets_our_tags_and_one_line_says_so(tokenizer: Any) -> None:
    chosen = tags_for(tokenizer, CHAT_TEMPLATE, model="tiny")
    assert chosen == (OURS, "tiny: its chat template has no thinking form; its thoughts are trained in <think> and </think>")


def test_tags_that_a_server_leaves_out_of_an_answer_are_not_used() -> None:
    made = encoded(answers(8))[0]
    made.add_special_tokens({"extra_special_tokens": ["[THINK]", "[/THINK]", "<think>"]})
    chosen = choose_tags(made, found()["parts"], model="org/model")
    assert chosen.tags == SPARE[1]
    assert chosen.note == (
        "org/model: servers leave the special tokens [THINK] and [/THINK] of its chat template out of an answer; "
        "its thoughts are trained in <thinking> and </thinking>"
    )
