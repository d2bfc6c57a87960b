"""Every problem that can be known before a training gives one line with the file or variable, the problem and the fix."""

from pathlib import Path
from typing import Any

import pytest

from tasks import store
from tasks.schema.errors import BadInput, BadSettings
from tasks.schema.params import Base
from tasks.schema.settings import Attention, Settings
from tasks.training.budget import shapes_of, strategy_of
from tasks.training.conversations import Encoder
from tasks.training.preflight import check_base, check_disk, check_gpus, check_sequence_parallel, check_vocabulary, slow_attention
from tasks.training.tokenizer import load_tokenizer
from tests.conftest import ROOT
from tests.tasks.training.jobs import TINY, job
from tests.tasks.training.packs import answers, encoded, write, write_alone

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 512,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return encoded(answers(8))[0]


@pytest.fixture
def packed(tmp_path: Path, tokenizer: Any) -> Path:
    write(encoded(answers(8))[1], tmp_path / "packs/student", context=128)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    return tmp_path


def model(folder: Path, *files: str, **config: object) -> Base:
    folder.mkdir()
    store.write_json(folder / "config.json", CONFIG | config)
    for name in files:
        (folder / name).write_bytes(b"")
    return Base(model=str(folder), revision="", remote_code=False)


def test_a_model_of_safetensors_is_taken(tmp_path: Path) -> None:
    check_base(model(tmp_path / "model", "model.safetensors"))
    check_base(Base(model="tiny", revision="", remote_code=False))


@pytest.mark.parametrize(
    ("files", "config", "problem"),
    [
        (
            ["pytorch_model.bin"],
            {},
            "pytorch_model.bin is a pickle, which runs code when it is loaded; fix: save the model with save_pretrained",
        ),
        (["model.bin"], {}, "no .safetensors weights in it"),
        (["model.safetensors"], {"auto_map": {"AutoModel": "m.M"}}, r"auto_map: needs to run its own code \(AutoModel\); fix: use a model"),
    ],
)
def test_a_model_that_runs_code_is_refused(tmp_path: Path, files: list[str], config: dict[str, object], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        check_base(model(tmp_path / "model", *files, **config))


def test_code_is_allowed_only_where_params_name_it_and_pin_its_commit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="remote_code needs a revision that is a full commit"):
        Base(model="org/model", revision="main", remote_code=True)
    folder = model(tmp_path / "model", "model.safetensors", auto_map={"AutoModel": "m.M"})
    with pytest.raises(BadInput, match="a folder has no commit that its code is pinned by"):
        check_base(Base(model=folder.model, revision="0" * 40, remote_code=True))


def test_code_of_a_model_s_folder_never_runs(tmp_path: Path, tokenizer: Any) -> None:
    base = model(tmp_path / "model", "model.safetensors", auto_map={"AutoConfig": "canary.Config", "AutoTokenizer": ["canary.T", None]})
    tokenizer.save_pretrained(base.model)
    (tmp_path / "model/canary.py").write_text(f"open({str(tmp_path / 'sang')!r}, 'w')")
    with pytest.raises(BadInput, match="auto_map"):
        check_base(base)
    load_tokenizer(base)
    assert not (tmp_path / "sang").exists()


@pytest.mark.parametrize(("vocabulary", "agree"), [(512, True), (640, True), (500, False), (32_000, False)])
def test_model_and_tokenizer_of_different_vocabulary_are_told_apart(tmp_path: Path, tokenizer: Any, vocabulary: int, agree: bool) -> None:
    """A model's may be padded, by less than 1,024."""
    base = model(tmp_path / "model", "model.safetensors", vocab_size=len(tokenizer) + vocabulary - 512)
    if agree:
        return check_vocabulary(base, len(tokenizer))
    with pytest.raises(
        BadInput,
        match=r"the tokenizer has \d+ tokens, the model's vocabulary [\d,]+; fix: use the tokenizer",
    ):
        check_vocabulary(base, len(tokenizer))


def test_a_tokenizer_without_a_chat_template_is_named(tmp_path: Path, tokenizer: Any) -> None:
    base = model(tmp_path / "model", "model.safetensors")
    tokenizer.save_pretrained(base.model)
    (tmp_path / "model/chat_template.jinja").unlink()
    with pytest.raises(BadInput, match="its tokenizer has no chat template; fix: use the tokenizer of the chat model"):
        load_tokenizer(base)


