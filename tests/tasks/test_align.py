"""The align stage with a real training of a tiny student: preferred answers become more likely, and omitted pairs are reported."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tasks import align, store
from tasks.history import read_history
from tasks.rehearsal.prose import paragraph
from tasks.schema.errors import BadInput, BadSettings, GateFailed
from tasks.schema.params import Adapter, Align, load
from tasks.schema.records import Answer, Message, Pair, Reason, Reject
from tasks.schema.settings import settings
from tasks.training.pair_tokens import PairEncoder
from tasks.training.tokenizer import tokenizer_of, train_tokenizer
from tests.conftest import ROOT
from tests.tasks.training.preloaded import Stages

LEARNS = {"epochs": 3.0, "global_batch": 4, "learning_rate": 1e-3, "context": 256, "max_rejects": 0.1, "sft_weight": 0.0}


def given(**changes: object) -> Align:
    return load(ROOT / "profiles/rehearsal.yaml").align.model_copy(update=LEARNS | changes)


def pair(number: int) -> Pair:
    """Of two texts about bread the one of one part is chosen."""
    texts = [paragraph(topic="bread", language="en", words=40, part=part, parts=part, seed=number) for part in (1, 2)]
    chosen, rejected = (Answer(text=text, ended=True, words=40, s_l=90.0, s_q=50.0) for text in texts)
    return Pair(id=f"p{number}", prompt=(Message(role="user", content="Write about bread."),), asked=40, chosen=chosen, rejected=rejected)


PAIRS = [pair(number) for number in range(16)]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """checkpoints/student: a tiny Llama with weights drawn at random."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("train") / "checkpoints"
    texts = [side.text for one in PAIRS for side in (one.chosen, one.rejected)]
    tokenizer = train_tokenizer(texts, vocabulary=512)
    set_seed(1)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 512}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=3, **shape)).save_pretrained(folder / "student")
    tokenizer.save_pretrained(folder / "student")
    return folder


def run(tmp_path: Path, checkpoints: Path, pairs: list[Pair], params: Align) -> dict[str, float]:
    store.write(tmp_path / "pairs.jsonl", pairs)
    (tmp_path / "out").mkdir()
    return dict(align.run(tmp_path / "pairs.jsonl", checkpoints, tmp_path / "out", seed=1, align=params))


RUN = """
import json, sys
from pathlib import Path
from tasks import align
from tasks.schema.params import Align

pairs, checkpoints, params, out, metrics = map(Path, sys.argv[1:])
found = align.run(pairs, checkpoints, out, seed=1, align=Align.model_validate_json(params.read_bytes()))
metrics.write_text(json.dumps(dict(found)))
"""


def trained(tmp_path: Path, checkpoints: Path, pairs: list[Pair], params: Align, forks: Stages) -> dict[str, float]:
    """As `run`, in a fork of a process with the imports of a trainer."""
    store.write(tmp_path / "pairs.jsonl", pairs)
    (tmp_path / "out").mkdir()
    (tmp_path / "align.json").write_text(params.model_dump_json(by_alias=True))
    paths = [tmp_path / "pairs.jsonl", checkpoints, *(tmp_path / name for name in ("align.json", "out", "metrics.json"))]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
    stage = forks.start(RUN, paths, folder=tmp_path, environment=environment)
    _, said = stage.communicate()
    assert stage.returncode == 0, said
    found: dict[str, float] = json.loads((tmp_path / "metrics.json").read_text())
    return found


