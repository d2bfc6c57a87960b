import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import stage, store
from tasks.collect import run
from tasks.rehearsal.raw import LENGTHS
from tasks.schema.errors import BadInput, GateFailed
from tasks.schema.params import Params, load
from tasks.schema.records import Instruction, Reason, Reject
from tasks.schema.settings import settings

POOL, BENCHMARK = Path("data/raw/pool.jsonl"), Path("data/raw/benchmark.jsonl")


@pytest.fixture
def params() -> Params:
    return load(Path("profiles/rehearsal.yaml"))


def collect(source: Path, out: Path, params: Params, **changes: object) -> stage.Metrics:
    out.mkdir(parents=True, exist_ok=True)
    entry = params.collect.sources[0].model_copy(update={"files": [source.name]})
    section = params.collect.model_copy(update={"sources": [entry], **changes})
    return run(source.parent, BENCHMARK, out, seed=params.seed, collect=section, selector_model=params.models.selector)


def read(out: Path) -> tuple[list[Instruction], list[Reject]]:
    return store.read_list(out / "instructions.jsonl", Instruction), store.read_list(out / "rejects.jsonl", Reject)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, stage.Metrics]:
    """What becomes of the rehearsal's pool with 80 instructions drawn, and the metrics."""
    out = tmp_path_factory.mktemp("usual")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGWRITER_HOME", str(out / "home"))
        settings.cache_clear()
        metrics = collect(POOL, out / "out", load(Path("profiles/rehearsal.yaml")), count=80)
    settings.cache_clear()
    return out / "out", metrics


def pool_of(path: Path, *texts: str) -> Path:
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def test_every_row_of_the_rehearsal_s_pool_ends_as_an_instruction_or_a_reject(tmp_path: Path, params: Params) -> None:
    metrics = collect(POOL, tmp_path, params)
    instructions, rejects = read(tmp_path)
    sources = [i.source for i in instructions] + [r.source for r in rejects]
    assert sorted(sources, key=lambda s: int(s.split(":")[1])) == [f"rehearsal/pool.jsonl:{n}" for n in range(1, metrics["rows"] + 1)]
    assert len(instructions) == params.collect.count
    counts = {reason: metrics.get(f"rejects_{reason}", 0) for reason in Reason}
    assert sum(counts.values()) == len(rejects) == metrics["rejects"]
    assert counts[Reason.MALFORMED] == 0
    assert counts[Reason.CONTAMINATED] == 16 + 3  # three good asks share all but a short topic with a prompt
    seen = (Reason.TOXIC, Reason.REDACTED, Reason.LANGUAGE, Reason.NOT_SELF_CONTAINED, Reason.SCRAPING, Reason.INJECTION)
    assert all(counts[reason] for reason in (*seen, Reason.SHORT_ASK, Reason.TOO_LONG_ASK, Reason.DUPLICATE, Reason.NEAR_DUPLICATE))


def test_the_drawn_instructions_are_balanced_over_language_and_length(usual: tuple[Path, stage.Metrics]) -> None:
    instructions, rejects = read(usual[0])
    cells = [(i.language, i.words) for i in instructions]
    assert {cells.count((language, n)) for language in ("en", "zh") for n in LENGTHS} == {10}
    assert sum(reject.reason is Reason.NOT_DRAWN for reject in rejects) > 300


def same(usual: tuple[Path, stage.Metrics], other: Path, metrics: stage.Metrics) -> None:
    """The same instructions and metrics; the rows have other places."""
    assert metrics == usual[1]
    kept = [[i.model_copy(update={"source": ""}) for i in read(folder)[0]] for folder in (usual[0], other)]
    assert kept[0] == kept[1]


def test_rows_in_another_order_give_the_same_instructions(tmp_path: Path, params: Params, usual: tuple[Path, stage.Metrics]) -> None:
    lines = POOL.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(7).shuffle(lines)
    shuffled = tmp_path / "pool.jsonl"
    shuffled.write_text("".join(lines), encoding="utf-8")
    same(usual, tmp_path / "other", collect(shuffled, tmp_path / "other", params, count=80))


