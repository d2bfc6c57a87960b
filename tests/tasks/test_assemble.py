import json
import random
from pathlib import Path

import pytest

from tasks import assemble, store
from tasks.corpus.dataset import has_traces, read_dataset
from tasks.schema.errors import BadInput, GateFailed
from tasks.schema.params import Assemble, Bounds, General, Recipe, Source, load
from tasks.schema.records import Draft, Instruction, LengthKind, Reason, Reject, Step
from tasks.text.thoughts import split_thoughts
from tests.conftest import ROOT

COLLECT = load(ROOT / "profiles/rehearsal.yaml").collect
BENCHMARK = "Explain how a canal lock lifts a boat, in about 500 words."
BREAD = "Bread was baked in clay ovens long before anybody wrote down how. People ground grain between two stones and mixed it with water."
OVENS = "Later every village had one oven for all, and the day of baking was a day of talk. The loaves were marked so that each found home."


def draft(*paragraphs: str, id: str = "a", words: int = 40, length_kind: LengthKind = "exact") -> Draft:
    text = "Write 40 words about bread."
    instruction = Instruction(id=id, text=text, language="en", words=words, length_kind=length_kind, source=f"pool.jsonl:{id}")
    return Draft(instruction=instruction, steps=tuple(Step(point="x", words=20) for _ in paragraphs), paragraphs=paragraphs)


def run(
    tmp_path: Path, *drafts: Draft, recipe: str = "all", ratio: float = 0.0, seed: int = 1, max_rejects: float = 1.0
) -> dict[str, object]:
    store.write(tmp_path / "drafts.jsonl", drafts)
    out = tmp_path / "out"
    out.mkdir()
    recipes = {
        "all": Recipe(words=Bounds(min=10, max=100), explicit_only=False, min_s_l=0),
        "filtered": Recipe(words=Bounds(min=10, max=100), explicit_only=True, min_s_l=80),
        "strict": Recipe(words=Bounds(min=10, max=100), explicit_only=True, min_s_l=90),
        "interleaved": Recipe(words=Bounds(min=10, max=100), explicit_only=False, min_s_l=0, form="interleaved"),
    }
    source = Source(name="talk", files=["chats.jsonl"], format="jsonl", adapter="auto", revision="", licence="CC0-1.0")
    general = General(ratio=ratio, sources=[source])
    params = Assemble(recipe=recipe, recipes=recipes, general=general, max_rejects=max_rejects)
    (tmp_path / "benchmark.jsonl").write_text(json.dumps({"prompt": BENCHMARK, "length": 500}) + "\n")
    paths = (tmp_path / "drafts.jsonl", tmp_path / "passed.json", tmp_path, tmp_path / "benchmark.jsonl", out)
    return dict(assemble.run(*paths, seed=seed, collect=COLLECT, assemble=params))


