"""A Llama checkpoint folder as a GGUF file, for llama.cpp: the way back from gguf.py. Weights are kept in 16 bits, or in blocks of 8.

Only what is known to give the same tokens and the same numbers is written: the Llama architecture, and a byte-level BPE with a splitting
that llama.cpp has under a name. llama.cpp's own converter knows hundreds of models; llama.cpp publishes no package of it.
"""

from pathlib import Path
from typing import Any, Literal

import orjson

from tasks import store
from tasks.models.gguf import check_room
from tasks.schema.errors import BadInput

WeightType = Literal["f16", "q8_0"]
TOLERANCE: dict[WeightType, float] = {"f16": 0.002, "q8_0": 0.02}  # root mean square error ÷ root mean square of a tensor's weights
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's types of tokens
BLOCK = 32  # weights with a common scale
AGAIN = "export the version again"
FIX = "serve it with LONGWRITER_SERVER=transformers or vllm"
LAYERS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
WHOLE = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}


def why_not(folder: Path) -> str | None:
    """Why a checkpoint cannot be written as GGUF here, in a line; None: it can. Reads no weights."""
    config, tokenizer = _json(folder / "config.json"), _json(folder / "tokenizer.json")
    if config.get("architectures") != ["LlamaForCausalLM"]:
        return f"its architecture is {config.get('architectures')}, not LlamaForCausalLM"
    if config.get("attention_bias") or config.get("mlp_bias"):
        return "its layers have biases"
    if (config.get("rope_parameters") or config.get("rope_scaling") or {}).get("rope_type", "default") != "default":
        return "its positions are scaled"
    if tokenizer.get("model", {}).get("type") != "BPE" or _splitting(tokenizer) is None:
        return "llama.cpp has no name for how its tokenizer splits a text"
    return None


