"""Files of models for tests: a tokenizer with a template, and safetensors."""

import json
from pathlib import Path

from tests.tasks.training.packs import answers, encoded

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


def model(folder: Path, template: str) -> Path:
    tokenizer = encoded(answers(8))[0]
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template.replace("<|im_end|>", "<|end|>"))
    fields = {"model_type": "llama", "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(fields | {"num_attention_heads": 2, "intermediate_size": 64}))
    (folder / "model.safetensors").write_bytes(safetensors())
    return folder


def safetensors(count: int = 4) -> bytes:
    """A file of one tensor of zeros, as the format's description has it: length, header, numbers."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * count)


def random_llama(folder: Path, *, ends: bool = True) -> Path:
    """A Llama with random weights, the same in each process, and a tokenizer trained on three sentences.

    Without `ends`, the model never writes its end token: the first number of each hidden state is large, and only the end
    token's logit reads it, negatively.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|user|>", "<|assistant|>"]
    own.train_from_iterator(
        ["Bread is old.", "Write about bread.", "面包"],
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    if not ends:
        with torch.no_grad():
            model.get_input_embeddings().weight[:, 0] = 10
            model.get_output_embeddings().weight[:, 0] = 0
            model.get_output_embeddings().weight[tokenizer.eos_token_id, 0] = -10
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
