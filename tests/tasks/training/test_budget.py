"""Memory and time estimates compared with published figures, and the profiles with the GPUs that they are for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.schema.params import Adapter, Base, load
from tasks.schema.settings import Settings
from tasks.training.budget import assumed_tokens, course, on_each_gpu, reinforcing, shapes_of, strategy_of, work_of
from tasks.training.memory import GIB, STRATEGIES, adapter_parameters, estimate, full
from tasks.training.shapes import Shapes
from tests.conftest import ROOT
from tests.tasks.training.jobs import OPTIMIZATION, TINY
from tests.tasks.training.packs import answers, encoded, write

RECIPES = ("llama-3.1-8b", "glm-4-9b", "qwen2.5-7b", "qlora-24gb", "qwen3-8b", "qwen3-4b-24gb")
LLAMA = shapes_of(Base(model="meta-llama/Llama-3.1-8B-Instruct", revision="", remote_code=False), TINY, vocabulary=0)
GLM = shapes_of(Base(model="zai-org/glm-4-9b-chat-hf", revision="", remote_code=False), TINY, vocabulary=0)


def test_states_of_adam_take_120_gib_for_8_billion_and_140_for_9_4() -> None:
    for shapes, expected in ((LLAMA, 120), (GLM, 140)):
        for strategy in (STRATEGIES[0], STRATEGIES[-1]):
            assert sum(full(shapes, strategy)) / GIB == pytest.approx(expected, rel=0.005)


def test_a_token_of_8b_at_32k_costs_70_8_gflop() -> None:
    assert float(LLAMA.flops(np.array([32_768.0]))[0]) / 32_768 / 1e9 == pytest.approx(70.8, abs=0.05)


def test_frozen_weights_have_no_gradient_to_compute() -> None:
    """Forward, and backward through them to the adapters below: 4 FLOPs a weight and token; attention costs what it did."""
    at = np.array([1_000.0])
    adapter = Adapter(rank=64, alpha=128, dropout=0.0, bits=16)
    trained = adapter_parameters(LLAMA, adapter)
    saved = float((LLAMA.flops(at) - LLAMA.flops(at, adapter=trained))[0]) / 1_000
    assert saved == pytest.approx(2 * LLAMA.multiplied - 6 * trained)
    assert adapter_parameters(LLAMA, None) == 0
    work = work_of(None, LLAMA, context=1_000, tokens=1_000, adapter=adapter)
    assert work.flops == pytest.approx(float(LLAMA.flops(at, adapter=trained)[0]))


def test_a_pair_takes_two_sequences_and_the_weights_of_the_reference_but_under_an_adapter() -> None:
    settings, way = Settings(processes=8), STRATEGIES[3]
    adapted = OPTIMIZATION.model_copy(update={"adapter": Adapter(rank=64, alpha=128, dropout=0.0, bits=16)})
    for optimization, again in ((OPTIMIZATION, 2 * LLAMA.parameters / GIB / 8), (adapted, 0.0)):
        one, two = (on_each_gpu(LLAMA, optimization, way, settings, context=4_096, pairs=pairs) for pairs in (False, True))
        assert two.activations == pytest.approx(2 * one.activations)
        assert two.weights - one.weights == pytest.approx(again)


def test_reinforcement_counts_the_reference_and_what_writes_the_answers() -> None:
    """Llama-3.1-8B: 16 answers of 9,216 tokens at once take 18 GiB of keys and values (128 KiB a token), and the whole weights 15."""
    own = load(ROOT / "profiles/llama-3.1-8b.yaml").reinforce.model_copy(update={"global_batch": 128})
    way, several = STRATEGIES[3], Settings(processes=8)
    update = on_each_gpu(LLAMA, own, way, several, context=9_216)
    plain = reinforcing(LLAMA, own, way, several, gpu=80)
    assert plain._replace(generation=0.0) == update
    assert plain.generation + update.activations + update.loss == pytest.approx(18 + 2 * LLAMA.parameters / GIB, rel=0.01)
    referred = reinforcing(LLAMA, own.model_copy(update={"beta": 0.1}), way, several, gpu=80)
    assert referred.weights - plain.weights == pytest.approx(2 * LLAMA.parameters / GIB / 8)
    shared, apart = (reinforcing(LLAMA, own, way, Settings(processes=8, rollouts=how), gpu=80) for how in ("colocate", "server"))
    assert (shared.generation, apart.generation) == (0.3 * 80, 0.0)
    assert apart.total < plain.total


def test_hours_are_those_of_the_roofline() -> None:
    """One H200 at 40% of 790 TFLOP/s: 4,460 tokens a second."""
    work = work_of(None, LLAMA, context=32_768, tokens=189_500_000)
    run = course(work, load(ROOT / "profiles/llama-3.1-8b.yaml").train, gpus=1, peak=790e12, mfu=0.4)
    assert run.tokens / run.hours / 3600 == pytest.approx(4_460, rel=0.005)
    assert 2_500 <= run.steps <= 3_000, "the paper's own number of steps"


def test_parameters_are_those_that_transformers_makes() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2
    )
    model = LlamaForCausalLM(config)
    assert Shapes.of(config).parameters == model.num_parameters()
    assert Shapes.of(config).multiplied + 300 * 64 + 7 * 64 == model.num_parameters()


def test_an_adapter_is_counted_as_peft_makes_it() -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4)
    model = get_peft_model(LlamaForCausalLM(config), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    adapter = Adapter(rank=4, alpha=8, dropout=0.0, bits=16)
    assert adapter_parameters(Shapes.of(config), adapter) == model.num_parameters(only_trainable=True)


def test_zero_splits_what_its_stage_says_and_offloading_moves_it_to_the_host() -> None:
    made = {way.name: estimate(LLAMA, OPTIMIZATION, way, processes=8, tokens=32_768) for way in STRATEGIES}
    adam, grads = 12 * LLAMA.parameters / GIB, 2 * LLAMA.parameters / GIB
    assert made["zero2"].weights == pytest.approx(grads)
    assert made["zero2"].gradients == made["zero3"].gradients == pytest.approx(grads / 8)
    assert made["zero2"].optimizer == made["zero3"].optimizer == pytest.approx(adam / 8)
    assert made["zero3"].weights < made["zero2"].weights / 3
    assert (made["zero3_offload"].optimizer, made["zero3_offload"].host) == (0.0, pytest.approx(adam / 8))
    assert made["zero3_offload_all"].host == pytest.approx((adam + grads) / 8)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_the_paper_s_numbers_and_fits_its_cards(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    params = load(ROOT / f"profiles/{name}.yaml")
    train = params.train
    assert (train.global_batch, train.schedule, train.warmup, train.weight_decay) == (8, "cosine", 0.03, 0.1)
    assert (train.betas, train.precision, train.weighting, train.epochs) == ((0.9, 0.95), "bf16", "token", 4)
    single = name.endswith("24gb")
    assert (train.adapter is not None and train.adapter.bits == 4) == single
    assert (params.pack.context, train.learning_rate) == ((16_384, 1e-4) if single else (32_768, 1e-5))
    config = None if single else Path("infra/accelerate/zero3_offload.yaml")
    settings = Settings(processes=1 if single else 8, accelerate_config=config)
    shapes = shapes_of(params.base, train.tiny, vocabulary=0)
    needs = on_each_gpu(shapes, train, strategy_of(config), settings, context=params.pack.context)
    assert needs.total < (24 if single else 80)
    paired = on_each_gpu(shapes, params.align, strategy_of(config), settings, context=params.align.context, pairs=True)
    assert needs.total < paired.total < (24 if single else 80)


def test_the_tokens_that_are_assumed_count_the_thoughts() -> None:
    assert [assumed_tokens(form) for form in ("plain", "interleaved")] == [189_500_000, 310_780_000]


def test_work_on_disk_is_counted_sample_by_sample(tmp_path: Path) -> None:
    samples = encoded(answers(8))[1]
    packed = write(samples, tmp_path / "packs", context=128)
    work = work_of(tmp_path / "packs", LLAMA, context=128, tokens=1)
    assert (work.packs, work.tokens) == (packed.packs, packed.tokens)
    assert work.flops == pytest.approx(LLAMA.flops(np.array([float(len(row.input_ids)) for row in samples])).sum())


def test_a_plan_that_cannot_fit_says_so_names_what_does_and_fails() -> None:
    done = plan("--profile", "llama-3.1-8b")
    assert done.returncode == 1
    assert "139 GiB on each of 1 GPUs of 80 GiB with none; it does not fit; fix: infra/accelerate/" in done.stderr
    assert "align: 184 GiB on each" in done.stderr
    assert "2,892 steps, 758,000,000 tokens in all" in done.stdout
    assert "70.8 GFLOP a token" in done.stdout
    assert plan("--profile", "qlora-24gb", "--memory", "24").returncode == 0


def plan(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tasks.training", "plan", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
