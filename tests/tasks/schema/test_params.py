from pathlib import Path

import pytest

from tasks.schema.errors import BadParams
from tasks.schema.params import load
from tests.conftest import ROOT

PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PROFILES], ids=lambda path: path.name)
def test_every_params_file_in_the_repository_is_valid(path: Path) -> None:
    load(path)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("  tries: 2", "  tires: 2", "plan.tries: missing key"),
        ("seed: 42", "seed: -1", "seed: Input should be greater than or equal to 0, got -1"),
        ("min_gain_over_champion: 0.0", "min_gain_over_champion: .nan", "promote.min_gain_over_champion: Input should be a finite number"),
        ("min_s_bar: 50.0", "min_s_bar: .inf", "promote.min_s_bar: inf is out of range"),
        ("learning_rate: 3.0e-3", "learning_rate: 1.0e+20", "train.learning_rate: 1e+20 is out of range"),
        ("epochs: 8", "epochs: 100000", "train.epochs: Input should be less than or equal to 10000"),
        ("max_tokens: 4096", "max_tokens: 99999999999999999999", "models.teacher.max_tokens: 99999999999999999999 is out of range"),
        ("    longwriter-6k: {words", "    ../outside: {words", "assemble.recipes"),
        ("seed: 42", "seed: many", "seed: Input should be a valid integer"),
        ("  layers:", "  leyers:", "missing key"),
        ("seed: 42", "seed: 42\nteacher_url: http://x", "teacher_url: unknown key; fix: remove it"),
        ("seed: 42", "sead: 42\nseed: 42", "sead: unknown key; fix: did you mean seed?"),
        ("languages: [en, zh]", "languages: [en, fr]", "collect.languages"),
        ("words: {min: 80, max: 1000}", "words: {min: 80, max: 8}", "min 80 is over max 8"),
        (
            "files: [pool.jsonl]",
            'files: ["s3://chats/*.parquet"]',
            "collect.sources.0: source rehearsal is not pinned: its revision is the listing",
        ),
        ("files: [pool.jsonl]", 'files: ["hf://datasets/a/b"]', "collect.sources.0: source rehearsal is not pinned: revision is a commit"),
        ("files: [pool.jsonl]", "files: [/tmp/pool.jsonl]", "local files stand below the section's folder"),
        ("files: [pool.jsonl]", "files: [../pool.jsonl]", "local files stand below the section's folder"),
        ("files: [pool.jsonl]", "files: []", "collect.sources.0.files: List should have at least 1 item"),
        ("files: [pool.jsonl]", "file: pool.jsonl", "collect.sources.0.files: missing key"),
        ("adapter: auto", "adaptor: x, adapter: auto", "collect.sources.0.adaptor: unknown key; fix: did you mean adapter?"),
        ("seed: 42", "seed: 42\nseed: 43", "not YAML"),
        ("seed: 42", "seed: [", "not YAML"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_line(tmp_path: Path, before: str, after: str, says: str) -> None:
    text = (ROOT / "profiles" / "rehearsal.yaml").read_text()
    if "leyers" in after:
        text = text.replace("tiny: {layers", "tiny: {leyers")
    else:
        assert before in text
        text = text.replace(before, after, 1)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(BadParams) as error:
        load(path)
    assert says in str(error.value)
    assert error.value.line
    assert "\n" not in str(error.value)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("[" * 5_000 + "]" * 5_000, "nested more than 20 levels deep"),
        ("[" * 25 + "]" * 25, "nested more than 20"),
        ("9" * 5_000, "not readable"),
    ],
)
def test_hostile_values_are_one_line(tmp_path: Path, value: str, says: str) -> None:
    text = (ROOT / "profiles" / "rehearsal.yaml").read_text().replace("seed: 42", f"seed: {value}", 1)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(BadParams) as error:
        load(tmp_path / "params.yaml")
    assert says in str(error.value)
    assert len(str(error.value)) < 300


def test_shipped_recipes_filter_by_s_l_and_have_traces() -> None:
    for profile in ("rehearsal", "qwen3-8b", "qwen3-4b-24gb", "smollm2-interleaved-recorded"):
        recipes = load(ROOT / f"profiles/{profile}.yaml").assemble.recipes
        assert (recipes["longwriter-strict"].min_s_l, recipes["longwriter-strict"].form) == (90, "plain")
        assert recipes["longwriter-interleaved"].form == "interleaved"


def test_both_arms_of_the_thinking_writer_have_the_same_texts_and_room_for_thoughts() -> None:
    params = load(ROOT / "profiles/smollm2-interleaved-recorded.yaml")
    plain, traced = params.assemble.recipes["longwriter-6k"], params.assemble.chosen
    assert traced.model_copy(update={"form": "plain"}) == plain
    assert params.pack.context <= params.models.candidate.max_tokens
    assert params.predict.samples == 5


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("  recipe: longwriter-6k", "  recipe: longwriter-interleaved", "has the form interleaved, and sample.prompts is 100"),
        ("min_s_l: 0.0, form: interleaved", "min_s_l: 0.0, form: woven", "assemble.recipes.longwriter-interleaved.form"),
        ("  consistency: false", "  consistency: false\n  reflect: student", "write.reflect: Input should be 'rule' or 'teacher'"),
    ],
)
def test_a_form_that_does_not_fit_is_named(tmp_path: Path, before: str, after: str, says: str) -> None:
    text = (ROOT / "profiles/rehearsal.yaml").read_text()
    assert before in text
    (tmp_path / "params.yaml").write_text(text.replace(before, after, 1))
    with pytest.raises(BadParams) as error:
        load(tmp_path / "params.yaml")
    assert says in str(error.value)


def test_answers_with_thoughts_must_not_be_cut(tmp_path: Path) -> None:
    text = (ROOT / "profiles/smollm2-interleaved-recorded.yaml").read_text().replace("context: 3072", "context: 5000")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(BadParams, match="could be cut; set max_tokens to 5000 or more"):
        load(tmp_path / "params.yaml")


def test_recorded_answers_have_no_teacher_who_reflects(tmp_path: Path) -> None:
    text = (ROOT / "profiles/smollm2-recorded.yaml").read_text().replace("  consistency: false", "  consistency: false\n  reflect: teacher")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(BadParams, match=r"models\.teacher\.name is recorded; set write\.reflect: rule"):
        load(tmp_path / "params.yaml")


def test_an_unknown_key_is_found_on_its_own_line(tmp_path: Path) -> None:
    text = (ROOT / "profiles" / "rehearsal.yaml").read_text().replace("  max_paragraphs:", "  colour: red\n  max_paragraphs:", 1)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(BadParams) as error:
        load(tmp_path / "params.yaml")
    line = text[: text.index("  colour")].count("\n") + 1
    assert str(error.value).startswith(f"{tmp_path / 'params.yaml'}:{line}: plan.colour: unknown key")


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(BadParams, match="longwriter use rehearsal"):
        load(tmp_path / "params.yaml")
