"""The NLL of a tiny model is the same in chunks and at once."""

import json
import shutil
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tasks.evaluation import nll
from tasks.evaluation.nll import PromptAndAnswer, ScoringModel, curves, losses_of, read_by, read_texts
from tasks.models import token_losses
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, Prediction

CONTEXT = 256
STORY = "the river runs under the old bridge and the children watch the boats go by. " * 4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tasks.training.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("reader")
    tokenizer = train_tokenizer([STORY] * 3, vocabulary=280)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def reader(checkpoint: Path) -> ScoringModel:
    return nll.load(str(checkpoint))


def by_definition(reader: ScoringModel, text: PromptAndAnswer) -> list[float]:
    """All logits at once, over prompt and answer."""
    import torch

    prompt = reader.tokenizer(f"<|user|>{text.prompt}<|assistant|>")["input_ids"]
    answer = reader.tokenizer(text.answer, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([prompt + answer])
    with torch.no_grad():
        told = torch.log_softmax(reader.model(ids).logits[0], dim=-1)
    return [-told[len(prompt) + place - 1, token].item() for place, token in enumerate(answer)]


@pytest.mark.parametrize("chunk", [1, 7, 16, 4096])
@pytest.mark.parametrize("prompt", ["Write.", "Write a story about a river. " * 3])
def test_in_chunks_each_token_has_the_nll_that_it_has_at_once(
    reader: ScoringModel, monkeypatch: pytest.MonkeyPatch, chunk: int, prompt: str
) -> None:
    monkeypatch.setattr(token_losses, "CHUNK", chunk)
    text = PromptAndAnswer(prompt, STORY[:70])
    losses, whole = losses_of(reader, text)
    assert whole
    assert losses == pytest.approx(by_definition(reader, text), abs=1e-5)


def test_the_curve_is_the_mean_over_the_answers_that_reach_a_position(reader: ScoringModel) -> None:
    texts = [PromptAndAnswer("Write.", STORY[:60]), PromptAndAnswer("Write.", "zq"), PromptAndAnswer("Tell.", STORY[5:50])]
    each = [by_definition(reader, text) for text in texts]
    found = read_by(reader, texts)
    assert found.tokens == sum(map(len, each))
    assert found.nll == pytest.approx(sum(sum(one) / len(one) for one in each) / 3, abs=1e-5)
    for point in found.points:
        reached = [sum(one[: point.position]) / point.position for one in each if len(one) >= point.position]
        assert point.answers == len(reached)
        assert point.nll == pytest.approx(sum(reached) / len(reached), abs=1e-5)
    assert [point.position for point in found.points] == [2**n for n in range(len(found.points))]


def test_tenths_are_over_the_answers_that_have_ten_tokens(reader: ScoringModel) -> None:
    text = PromptAndAnswer("Write.", STORY[:60])
    losses = by_definition(reader, text)
    borders = [len(losses) * n // 10 for n in range(11)]
    expected = [sum(losses[a:b]) / (b - a) for a, b in pairwise(borders)]
    assert read_by(reader, [text, PromptAndAnswer("Write.", "z")]).by_part == pytest.approx(expected, abs=1e-5)
    assert read_by(reader, [PromptAndAnswer("Write.", "z")]).by_part == ()


def test_what_does_not_fit_the_context_is_cut_or_left_out_and_counted(reader: ScoringModel) -> None:
    long = PromptAndAnswer("Write.", "q z x " * 500)
    found = read_by(
        reader, [long, PromptAndAnswer("q z x " * 500, "answer"), PromptAndAnswer("Write.", ""), PromptAndAnswer("Write.", "a river")]
    )
    assert (found.answers, found.cut, found.left_out) == (2, 1, 2)
    losses, whole = losses_of(reader, long)
    prompt = len(reader.tokenizer("<|user|>Write.<|assistant|>")["input_ids"])
    assert (len(losses), whole) == (CONTEXT - prompt, False)
    assert losses_of(reader._replace(context=32), long)[0] == pytest.approx(losses[: 32 - prompt], abs=1e-5)


def test_nothing_to_read_is_refused(reader: ScoringModel) -> None:
    with pytest.raises(BadInput, match="no answer to read: 1 have no token that fits 256"):
        read_by(reader, [PromptAndAnswer("Write.", "")])


def test_a_model_that_cannot_be_read_with_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        curves([], str(tmp_path / "none"))
    with pytest.raises(BadInput, match="cannot be loaded: "):
        curves([], str(tmp_path))
    for file in checkpoint.iterdir():
        if file.name not in ("chat_template.jinja", "model.safetensors"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"never unpickled")
    with pytest.raises(BadInput, match=r"cannot be loaded: .*safetensors"):
        curves([], str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    with pytest.raises(BadInput, match="its tokenizer has no chat template"):
        curves([], str(tmp_path))


def test_code_of_a_models_own_is_never_run(checkpoint: Path, tmp_path: Path) -> None:
    folder, canary = tmp_path / "model", tmp_path / "canary"
    shutil.copytree(checkpoint, folder)
    (folder / "own.py").write_text(f"open({str(canary)!r}, 'w').write('ran')\nclass Own: ...\n")
    for name, kinds in {"config.json": ("AutoConfig", "AutoModelForCausalLM"), "tokenizer_config.json": ("AutoTokenizer",)}.items():
        known = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(known | {"auto_map": dict.fromkeys(kinds, "own.Own")}))
    with suppress(BadInput):
        curves([PromptAndAnswer("Write.", "a river")], str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "nobody-knows"}))
    with pytest.raises(BadInput, match="cannot be loaded"):
        curves([PromptAndAnswer("Write.", "a river")], str(folder))
    assert not canary.exists()


def predictions(path: Path, *models: str) -> Path:
    item = BenchmarkItem(id="a", prompt="Write.", type="", length=5, language="en")
    made = [Prediction(item=item, model=model, response=f"by {model}", finish_reason="stop", tokens=2, seconds=0.0) for model in models]
    path.write_text("".join(one.model_dump_json() + "\n" for one in made), encoding="utf-8")
    return path


def test_predictions_and_recorded_answers_are_read(tmp_path: Path) -> None:
    path = predictions(tmp_path / "p.jsonl", "student", "control")
    assert read_texts(path, model="control") == [PromptAndAnswer("Write.", "by control")]
    with pytest.raises(BadInput, match="model: answers of 2 models; fix: name one of control, student"):
        read_texts(path)
    with pytest.raises(BadInput, match="model: no answers of teacher; fix: name one of control, student"):
        read_texts(path, model="teacher")
    recorded: dict[str, Any] = {"instruction": "Write.", "output": "text"}
    (tmp_path / "r.jsonl").write_text(json.dumps(recorded) + "\n", encoding="utf-8")
    assert read_texts(tmp_path / "r.jsonl") == [PromptAndAnswer("Write.", "text")]