@pytest.mark.integration
def test_a_source_cut_in_two_files_of_two_formats_and_another_order_gives_the_same_draw(
    tmp_path: Path, params: Params, usual: tuple[Path, stage.Metrics]
) -> None:
    lines = POOL.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(8).shuffle(lines)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "b.jsonl").write_text("".join(lines[:211]), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist([json.loads(line) for line in lines[211:400]]), tmp_path / "raw" / "a.parquet")
    (tmp_path / "raw" / "c.json").write_text(f"[{','.join(lines[400:])}]", encoding="utf-8")
    same(usual, tmp_path / "other", collect(tmp_path / "raw", tmp_path / "other", params, count=80))


def test_a_run_repeated_gives_the_same_bytes(tmp_path: Path, params: Params, usual: tuple[Path, stage.Metrics]) -> None:
    collect(POOL, tmp_path / "other", params, count=80)
    for file in ("instructions.jsonl", "rejects.jsonl"):
        assert (usual[0] / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_an_unreadable_row_stops_the_stage_with_its_line_and_the_mend(tmp_path: Path, params: Params) -> None:
    source = pool_of(tmp_path / "pool.jsonl", "Write 400 words about tea.")
    with source.open("ab") as file:
        file.write(b'{"prompt": "Write 400 words about caf\xe9."}\n')
    with pytest.raises(BadInput) as error:
        collect(source, tmp_path / "out", params)
    assert str(error.value).startswith(f"{source}:2: invalid UTF-8 at byte ")
    assert str(error.value).endswith("correct the row, or raise collect.max_malformed in params.yaml to set such rows aside")
    assert not list((tmp_path / "out").iterdir())


def test_unreadable_rows_are_set_aside_up_to_the_share_in_params_and_no_further(tmp_path: Path, params: Params) -> None:
    source = pool_of(tmp_path / "pool.jsonl", "Write 400 words about tea.", "写400字介绍铁路的历史。")
    with source.open("a", encoding="utf-8") as file:
        file.write('{"id": 3}\n')
    metrics = collect(source, tmp_path / "out", params, max_malformed=0.4)
    assert (metrics["rows"], metrics["instructions"], metrics["rejects_malformed"]) == (3, 2, 1)
    with pytest.raises(BadInput, match=r"pool\.jsonl:3: missing field"):
        collect(source, tmp_path / "out", params, max_malformed=0.3)


def test_a_pool_without_a_fit_row_stops_the_stage_and_names_the_commonest_reason(tmp_path: Path, params: Params) -> None:
    source = pool_of(tmp_path / "pool.jsonl", "Hi", "Write 20 words about tea.", "Écris un texte de 400 mots sur le thé.")
    with pytest.raises(GateFailed, match="none of 3 rows is fit, 2 rejected for short_ask"):
        collect(source, tmp_path / "out", params)


def test_a_benchmark_prompt_never_becomes_an_instruction(tmp_path: Path, params: Params) -> None:
    prompts = [json.loads(line)["prompt"] for line in BENCHMARK.open(encoding="utf-8")]
    collect(pool_of(tmp_path / "pool.jsonl", "Write 400 words about tea.", *prompts), tmp_path / "out", params)
    instructions, rejects = read(tmp_path / "out")
    assert [i.text for i in instructions] == ["Write 400 words about tea."]
    assert {reject.reason for reject in rejects} == {Reason.CONTAMINATED}


def test_a_benchmark_row_without_a_prompt_stops_the_stage(tmp_path: Path, params: Params) -> None:
    benchmark = tmp_path / "benchmark.jsonl"
    benchmark.write_text('{"length": 100}\n')
    with pytest.raises(BadInput, match=r"benchmark\.jsonl:1: missing field"):
        run(POOL, benchmark, tmp_path, seed=1, collect=params.collect, selector_model=params.models.selector)
