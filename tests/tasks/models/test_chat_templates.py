"""The examination of chat templates, and that the shipped forms render the same text as the published templates."""

import random
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.models.chat_templates import OWN, PROBES, TemplateTokens, check_safe, examine, judged, look, shipped, training_form
from tasks.models.rendering import RenderedText, RenderingFailed, RenderRequest, render
from tasks.schema.errors import BadInput
from tasks.schema.params import Base
from tasks.schema.records import Message
from tasks.training.conversations import IGNORED, Encoder
from tasks.training.tokenizer import load_tokenizer
from tasks.training.traced import Unrenderable
from tests.tasks.models.marked_templates import GOOD, PROMPT, TURN, marked
from tests.tasks.models.template_table import published, table, written
from tests.tasks.training.packs import answers, encoded

STOPS = {"llama-3.1": "<|eot_id|>", "llama-3.2": "<|eot_id|>", "glm-4": "<|user|>"}
TOKENS = {"bos_token": "<|begin_of_text|>"}
CHATML = TemplateTokens({}, frozenset({"<|im_end|>"}))
# The parts of published templates that render turns; TRL has no copies of these.
AT_HAND = {
    "glm-4": "[gMASK]<sop>{% for m in messages %}{% if m['content'] %}<|{{ m['role'] }}|>{{ m['metadata'] }}\n{{ m['content'] }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "chatml": "{% for m in messages %}" + TURN + "{% endfor %}" + PROMPT,
    "smollm2": "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou are a helpful AI assistant named "
    "SmolLM, trained by Hugging Face<|im_end|>\n{% endif %}" + TURN + "{% endfor %}" + PROMPT,
}
COPIES = {"llama-3.1": "llama3_1", "llama-3.2": "llama3_2", "qwen2.5": "qwen2_5", "qwen2": "qwen2_5_vl"}


def conversations(count: int) -> list[list[Message]]:
    luck = random.Random(7)
    pieces = ["Bread.", "第二段。", "  padded ", "line\n\nline", "{{ braces }}", "<b>&</b>", "\"quoted\" 'text'", "Ω" * 20, "{% raw %}"]
    rows = []
    for _ in range(count):
        row = [Message(role="system", content=luck.choice(pieces))] if luck.random() < 0.4 else []
        for _ in range(luck.randrange(1, 5)):
            row += [Message(role=role, content=" ".join(luck.choices(pieces, k=3))) for role in ("user", "assistant")]
        rows.append(row)
    return rows


def test_each_shipped_form_renders_fifty_conversations_as_the_published_template_does() -> None:
    originals = {form: published()[copy] for form, copy in COPIES.items()} | AT_HAND
    assert sorted(originals) == sorted(shipped())
    rows = conversations(50)
    asks = [
        RenderRequest(template, row) for name, original in originals.items() for template in (original, shipped()[name]) for row in rows
    ]
    asks += [
        RenderRequest(template, row[:-1], True)
        for name, original in originals.items()
        for template in (original, shipped()[name])
        for row in rows
    ]
    results = iter(render(asks, TOKENS))
    for asked in (False, True):
        for name in originals:
            theirs, ours = ([next(results) for _ in rows] for _ in range(2))
            for there, here in zip(theirs, ours, strict=True):
                assert isinstance(there, RenderedText)
                assert isinstance(here, RenderedText)
                ending = "<|user|>" if name == "glm-4" and not asked else ""  # GLM ends an answer with the next turn's beginning
                assert here.text == there.text + ending, name


def test_each_shipped_form_passes_its_examination() -> None:
    looks = look([*shipped().values()], TOKENS)
    for name, template in shipped().items():
        end = STOPS.get(name, "<|im_end|>")
        found = judged(template, looks[template], frozenset({end}))
        assert (found.problem, found.system, found.end, found.note) == (None, "rendered", end, ""), name


@pytest.mark.integration
def test_the_table_in_the_docs_is_what_the_examination_finds() -> None:
    assert written() == table()


WRONG = [
    (marked("{{ m.content }}<|im_end|>\n"), "does not mark the assistant's tokens"),
    (
        marked("{% generation %}{% endgeneration %}{{ m.content }}<|im_end|>\n"),
        "leave out the answer in turn 2: it would have no targets",
    ),
    (marked("{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>\n"), r"leave out <\|im_end\|>.*never learn to stop"),
    (
        marked("{% generation %}{{ m.content }}<|end|>{% endgeneration %}\n"),
        r"ends with '<\|end\|>', and generation stops at <\|im_end\|>",
    ),
    (marked("{% generation %}{{ m.content }}{% endgeneration %}\n"), "nothing ends an answer"),
    (marked("{% if loop.last %}" + GOOD + "{% else %}" + TURN + "{% endif %}"), "leave out the answer in turn 2"),
    ("{% generation %}{% for m in messages %}" + TURN + "{% endfor %}{% endgeneration %}", "marks hold the user's text in turn 1"),
    (
        marked("{% generation %}{% set seen = 1 %}{{ m.content }}<|im_end|>{% endgeneration %}{{ seen }}\n"),
        "another text with its marks than without",
    ),
    (marked("{% generation %}{{ m.content[:5] }}<|im_end|>{% endgeneration %}"), "leaves out or changes the answer"),
    ("{% for %}", "renders no conversation"),
    (marked(GOOD, before="{{ nothing.there.at_all }}"), "renders no conversation"),
]


def test_a_template_that_would_train_a_model_wrongly_is_told_in_one_line() -> None:
    looks = look([template for template, _ in WRONG], {})
    for template, problem in WRONG:
        found = judged(template, looks[template], CHATML.stops)
        assert found.problem
        assert re.search(problem, found.problem), found.problem
        assert "\n" not in found.problem