def test_a_chat_template_that_marks_no_answers_is_named(tmp_path: Path, tokenizer: Any) -> None:
    base = model(tmp_path / "model", "model.safetensors")
    tokenizer.save_pretrained(base.model)
    (tmp_path / "model/chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(BadInput, match="does not mark the assistant's tokens"):
        load_tokenizer(base)
    assert Encoder(tokenizer)


def test_fewer_gpus_than_processes_want_are_one_line(tmp_path: Path) -> None:
    zero3 = ROOT / "infra/accelerate/zero3.yaml"
    with pytest.raises(BadSettings, match="LONGWRITER_PROCESSES: 8 processes need a GPU each, and this machine has 4"):
        check_gpus(Settings(home=tmp_path, processes=8), 4)
    with pytest.raises(BadSettings, match="8 processes need a GPU each, and this machine has 0"):
        check_gpus(Settings(home=tmp_path, processes=8, accelerate_config=zero3), 0)
    (tmp_path / "cpu.yaml").write_text(zero3.read_text() + "use_cpu: true\n")
    check_gpus(Settings(home=tmp_path, processes=2, accelerate_config=tmp_path / "cpu.yaml"), 0)
    check_gpus(Settings(home=tmp_path, processes=2), 0)


def test_a_disk_too_small_for_the_checkpoints_is_one_line(packed: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    made = job(packed, tmp_path / "out/checkpoints/student", settings)
    made.out.mkdir(parents=True)
    shapes = shapes_of(made.base, TINY, vocabulary=512)
    check_disk([made], shapes, settings)
    with pytest.raises(BadSettings, match=r"checkpoints take [\d.]+ GiB, [\d.]+ GiB are free; free some"):
        check_disk([made], shapes._replace(layers=10**10), settings)


@pytest.mark.parametrize(
    ("stage", "size", "change", "problem"),
    [
        (0, 2, {}, "Ulysses works inside DeepSpeed"),
        (3, 4, {}, "2 attention heads with 2 of keys cannot be divided among 4 processes"),
        (3, 2, {"weighting": "sequence"}, "looks at whole sequences"),
        (3, 2, {"micro_batch": 2}, "one row at a time"),
        (3, 2, {"global_batch": 3}, "the 3 rows of a step cannot be divided.*; set train.global_batch to a multiple of 2"),
        (3, 2, {}, "a pack contains several samples.*; install flash-attn and set LONGWRITER_ATTENTION=flash_attention_2"),
    ],
)
def test_sequence_parallelism_says_what_it_excludes(
    packed: Path, tmp_path: Path, stage: int, size: int, change: dict[str, Any], problem: str
) -> None:
    settings = Settings(home=tmp_path, processes=size, sequence_parallel=size, micro_batch=change.pop("micro_batch", 1))
    made = job(packed, tmp_path / "out", settings, **change)
    with pytest.raises(BadSettings, match=f"LONGWRITER_SEQUENCE_PARALLEL: .*{problem}"):
        check_sequence_parallel(made, shapes_of(made.base, TINY, vocabulary=512), stage=stage)


def test_sequence_parallelism_takes_rows_of_one_sample_and_packs_that_flash_attention_keeps_apart(packed: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, processes=2, sequence_parallel=2)
    write_alone(encoded(answers(4))[1], tmp_path / "packs/alone")
    made = job(packed, tmp_path / "out", settings, packs="alone")
    check_sequence_parallel(made, shapes_of(made.base, TINY, vocabulary=512), stage=3)
    made = job(packed, tmp_path / "out", settings.model_copy(update={"attention": "flash_attention_2"}))
    check_sequence_parallel(made, shapes_of(made.base, TINY, vocabulary=512), stage=3)


def test_every_shipped_config_splits_model_states_as_its_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = {path.stem: strategy_of(path) for path in (ROOT / "infra/accelerate").glob("*.yaml")}
    assert found.pop("ddp").stage == 0
    assert sorted(found) == ["zero2", "zero2_offload", "zero3", "zero3_offload", "zero3_offload_all"]
    for name, strategy in found.items():
        assert strategy == (name, int(name[4]), "offload" in name, name.endswith("all"))


@pytest.mark.parametrize(
    ("attention", "context", "slow"),
    [
        ("auto", 32_768, True),  # flash-attn is not installed here
        ("sdpa", 32_768, True),
        ("eager", 8_192, True),
        ("auto", 4_096, False),
        ("flex_attention", 32_768, False),
        ("flash_attention_2", 32_768, False),
    ],
)
def test_long_packs_without_flash_attention_are_named_as_slow(tmp_path: Path, attention: Attention, context: int, slow: bool) -> None:
    said = slow_attention(Settings(home=tmp_path, attention=attention), context=context)
    assert (said is not None) == slow
    assert said is None or f"{context:,} tokens" in said