def test_a_draft_becomes_a_conversation_without_its_identifiers(tmp_path: Path) -> None:
    metrics = run(tmp_path, draft(f"Paragraph 1 – {BREAD}", f"**Paragraph 2:** {OVENS}\u200b"))
    (sample,) = read_dataset(tmp_path / "out/dataset")
    assert [message.role for message in sample.messages] == ["user", "assistant"]
    assert sample.messages[1].content == f"{BREAD}\n\n{OVENS}"
    assert (metrics["drafts"], metrics["samples"], metrics["without_scaffolding"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("paragraphs", "reason"),
    [
        (("Too short.",), Reason.TOO_SHORT),
        (tuple(f"{BREAD} Again {n}." for n in range(9)), Reason.TOO_LONG),
        ((BREAD, OVENS, BREAD), Reason.REPEATED),
        (("很久以前人们就在土窑里烤面包，后来每个村子都有一座公共的烤炉，烤面包的日子也是大家聊天的日子。",), Reason.LANGUAGE),
        (
            (BREAD, "A 16,000-word essay is not feasible in this format, but here is an outline to get you started."),
            Reason.REFUSAL,
        ),
        ((BREAD, OVENS + " And when the bread was out of the oven, the people went to the"), Reason.TRUNCATED),
        ((BREAD, "<text>\n" + OVENS), Reason.LEAKED_PROMPT),
        ((BREAD, OVENS, "Max tries. Failed."), Reason.NON_PROSE),
        (
            (BREAD, OVENS, "很久以前人们就在土窑里烤面包，后来每个村子都有一座公共的烤炉，烤面包的日子也是大家聊天的日子。" * 9),
            Reason.LANGUAGE,
        ),
        (("I'm sorry, but I can't help with that request. It is not something that I am able to write about here.",), Reason.REFUSAL),
    ],
)
def test_a_draft_that_does_not_fit_is_a_reject_with_its_evidence(tmp_path: Path, paragraphs: tuple[str, ...], reason: Reason) -> None:
    run(tmp_path, draft(*paragraphs), draft(BREAD, OVENS, id="b"))
    (reject,) = store.read(tmp_path / "out/rejects.jsonl", Reject)
    assert (reject.id, reject.reason, reject.source) == ("a", reason, "pool.jsonl:a")
    assert reject.detail


def test_too_many_rejects_stop_the_stage_with_the_commonest_reason(tmp_path: Path) -> None:
    with pytest.raises(
        GateFailed, match=r"assemble: 1 of 2 records rejected, params allow 10.0%; 1 for too_short, such as pool.jsonl:a: 2 words"
    ):
        run(tmp_path, draft("Too short."), draft(BREAD, OVENS, id="b"), max_rejects=0.1)


def test_the_filtered_recipe_leaves_out_unnamed_and_missed_lengths_and_calls_neither_a_fault(tmp_path: Path) -> None:
    drafts = (draft(BREAD, OVENS, id="kept"), draft(BREAD, OVENS, id="none", length_kind="none"), draft(BREAD, OVENS, id="off", words=90))
    run(tmp_path, *drafts, recipe="filtered", max_rejects=0.0)
    assert [sample.id for sample in read_dataset(tmp_path / "out/dataset")] == ["kept"]
    rejects = {reject.id: reject for reject in store.read(tmp_path / "out/rejects.jsonl", Reject)}
    assert rejects["none"].reason == Reason.NO_EXPLICIT_LENGTH
    assert (rejects["off"].reason, rejects["off"].detail) == (
        Reason.OFF_LENGTH,
        "S_l 60.0: 90 words asked for, 50 written; the recipe wants 80",
    )


def test_the_strict_recipe_takes_texts_within_a_tenth_of_the_score(tmp_path: Path) -> None:
    drafts = [draft(BREAD, OVENS, id=str(words), words=words) for words in (30, 40, 50, 60, 70)]
    run(tmp_path, *drafts, recipe="strict", max_rejects=0.0)
    assert [sample.id for sample in read_dataset(tmp_path / "out/dataset")] == ["40", "50", "60"]


def test_an_interleaved_recipe_adds_traces_and_leaves_the_texts_as_they_are(tmp_path: Path) -> None:
    drafts = (draft(BREAD, OVENS), draft(BREAD, f"The tag <think> is no bread. {OVENS}", id="b"))
    for recipe in ("all", "interleaved"):
        (tmp_path / recipe).mkdir()
        run(tmp_path / recipe, *drafts, recipe=recipe)
    plain, traced = (list(read_dataset(tmp_path / recipe / "out/dataset")) for recipe in ("all", "interleaved"))
    assert [sample.model_copy(update={"trace": None}) for sample in traced] == plain[:1]
    assert split_thoughts(traced[0].trace or "").text == plain[0].messages[-1].content
    (reject,) = store.read(tmp_path / "interleaved/out/rejects.jsonl", Reject)
    assert (reject.id, reject.reason) == ("b", Reason.UNREADABLE_TRACE)
    assert reject.detail == "a tag of thoughts is in passage 2: <think>"
    assert [has_traces(tmp_path / recipe / "out/dataset") for recipe in ("all", "interleaved")] == [False, True]
    cards = [(tmp_path / recipe / "out/dataset/README.md").read_text() for recipe in ("all", "interleaved")]
    assert ["`trace`" in card for card in cards] == [False, True]


def test_the_dataset_opens_with_the_datasets_library(tmp_path: Path) -> None:
    from datasets import load_dataset

    run(tmp_path, draft(BREAD, OVENS))
    rows = load_dataset(str(tmp_path / "out/dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows[0]["messages"][0]["content"] == "Write 40 words about bread."
    card = (tmp_path / "out/dataset/README.md").read_text()
    assert "| rows | 1 |" in card
    assert "{{" not in card


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_text("no")
    with pytest.raises(BadInput, match=r"train\.parquet: damaged, or not Parquet"):
        list(read_dataset(tmp_path))


def chat(text: str, answer: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]}


CHATS = [chat(f"What is number {n} on the list of birds?", f"Number {n} is a bird that nobody has seen for {n} years.") for n in range(30)]
UNFIT: list[tuple[dict[str, object], Reason]] = [
    (chat(BENCHMARK, "The water rises, and the boat with it."), Reason.CONTAMINATED),
    (chat("Help me.", "I'm sorry, but I can't help with that request."), Reason.REFUSAL),
    (chat("What is number 3 on the list of birds?", "Number 3 is a bird that nobody has seen for 3 years."), Reason.DUPLICATE),
    ({"messages": [{"role": "assistant", "content": "Nobody asked."}]}, Reason.MALFORMED),
    ({"text": "no conversation"}, Reason.MALFORMED),
    (chat("What now?", "\u200b"), Reason.EMPTY),
]


def mixed(folder: Path, rows: list[dict[str, object]], **given: float) -> tuple[dict[str, object], list[str]]:
    folder.mkdir()
    (folder / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = run(folder, *(draft(BREAD, OVENS, id=f"d{n}") for n in range(4)), **given)  # type: ignore[arg-type]
    return metrics, [sample.id for sample in read_dataset(folder / "out/general")]


def test_general_chats_are_mixed_in_at_the_ratio_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    metrics, ids = mixed(tmp_path / "a", [*CHATS, *(row for row, _ in UNFIT)], ratio=2.5)
    assert len(ids) == 10 == metrics["general"]
    rejects = list(store.read(tmp_path / "a/out/rejects.jsonl", Reject))
    assert metrics["general_rows"] == 36 == len(ids) + len(rejects)
    reasons = [reject.reason for reject in rejects if reject.reason != Reason.NOT_DRAWN]
    assert sorted(reasons) == sorted(reason for _, reason in UNFIT)
    assert all(sample.asked_words is None for sample in read_dataset(tmp_path / "a/out/general"))


def test_rows_in_another_order_give_the_same_chats_and_another_seed_gives_others(tmp_path: Path) -> None:
    shuffled = random.Random(3).sample(CHATS, len(CHATS))
    _, first = mixed(tmp_path / "a", CHATS, ratio=2)
    _, second = mixed(tmp_path / "b", shuffled, ratio=2)
    _, third = mixed(tmp_path / "c", CHATS, ratio=2, seed=2)
    assert set(first) == set(second) != set(third)


def test_a_ratio_that_the_sources_cannot_serve_stops_the_stage(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="the ratio asks for 40 general chats, the sources have 30 that are fit"):
        mixed(tmp_path / "a", CHATS, ratio=10)