def margin(folder: Path) -> float:
    """How much likelier the chosen answers are than the rejected ones, in nats a pair."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()

    def logp(prompt: list[int], answer: list[int]) -> float:
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        return float(logits.gather(1, torch.tensor(answer)[:, None]).sum())

    coded = [PairEncoder(tokenizer).encode(one) for one in PAIRS]
    return sum(logp(one.prompt_ids, one.chosen_ids) - logp(one.prompt_ids, one.rejected_ids) for one in coded) / len(coded)


@pytest.mark.integration
def test_what_is_chosen_becomes_likelier_than_what_is_rejected_and_the_history_says_so(
    tmp_path: Path, checkpoints: Path, forks: Stages
) -> None:
    cut = PAIRS[0].model_copy(update={"id": "long", "chosen": Answer(text="bread " * 400, ended=True, words=400, s_l=9.0, s_q=5.0)})
    metrics = trained(tmp_path, checkpoints, [*PAIRS, cut], given(), forks)
    assert (metrics["pairs"], metrics["rejects"], metrics["steps"]) == (16, 1, 12)
    (reject,) = store.read(tmp_path / "out/rejects.jsonl", Reject)
    assert (reject.id, reject.reason) == ("long", Reason.TOO_LONG)
    assert reject.detail.endswith("tokens with the request, the context has 256")

    aligned, beta = tmp_path / "out/checkpoints/aligned", given().beta
    gain = margin(aligned) - margin(checkpoints / "student")
    history = read_history(tmp_path / "out/history.jsonl")
    assert [entry.step for entry in history] == list(range(1, 13))
    assert history[0].values["loss"] == pytest.approx(0.6931, abs=1e-3), "policy and reference begin as one: log 2"
    assert history[-1].values["margin"] == pytest.approx(beta * gain, rel=0.35), "TRL's margin is the one that the weights have"
    assert gain > 1
    assert {"reward_chosen", "reward_rejected", "accuracy"} <= history[-1].values.keys()

    names = {path.name for path in aligned.iterdir()}
    assert {"model.safetensors", "chat_template.jinja", "tokenizer.json", "generation_config.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth"))]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checkpoints", "history.jsonl", "rejects.jsonl"]


@pytest.mark.integration
def test_an_adapter_learns_against_the_student_without_it_and_is_saved_merged(tmp_path: Path, checkpoints: Path, forks: Stages) -> None:
    adapter = Adapter(rank=8, alpha=16, dropout=0.0, bits=16)
    trained(tmp_path, checkpoints, PAIRS, given(adapter=adapter, learning_rate=1e-2), forks)
    aligned = tmp_path / "out/checkpoints/aligned"
    gain = margin(aligned) - margin(checkpoints / "student")
    history = read_history(tmp_path / "out/history.jsonl")
    assert history[0].values["loss"] == pytest.approx(0.6931, abs=1e-3), "an adapter begins as nothing: log 2"
    assert history[-1].values["margin"] == pytest.approx(given().beta * gain, rel=0.35)
    assert gain > 1
    assert "model.safetensors" in {path.name for path in aligned.iterdir()}
    assert not list(aligned.glob("adapter*"))


def test_a_student_of_pickles_is_refused_before_it_is_loaded(tmp_path: Path, checkpoints: Path) -> None:
    shutil.copytree(checkpoints, tmp_path / "planted")
    (tmp_path / "planted/student/model.safetensors").rename(tmp_path / "planted/student/pytorch_model.bin")
    with pytest.raises(BadInput, match=r"pytorch_model\.bin is a pickle"):
        run(tmp_path, tmp_path / "planted", PAIRS, given())


def test_a_disk_that_cannot_hold_the_checkpoints_is_said_before_the_training(
    tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 999, 1))
    with pytest.raises(BadSettings, match="checkpoints take"):
        run(tmp_path, checkpoints, PAIRS, given())


def test_without_pairs_there_is_no_aligned_student_and_the_graph_goes_on(tmp_path: Path) -> None:
    metrics = run(tmp_path, tmp_path / "nowhere", [], given())
    assert metrics == {"pairs": 0, "rejects": 0, "steps": 0}
    assert list((tmp_path / "out/checkpoints").iterdir()) == []
    assert (tmp_path / "out/history.jsonl").read_bytes() == (tmp_path / "out/rejects.jsonl").read_bytes() == b""


def test_more_pairs_over_the_context_than_params_allow_stop_the_stage_before_it_trains(tmp_path: Path, checkpoints: Path) -> None:
    long = Answer(text="bread " * 400, ended=True, words=400, s_l=9.0, s_q=5.0)
    with pytest.raises(GateFailed, match="4 of 16 records rejected"):
        run(tmp_path, checkpoints, [*PAIRS[4:], *(one.model_copy(update={"rejected": long}) for one in PAIRS[:4])], given())


def test_a_student_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="student: no such checkpoint; fix: run the train stage again"):
        run(tmp_path, tmp_path, PAIRS, given())


def test_sequences_are_not_split_among_processes(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_SEQUENCE_PARALLEL", "2")
    monkeypatch.setenv("LONGWRITER_PROCESSES", "2")
    settings.cache_clear()
    with pytest.raises(BadSettings, match="LONGWRITER_SEQUENCE_PARALLEL"):
        run(tmp_path, checkpoints, PAIRS, given())


def test_the_same_training_is_known_again_after_it_was_killed(tmp_path: Path, checkpoints: Path) -> None:
    """Its rows are written anew by each attempt, and its name is a digest of them."""
    encoder = PairEncoder(tokenizer_of(checkpoints / "student"))
    kept = [(one.id, encoder.encode(one)) for one in PAIRS]
    names = set()
    for attempt in ("a", "b"):
        align.write_rows(kept, tmp_path / attempt / "rows")
        names.add(store.folder_digest(tmp_path / attempt / "rows"))
        shutil.rmtree(tmp_path / attempt)
    assert len(names) == 1
