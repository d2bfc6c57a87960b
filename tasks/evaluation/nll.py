"""Cumulative NLL by position: how likely an answer is under a given model, the further it reads (paper, section 5).

A coherent long text becomes easier to predict, and the curve falls. For a text that loses coherence, or has unrelated parts, the curve
stops falling. A loop also makes it fall, steeply: compare with the repetition of degeneration.py.

NLL is in nats per token of the answer, given the prompt in the model's chat template and the answer so far. An answer is read in chunks
with the model's KV cache, so memory has the logits of one chunk only.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

from tasks import progress, store
from tasks.checkpoints import check_model
from tasks.evaluation.recorded import read_recorded
from tasks.models.local import local_folder
from tasks.models.token_losses import token_losses
from tasks.schema.errors import BadInput
from tasks.schema.records import Prediction, Record

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PARTS = 10


class ScoringModel(NamedTuple):
    """The model that computes the NLL."""

    name: str
    model: "PreTrainedModel"  # transformers' causal language model, in evaluation mode
    tokenizer: "PreTrainedTokenizerBase"
    context: int  # tokens of prompt and answer together


class PromptAndAnswer(NamedTuple):
    """A prompt with its answer."""

    prompt: str
    answer: str


class NllPoint(Record):
    """The mean over all answers that reach a position."""

    position: int  # tokens of the answer
    nll: float  # mean over answers of their mean NLL up to here; nats per token
    answers: int


class Nll(Record):
    """NLL of some answers under a model."""

    reader: str
    context: int  # tokens
    answers: int  # read
    tokens: int  # tokens read of these answers
    cut: int  # answers that were cut to fit the context
    left_out: int  # answers without a token, or with a prompt that fills the context
    nll: float  # mean over answers of their mean NLL; nats per token
    points: tuple[NllPoint, ...]  # at powers of two; fewer answers reach the later ones
    by_part: tuple[float, ...]  # mean NLL per tenth of an answer, first to last, over answers of ten tokens or more; empty: no such answer


def curves(texts: Iterable[PromptAndAnswer], model: str, *, context: int | None = None, total: int | None = None) -> Nll:
    """Returns the NLL curve of these answers under `model`, a checkpoint folder or hub id. `context`, in tokens, can only reduce the
    model's.

    Raises BadInput if the model cannot be loaded or has no chat template, or if no answer can be read.
    """
    return read_by(load(model, context=context), texts, total=total)


def read_by(reader: ScoringModel, texts: Iterable[PromptAndAnswer], *, total: int | None = None) -> Nll:
    """As `curves`, with a loaded model."""
    means: list[float] = []
    at: dict[int, list[float]] = {}
    by_part: list[list[float]] = []
    tokens = cut = left_out = 0
    with progress.bar(total=total, unit="answer", label=f"nll {reader.name}") as shown:
        for text in texts:
            shown.update()
            losses, whole = losses_of(reader, text)
            cut += bool(losses) and not whole
            left_out += not losses
            if losses:
                tokens += len(losses)
                means.append(mean(losses))
                for position, value in _cumulative(losses):
                    at.setdefault(position, []).append(value)
                by_part += [_by_part(losses, PARTS)] if len(losses) >= PARTS else []
                shown.set_postfix_str(f"{tokens / max(shown.format_dict['elapsed'], 1e-9):,.0f} tokens/s", refresh=False)
    if not means:
        raise BadInput(reader.name, f"no answer to read: {left_out} have no token that fits {reader.context}", fix="check the predictions")
    return Nll(
        reader=reader.name,
        context=reader.context,
        answers=len(means),
        tokens=tokens,
        cut=cut,
        left_out=left_out,
        nll=mean(means),
        points=tuple(NllPoint(position=position, nll=mean(at[position]), answers=len(at[position])) for position in sorted(at)),
        by_part=tuple(map(mean, zip(*by_part, strict=True))),
    )


def read_texts(path: Path, *, model: str | None = None) -> list[PromptAndAnswer]:
    """Reads prompts and answers of the stage predict, or recorded ones. Requested lengths are ignored.

    Raises BadInput if several models answered and none is named, and the errors of `read_recorded`.
    """
    first = next(store.rows(path)) if path.is_file() else None
    if first is None or first.data is None or "item" not in first.data:
        return [PromptAndAnswer(one.item.prompt, one.response) for one in read_recorded(path, length=1, skipped=[])]
    found = store.read_list(path, Prediction)
    models = sorted({one.model for one in found})
    if (model or (models[0] if len(models) == 1 else None)) not in models:
        problem = f"no answers of {model}" if model else f"answers of {len(models)} models"
        raise BadInput(path, problem, field="model", fix=f"name one of {', '.join(models)}")
    return [PromptAndAnswer(one.item.prompt, one.response) for one in found if one.model == (model or models[0])]


def load(model: str, *, context: int | None = None) -> ScoringModel:
    """Loads a model for reading, on the GPU if there is one. Only safetensors, no remote code; a folder is loaded without network.

    Raises BadInput if the model cannot be loaded, has no chat template, or has no known context length.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tasks.models.chat_templates import check_folder, check_safe
    from tasks.training.tokenizer import default_template

    model = local_folder(model)
    folder = Path(model).is_dir()
    if not folder and (Path(model).exists() or model.startswith((".", "/", "~")) or model.count("/") > 1):
        raise BadInput(model, "no such folder", fix="give a checkpoint folder or a hub id")
    if folder:
        check_model(Path(model), beside=True)
        check_folder(Path(model))
    on_gpu = torch.cuda.is_available()
    common = {"local_files_only": folder, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, **common)
        loaded = AutoModelForCausalLM.from_pretrained(model, use_safetensors=True, dtype="auto" if on_gpu else torch.float32, **common)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadInput(model, f"cannot be loaded: {reason}", fix="use a checkpoint with safetensors and a tokenizer") from None
    template = default_template(tokenizer.chat_template)
    if not template:
        raise BadInput(model, "its tokenizer has no chat template", fix="use a chat model, or add chat_template.jinja to its folder")
    if not folder:
        tokens = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        check_safe(template, tokens, source=model)
    own = getattr(loaded.config.get_text_config(), "max_position_embeddings", None)
    limits = [limit for limit in (own, context) if limit]
    if not limits:
        raise BadInput(model, "its config.json does not say max_position_embeddings", fix="give the context, in tokens")
    return ScoringModel(model, loaded.eval().to("cuda" if on_gpu else "cpu"), tokenizer, min(limits))


