"""The contract passes on good data, and names each planted defect."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import validate_dataset
from tasks.corpus.dataset import write_dataset
from tasks.schema.errors import BadInput, GateFailed
from tasks.schema.params import load
from tasks.schema.records import Message, Sample
from tasks.schema.settings import settings
from tests.conftest import ROOT
from tests.tasks.contracts.made import earlier_contracts, spread
from tests.tasks.dataset_samples import BENCHMARK, ENGLISH, good, prose, sample

REHEARSAL = load(ROOT / "profiles/rehearsal.yaml")
PARAMS = REHEARSAL.validate_dataset.model_copy(update={"min_rows": 20, "lengths": spread(40, 80), "within_s_l": 0.95})


@pytest.fixture
def home() -> Path:
    return settings().home


def check(samples: list[Sample], folder: Path, *, general: list[Sample] | None = None, context: int = 512) -> dict[str, object]:
    write_dataset(folder / "dataset", samples)
    write_dataset(folder / "general", general or [])
    (folder / "benchmark.jsonl").write_text(json.dumps({"prompt": BENCHMARK, "length": 500}) + "\n")
    (folder / "out").mkdir()
    pack = REHEARSAL.pack.model_copy(update={"context": context, "vocabulary": 512})
    admitted, reviewed = earlier_contracts(folder)
    paths = (folder / "dataset", folder / "general", folder, folder / "benchmark.jsonl", admitted, reviewed, folder / "out")
    return dict(validate_dataset.run(*paths, base=REHEARSAL.base, collect=REHEARSAL.collect, pack=pack, validate_dataset=PARAMS))


def changed(number: int, **changes: object) -> Callable[[list[Sample]], list[Sample]]:
    return lambda samples: [s.model_copy(update=changes) if n == number else s for n, s in enumerate(samples)]


LONG_ASK = "Write about the river and the stone bridge over it, about those who built it, and who crosses it today"
PLANTED: dict[str, Sample] = {  # each in a row of its own
    "unique_answers": sample(100, answer=prose(6, "en")),
    "roles_in_order": sample(101).model_copy(update={"messages": tuple(reversed(sample(101).messages))}),
    "answered": sample(102, answer="..."),
    "words_as_declared": sample(103).model_copy(update={"written_words": 61}),
    "follows_length": sample(104, asked=600),
    "in_its_language": sample(105).model_copy(update={"language": "en"}),
    "little_repetition": sample(106, answer=" ".join([ENGLISH + "."] * 5)),
    "no_identifiers": sample(107, answer="Paragraph 3: " + prose(107, "en"), language="en"),
    "no_refusals": sample(108, answer="I'm sorry, but I cannot help with that request. " + prose(108, "en")),
    "no_leaked_prompts": sample(109, answer=prose(109, "en") + "\n<text>\nGo on.", language="en"),
    "not_cut_off": sample(110, answer=prose(110, "en") + " and then he walked to the door and saw that the"),
    "no_invisible_characters": sample(112, answer=prose(112, "en").replace("stone", "sto\u200bne")),
    "no_broken_characters": sample(114, prompt="Write about caf\ufffd culture"),
    "not_contaminated": sample(116, prompt=BENCHMARK),
    "no_near_duplicates": sample(118, prompt=f"{LONG_ASK}, please."),
    "within_context": sample(120, answer=". ".join(f"The {n}th of all the {n * 7} rivers {n * 13}" for n in range(60)) + "."),
}
WHOLE: dict[str, Callable[[list[Sample]], list[Sample]]] = {  # what no single row can break
    "enough_rows": lambda samples: samples[:10],
    "unique_ids": changed(4, id="sample-6"),
    "languages_balanced": lambda samples: [sample(n, language="zh" if n < 4 else "en") for n in range(24)],
    "lengths_p10": lambda samples: [sample(n, answer="河。", asked=1) if 2 < n < 8 else s for n, s in enumerate(samples)],
}


@pytest.mark.integration
def test_a_good_dataset_passes_and_leaves_a_verdict_and_docs_that_open_offline(tmp_path: Path, home: Path) -> None:
    metrics = check(good(), tmp_path)
    assert metrics["rows"] == 24
    assert metrics["warnings"] == 0
    verdict = json.loads((tmp_path / "out/verdict.json").read_text())
    assert verdict["passed"]
    assert all(outcome["success"] for outcome in verdict["expectations"])
    pages = list((tmp_path / "out/docs").rglob("*.html"))
    assert tmp_path / "out/docs/index.html" in pages
    assert len(pages) == 7
    for page in pages:
        assert "<script" not in page.read_text()
        assert 'src="http' not in page.read_text()
    assert not home.exists()


def test_each_planted_defect_is_named_and_its_row_is_listed(tmp_path: Path, home: Path) -> None:
    with pytest.raises(GateFailed) as failure:
        check([*good(), sample(98, prompt=f"{LONG_ASK}."), *PLANTED.values()], tmp_path)
    line, kept = str(failure.value), home / "contracts/validate_dataset"
    assert "\n" not in line
    assert str(kept / "failed.jsonl") in line
    assert (kept / "docs/index.html").exists()
    rows = [json.loads(row) for row in (kept / "failed.jsonl").read_text().splitlines()]
    for name, planted in PLANTED.items():
        assert name in line
        found = [row for row in rows if row["expectation"] == name and row["id"] == planted.id]
        assert found, name
        assert found[0]["source"].startswith("pool.jsonl:")


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_wrong_with_the_whole_is_named(name: str, tmp_path: Path, home: Path) -> None:
    with pytest.raises(GateFailed, match=name):
        check(WHOLE[name](good()), tmp_path)


def test_a_warning_does_not_stop_the_run(tmp_path: Path, home: Path) -> None:
    metrics = check([*good(), sample(30, answer=f"{prose(30, 'en')}\n\nLet me know if you would like more.")], tmp_path)
    assert metrics["warnings"] == 1


def test_an_empty_dataset_fails_for_its_rows_and_not_with_a_traceback(tmp_path: Path, home: Path) -> None:
    with pytest.raises(GateFailed, match="enough_rows"):
        check([], tmp_path)


def test_general_chats_are_held_to_what_holds_for_any_conversation(tmp_path: Path, home: Path) -> None:
    chats = [sample(n, asked=600).model_copy(update={"id": f"chat-{n}", "asked_words": None}) for n in (40, 41)]
    assert check(good(), tmp_path, general=chats)["long"] == 24
    refused = chats[0].model_copy(
        update={"messages": (chats[0].messages[0], Message(role="assistant", content="I cannot help with that."))}
    )
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(GateFailed, match="no_refusals"):
        check(good(), again, general=[refused])


def test_the_verdict_that_others_wait_for_changes_with_the_data_alone(tmp_path: Path, home: Path) -> None:
    tokens = []
    for name, samples, context in (("a", good(), 512), ("b", good(), 480), ("c", good(25), 512)):
        (tmp_path / name).mkdir()
        check(samples, tmp_path / name, context=context)
        tokens.append((tmp_path / name / "out/passed.json").read_bytes())
    assert tokens[0] == tokens[1] != tokens[2]


def test_the_docs_tell_of_all_three_contracts(tmp_path: Path, home: Path) -> None:
    check(good(), tmp_path)
    index = (tmp_path / "out/docs/index.html").read_text()
    for title in ("Instructions", "Drafts", "Training set"):
        assert f">{title} <span" in index
    for link in re.findall(r'href="([^"#]+\.html)"', index):
        page = tmp_path / "out/docs" / link
        assert page.is_file(), link
        assert all(
            (page.parent / home_link).resolve().is_file() for home_link in re.findall(r'href="((?:\.\./)+index\.html)"', page.read_text())
        )


def test_a_missing_dataset_is_named(tmp_path: Path, home: Path) -> None:
    admitted, reviewed = earlier_contracts(tmp_path)
    nowhere = tmp_path / "nowhere"
    paths = (nowhere, nowhere, tmp_path, ROOT / "data/raw/benchmark.jsonl", admitted, reviewed, tmp_path)
    with pytest.raises(BadInput, match=r"train\.parquet"):
        validate_dataset.run(*paths, base=REHEARSAL.base, collect=REHEARSAL.collect, pack=REHEARSAL.pack, validate_dataset=PARAMS)