HOSTILE = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
    "reaches": "{{ ''.__class__.__mro__ }}",
    "reaches in a branch that is not taken": "{% if messages | length > 99 %}{{ cycler.__init__.__globals__ }}{% endif %}",
    "reaches through a filter": "{{ messages | map(attribute='__class__') | list }}",
    "reaches by a name put together": "{{ ''['__cla' ~ 'ss__'].mro() }}",
    "fills the memory": "{{ 'a' * 10000000000 }}",
    "calls itself": "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
}


@pytest.mark.integration
def test_a_hostile_template_is_refused_in_one_line_and_runs_nowhere_else() -> None:
    results = render(
        [RenderRequest(marked(GOOD, before=before), PROBES[0]) for before in HOSTILE.values()] + [RenderRequest(marked(GOOD), PROBES[0])],
        {},
    )
    for name, result in zip(HOSTILE, results, strict=False):
        assert isinstance(result, RenderingFailed), name
        assert result.kind == ("endless" if name == "loops" else "unsafe"), name
    assert isinstance(results[-1], RenderedText)


@pytest.mark.integration
@pytest.mark.parametrize("name", ["loops", "reaches by a name put together"])
def test_a_model_with_a_hostile_template_is_refused_for_training_and_for_reading(name: str) -> None:
    template = marked(GOOD, before=HOSTILE[name])
    with pytest.raises(BadInput, match=r"org/model: its chat template is refused: .*; fix: download the model again"):
        training_form(template, CHATML, source="org/model")
    with pytest.raises(BadInput, match=r"org/model: its chat template is refused"):
        check_safe(template, {}, source="org/model")


@pytest.mark.integration
def test_a_template_without_right_marks_is_trained_with_the_form_that_renders_the_same() -> None:
    for answer in ("{{ m.content }}<|im_end|>\n", "{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>\n"):
        form = training_form(marked(answer), CHATML, source="org/model")
        assert (form.name, form.as_published) == ("chatml", True)
    assert training_form(marked(GOOD), CHATML, source="org/model").name == OWN


@pytest.mark.parametrize(
    ("system", "becomes"), [(TURN, "rendered"), ("", "dropped"), ("{{ raise_exception('System role not supported') }}", "refused")]
)
def test_what_becomes_of_a_system_turn_is_known(system: str, becomes: str) -> None:
    found = examine(marked(GOOD, system=system), CHATML)
    assert (found.problem, found.system) == (None, becomes)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return encoded(answers(8))[0]


def saved(folder: Path, tokenizer: Any, template: str) -> Path:
    """A model's folder with this chat template; its answers end with the tokenizer's <|end|>."""
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template.replace("<|im_start|>", "<|user|>").replace("<|im_end|>", "<|end|>"))
    (folder / "config.json").write_text("{}")
    return folder


def test_a_named_template_is_examined_trained_with_and_kept(tmp_path: Path, tokenizer: Any) -> None:
    model = saved(tmp_path / "model", tokenizer, marked("{{ m.content }}<|im_end|>\n"))
    named = tmp_path / "mine.jinja"
    base = Base(model=str(model), revision="", remote_code=False, chat_template=str(named))
    with pytest.raises(BadInput, match=r"mine\.jinja: base\.chat_template: No such file"):
        load_tokenizer(base)
    named.write_text(marked("{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>\n").replace("<|im_end|>", "<|end|>"))
    with pytest.raises(BadInput, match=r"mine\.jinja: base\.chat_template: its marks leave out <\|end\|>"):
        load_tokenizer(base)
    named.write_text(marked(GOOD).replace("<|im_end|>", "<|end|>"))
    chat = load_tokenizer(base)
    chat.save(tmp_path / "kept")
    assert (tmp_path / "kept/chat_template.jinja").read_text() == named.read_text()


def test_generation_stops_at_what_the_model_s_configs_name_too(tmp_path: Path, tokenizer: Any) -> None:
    model = saved(tmp_path / "model", tokenizer, marked(GOOD).replace("<|im_end|>{% endg", "<|assistant|>{% endg"))
    base = Base(model=str(model), revision="", remote_code=False)
    with pytest.raises(BadInput, match="cannot be trained with"):
        load_tokenizer(base)
    (model / "generation_config.json").write_text(f'{{"eos_token_id": [3, {tokenizer.convert_tokens_to_ids("<|assistant|>")}]}}')
    form = load_tokenizer(base).form
    assert form
    assert form.examined.end == "<|assistant|>"


def test_a_system_turn_that_is_refused_or_left_out_is_no_traceback(tokenizer: Any) -> None:
    plain = [Message(role="user", content="Bread?"), Message(role="assistant", content="Clay ovens.")]
    row = [Message(role="system", content="Be brief."), *plain]
    for system, problem in (
        ("", "leaves out the system turn"),
        ("{{ raise_exception('no system') }}", "refuses the conversation: no system"),
    ):
        tokenizer.chat_template = marked(GOOD, system=system).replace("<|im_end|>", "<|end|>")
        encoder = Encoder(tokenizer)
        found = encoder.try_encode([plain, row, plain])
        assert [isinstance(one, Unrenderable) for one in found] == [False, True, False]
        assert problem in str(found[1])


def test_white_space_behind_the_end_of_turn_is_no_target(tokenizer: Any) -> None:
    tokenizer.chat_template = marked("{% generation %}{{ m.content }}<|im_end|>\n{% endgeneration %}").replace("<|im_end|>", "<|end|>")
    row = [Message(role="user", content="Bread?"), Message(role="assistant", content="Clay ovens.\n")]
    (tokens,) = Encoder(tokenizer).encode([row])
    assert tokenizer.decode([label for label in tokens.labels if label != IGNORED]) == "Clay ovens.\n<|end|>"