def losses_of(reader: ScoringModel, text: PromptAndAnswer) -> tuple[list[float], bool]:
    """Returns the NLL of each answer token that fits the context, and whether all of them fit. Empty if no token fits.

    Raises BadInput if the tokenizer has more tokens than the model.
    """
    messages = [{"role": "user", "content": text.prompt}]
    prompt = reader.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    answer = reader.tokenizer(text.answer, add_special_tokens=False)["input_ids"]
    if max([*prompt, *answer]) >= reader.model.get_input_embeddings().num_embeddings:
        raise BadInput(reader.name, "its tokenizer has more tokens than the model", fix="use a checkpoint with its own tokenizer")
    fits = answer[: max(0, reader.context - len(prompt))]
    losses = list(token_losses(reader.model, [*prompt, *fits], known=len(prompt))) if fits else []
    return losses, len(fits) == len(answer)


def _cumulative(losses: list[float]) -> Iterator[tuple[int, float]]:
    """The means of the first 1, 2, 4, 8, … losses, with their positions."""
    total, position = 0.0, 1
    for count, loss in enumerate(losses, 1):
        total += loss
        if count == position:
            yield position, total / count
            position *= 2


def _by_part(losses: list[float], parts: int) -> list[float]:
    borders = [len(losses) * part // parts for part in range(parts + 1)]
    return [mean(losses[start:end]) for start, end in pairwise(borders)]