def write_gguf(folder: Path, out: Path, *, weights: WeightType = "f16") -> None:
    """Write the checkpoint as `out`, replaced only when whole. Raises BadInput for one that `why_not` refuses, StorageError for a full
    disk.

    `q8_0` keeps 32 weights as integers of 8 bits with a common scale; a tensor with rows that are no multiple of 32 keeps 16 bits.
    """
    import gguf
    from safetensors import safe_open

    if problem := why_not(folder):
        raise BadInput(folder, f"cannot be written as GGUF: {problem}", fix=FIX)
    files = sorted(folder.glob("*.safetensors"))
    check_room(out.parent, sum(file.stat().st_size for file in files))
    config = _json(folder / "config.json")
    with store.replacing(out) as scratch:
        writer = gguf.GGUFWriter(scratch, "llama")
        _write_shape(writer, config)
        _write_tokenizer(writer, folder, int(config["vocab_size"]))
        for file in files:
            with safe_open(file, "pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (no mapping)
                    _add(writer, name, tensors.get_tensor(name), config, weights)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _write_shape(writer: Any, config: dict[str, Any]) -> None:
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(width)
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(_kv_heads(config))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    theta = (config.get("rope_parameters") or {}).get("rope_theta", config.get("rope_theta", 10_000.0))
    writer.add_rope_freq_base(float(theta))
    writer.add_rope_dimension_count(int(config.get("head_dim") or width // heads))
    writer.add_vocab_size(int(config["vocab_size"]))


def _write_tokenizer(writer: Any, folder: Path, size: int) -> None:
    tokenizer = _json(folder / "tokenizer.json")
    settings, vocabulary = _json(folder / "tokenizer_config.json"), tokenizer["model"]["vocab"]
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    words = {number: word for word, number in vocabulary.items()} | {number: token["content"] for number, token in added.items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(tokenizer))
    writer.add_token_list([words.get(number, f"[unused{number}]") for number in range(size)])
    writer.add_token_types([_kind(number, words, added) for number in range(size)])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_add_bos_token(False)
    numbers = {word: number for number, word in words.items()}
    for name, add in (("bos", writer.add_bos_token_id), ("eos", writer.add_eos_token_id), ("pad", writer.add_pad_token_id)):
        token = settings.get(f"{name}_token")
        word = token.get("content") if isinstance(token, dict) else token
        if word in numbers:
            add(numbers[word])
    template = folder / "chat_template.jinja"
    text = template.read_text(encoding="utf-8") if template.is_file() else settings.get("chat_template")
    if isinstance(text, str):
        writer.add_chat_template(text)


def _kind(number: int, words: dict[int, str], added: dict[int, dict[str, Any]]) -> int:
    if number in added:
        return CONTROL if added[number].get("special") else USER_DEFINED
    return NORMAL if number in words else UNUSED


def _splitting(tokenizer: dict[str, Any]) -> str | None:
    """llama.cpp's name for how the tokenizer splits a text before its merges; None where it has none."""
    if tokenizer.get("normalizer") is not None:
        return None
    given = tokenizer.get("pre_tokenizer") or {}
    parts = given.get("pretokenizers", [given])
    kinds = [part.get("type") for part in parts]
    if not kinds or kinds[-1] != "ByteLevel" or not parts[-1].get("use_regex", True) or parts[-1].get("add_prefix_space"):
        return None
    if kinds == ["ByteLevel"]:
        return "gpt-2"
    return "smollm" if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits") else None


def check_weights(folder: Path, gguf: Path, *, weights: WeightType) -> None:
    """Compare each tensor of a GGUF file that `write_gguf` can write with the checkpoint's, one at a time.

    Raises BadInput with the first tensor that is missing, has another shape, or differs by more than its type of weights explains.
    """
    from gguf import GGUFReader, dequantize
    from safetensors import safe_open

    config = _json(folder / "config.json")
    there = {tensor.name: tensor for tensor in GGUFReader(gguf).tensors}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                target, ours = _converted(name, tensors.get_tensor(name), config)
                found = there.get(target)
                theirs = None if found is None else dequantize(found.data, found.tensor_type)
                if theirs is None or (error := _error(ours.float().numpy(), theirs)) is None:
                    raise BadInput(gguf, "missing, or of another shape", field=target, fix=AGAIN)
                if not error <= TOLERANCE[weights]:  # not a number too
                    raise BadInput(gguf, f"its weights are not those of {name}: they differ by {error:.1%}", field=target, fix=AGAIN)


def _error(ours: Any, theirs: Any) -> float | None:
    """Root mean square of the differences, as a share of the weights'; None for other shapes."""
    import numpy as np

    if ours.shape != theirs.shape:
        return None
    scale = float(np.sqrt(np.mean(np.square(ours, dtype=np.float64))))
    error = float(np.sqrt(np.mean(np.square(ours - theirs, dtype=np.float64))))
    return error / scale if scale else error


def _converted(name: str, tensor: Any, config: dict[str, Any]) -> tuple[str, Any]:
    """A tensor's name and values in llama.cpp's order."""
    if ".q_proj." in name or ".k_proj." in name:
        heads = int(config["num_attention_heads"]) if ".q_proj." in name else _kv_heads(config)
        tensor = _interleaved(tensor, heads)
    return WHOLE.get(name) or _layer(name), tensor


def _add(writer: Any, name: str, tensor: Any, config: dict[str, Any], weights: WeightType) -> None:
    import torch
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    target, tensor = _converted(name, tensor, config)
    if tensor.dim() == 1:  # norms stay in float32, as llama.cpp computes with them
        writer.add_tensor(target, tensor.to(torch.float32).numpy())
    elif weights == "q8_0" and tensor.shape[-1] % BLOCK == 0:
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(target, quantize(tensor.to(torch.float32).numpy(), kind), raw_dtype=kind)
    else:
        writer.add_tensor(target, tensor.to(torch.float16).numpy())


def _layer(name: str) -> str:
    _, _, number, rest = name.split(".", 3)
    return f"blk.{number}.{LAYERS[rest.removesuffix('.weight')]}.weight"


def _interleaved(tensor: Any, heads: int) -> Any:
    """Rotary halves as neighbouring pairs: llama.cpp rotates those."""
    rows, *rest = tensor.shape
    return tensor.reshape(heads, 2, rows // heads // 2, *rest).transpose(1, 2).reshape(tensor.shape).contiguous()


def _kv_heads(config: dict[str, Any]) -> int:
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def _json(path: Path) -> dict[str, Any]:
    found = orjson.loads(path.read_bytes()) if path.is_file() else {}
    return found if isinstance(found, dict) else {}
