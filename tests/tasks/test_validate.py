"""The contract passes on good data, and names each defect that is planted in it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import validate
from tasks.corpus.dataset import write_dataset
from tasks.longbench.length import count_words
from tasks.schema.errors import BadInput, GateFailed
from tasks.schema.params import Validate
from tasks.schema.records import Language, Message, Sample
from tasks.schema.settings import settings

PARAMS = Validate(min_rows=20, min_language_share=0.3, min_s_l=80.0, within_s_l=0.95, max_repetition=0.5)
ENGLISH = "river stone lantern garden window morning quiet letter bridge winter kitchen market"
CHINESE = "河石灯园窗晨静信桥冬厨市纸车港故事夜师乐云山"


def sample(number: int, *, language: Language | None = None, answer: str | None = None, prompt: str = "", asked: int = 60) -> Sample:
    language = language or ("zh" if number % 2 else "en")
    if answer is None:
        answer = prose(number, language)
    messages = (Message(role="user", content=prompt or f"Request {number} in {language}"), Message(role="assistant", content=answer))
    return Sample(
        id=f"sample-{number}",
        messages=messages,
        language=language,
        asked_words=asked,
        written_words=max(count_words(answer), 1),
        paragraphs=1,
        source=f"pool.jsonl:{number}",
    )


def prose(number: int, language: Language) -> str:
    """60 words in five sentences that differ from each other and from other numbers'."""
    pool: list[str] = ENGLISH.split() if language == "en" else list(CHINESE[:12])
    turned = pool[number % 12 :] + pool[: number % 12]
    orders = [turned[k:] + turned[:k] for k in (0, 2, 3, 5, 7 + number // 12)]
    return " ".join(" ".join(words) + "." for words in orders) if language == "en" else "".join("".join(words) + "。" for words in orders)


def good(count: int = 24) -> list[Sample]:
    return [sample(number) for number in range(count)]


@pytest.fixture
def home() -> Path:
    return settings().home


def check(samples: list[Sample], folder: Path) -> dict[str, object]:
    write_dataset(folder / "dataset", samples)
    (folder / "out").mkdir()
    return dict(validate.run(folder / "dataset", folder / "out", validate_=PARAMS))


def changed(number: int, **changes: object) -> Callable[[list[Sample]], list[Sample]]:
    return lambda samples: [s.model_copy(update=changes) if n == number else s for n, s in enumerate(samples)]


def replaced(number: int, *, prompt: str = "", answer: str | None = None) -> Callable[[list[Sample]], list[Sample]]:
    return lambda samples: [sample(n, prompt=prompt, answer=answer) if n == number else s for n, s in enumerate(samples)]


DEFECTS = {
    "enough_rows": lambda samples: samples[:10],
    "unique_ids": changed(4, id="sample-6"),
    "unique_answers": replaced(4, answer=prose(6, "en")),
    "roles_in_order": changed(4, messages=(sample(4).messages[1], sample(4).messages[0])),
    "answered": replaced(4, answer="..."),
    "words_as_declared": changed(4, written_words=61),
    "follows_length": lambda samples: [sample(n, asked=600) if n < 4 else s for n, s in enumerate(samples)],
    "languages_balanced": lambda samples: [sample(n, language="zh" if n < 4 else "en") for n in range(24)],
    "in_its_language": changed(4, language="zh"),
    "little_repetition": replaced(4, answer=" ".join([ENGLISH + "."] * 5)),
    "no_identifiers": replaced(4, answer="Paragraph 3: " + prose(4, "en")),
    "no_refusals": replaced(4, answer="I'm sorry, but I cannot help with that request. " + prose(4, "en")),
    "no_invisible_characters": replaced(4, answer=prose(4, "en").replace("stone", "sto\u200bne")),
    "no_broken_characters": replaced(4, prompt="Write about caf\ufffd culture"),
}


def test_a_good_dataset_passes_and_leaves_a_verdict_and_docs_that_open_offline(tmp_path: Path, home: Path) -> None:
    metrics = check(good(), tmp_path)
    assert metrics["rows"] == 24
    assert metrics["warnings"] == 0
    verdict = json.loads((tmp_path / "out/verdict.json").read_text())
    assert verdict["passed"]
    assert all(outcome["success"] for outcome in verdict["expectations"])
    pages = list((tmp_path / "out/docs").rglob("*.html"))
    assert tmp_path / "out/docs/index.html" in pages
    assert len(pages) == 3
    for page in pages:
        assert "<script" not in page.read_text()
        assert 'src="http' not in page.read_text()
    assert not home.exists()


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_named_and_its_row_is_listed(name: str, tmp_path: Path, home: Path) -> None:
    with pytest.raises(GateFailed) as failure:
        check(DEFECTS[name](good()), tmp_path)
    line = str(failure.value)
    assert name in line
    assert "\n" not in line
    assert str(home / "validate/failed.jsonl") in line
    assert (home / "validate/docs/index.html").exists()
    listed = [json.loads(row) for row in (home / "validate/failed.jsonl").read_text().splitlines()]
    if name not in ("enough_rows", "languages_balanced"):
        first = next(row for row in listed if row["expectation"] == name)
        assert first["id"] in line
        assert first["source"].startswith("pool.jsonl:")


def test_a_warning_does_not_stop_the_run(tmp_path: Path, home: Path) -> None:
    metrics = check(replaced(4, prompt="Request 6 in en")(good()), tmp_path)
    assert metrics["warnings"] == 1


def test_an_empty_dataset_fails_for_its_rows_and_not_with_a_traceback(tmp_path: Path, home: Path) -> None:
    with pytest.raises(GateFailed, match="enough_rows"):
        check([], tmp_path)


def test_a_missing_dataset_is_named(tmp_path: Path, home: Path) -> None:
    with pytest.raises(BadInput, match=r"train\.parquet"):
        validate.run(tmp_path / "nowhere", tmp_path, validate_=PARAMS)
