"""The promoted version is served: by the rehearsal for successes, by a real `transformers serve` for failures."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tasks import serve, store
from tasks.endpoints.chat import Reply
from tasks.rehearsal import endpoint
from tasks.schema.errors import BadInput, GateFailed
from tasks.schema.params import Model, Serve
from tasks.schema.records import Served, Usage
from tasks.schema.settings import settings
from tasks.serve import _answer as answer_of
from tasks.serve import _problem as problem_of
from tasks.tracking import registry, runs
from tasks.tracking.checkpoint import digest
from tasks.tracking.client import connect, names
from tasks.tracking.gate import Axis, Decision, Promoted
from tasks.tracking.registry import ChampionMoved
from tests.tasks.model_files import random_llama

REHEARSAL = Model(name="rehearsal-candidate", revision="1", temperature=0.5, max_tokens=2000)
STUDENT = Model(name="student", revision="1", temperature=0.5, max_tokens=24)
ASKED = Serve(version=1, words=300, min_s_l=60)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("checkpoints") / "student", ends=False)


@pytest.fixture(autouse=True)
def home(mlflow_home: Path) -> Path:
    return mlflow_home


def checkpoint(folder: Path, *, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def promoted(folder: Path, *, before: str | None = None, wins: bool = True) -> Path:
    """The checkpoint registered and decided upon; what came of it, as a file."""
    training = runs.record("train", digest(folder))
    version = registry.register(folder, run_id=training, tags={})
    decision = Decision(
        version=version.number,
        model="student",
        alias="champion" if wins else "challenger",
        passed=wins,
        axes=(Axis(name="s_bar", value=70.0, bound=50.0, passed=wins),),
        reason="because",
        champion_before=before,
        training_run=training,
        evaluation_run="e",
    )
    registry.apply(version, decision, tags={})
    assert registry.holders().get("champion") != version.number, "nothing is champion before it has been served"
    path = folder.parent / f"promoted-{version.number}.json"
    store.write_json(
        path,
        Promoted(
            version=decision.version,
            alias=decision.alias,
            training_run=decision.training_run,
            registry=registry.identity() or "",
            checkpoint_digest=version.tags[registry.DIGEST],
            candidate_since=registry.version(version.number).tags.get("candidate_since", ""),
        ),
    )
    return path


def champion(folder: Path) -> None:
    """The checkpoint as champion, decided upon and served."""
    registry.make_champion(promoted(folder).stem.partition("-")[2], tags={"served": "300 of 300 words"})


def run(decision: Path, *, model: Model = REHEARSAL) -> tuple[dict[str, Any], Served]:
    out = decision.with_name("out")
    out.mkdir(exist_ok=True)
    metrics = dict(serve.run(decision, out, seed=3, serve=ASKED, candidate_model=model))
    return metrics, Served.model_validate_json((out / "served.json").read_text())


def served_tag(number: str) -> str | None:
    return registry.version(number).tags.get("served")


def test_the_alias_answers_a_long_request_and_ends_by_itself(tmp_path: Path) -> None:
    metrics, served = run(promoted(checkpoint(tmp_path / "a")))
    assert (served.version, served.alias, served.asked, served.finish_reason, served.problem) == ("1", "champion", 300, "stop", None)
    assert 270 <= served.written <= 330
    assert metrics == {"asked": 300, "written": served.written, "s_l": served.s_l, "tokens": served.tokens, "ended_by_itself": 1}
    assert "bridges" in (tmp_path / "out/answer.txt").read_text()
    assert (served.decoding.temperature, served.decoding.seed, len(served.template)) == (0.5, 3, 64)
    assert registry.holders() == {"champion": "1"}
    assert served.decoding.checkpoint == store.folder_digest(registry.fetch("models:/longwriter@champion"))
    assert str(served_tag("1")).startswith(f"{served.written} of 300 words (S_l {served.s_l:.0f}) in ")


def test_a_url_for_the_candidate_is_not_what_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_CANDIDATE_URL", "http://127.0.0.1:9/v1")
    settings.cache_clear()
    assert run(promoted(checkpoint(tmp_path / "a")))[1].problem is None


@pytest.mark.parametrize(
    ("text", "finish_reason", "problem"),
    [
        ("An essay.", "stop", None),
        ("An es", "length", "it did not end by itself within models.candidate.max_tokens (24)"),
        (" \n", "stop", "it answered nothing: the reply is empty"),
        ("", "content_filter", "it answered nothing: no text: stopped by the endpoint's content filter"),
        ("An essay.", "EOS", None),
        ("An essay.", "", None),
        ("An ess", "", "it ended by no finish reason, not by itself"),
    ],
)
def test_an_answer_has_words_and_ends_by_itself(text: str, finish_reason: str, problem: str | None) -> None:
    assert problem_of(Reply(text, finish_reason, Usage(1, 1), 1.0), STUDENT) == problem


def test_a_version_that_cannot_be_served_does_not_become_champion(tmp_path: Path) -> None:
    champion(checkpoint(tmp_path / "a", weights=b"1"))
    decision = promoted(checkpoint(tmp_path / "b", weights=b"2"), before="1")
    assert registry.holders() == {"champion": "1"}
    with pytest.raises(GateFailed) as failed:
        run(decision, model=STUDENT)
    said = str(failed.value)
    assert said.startswith("serve: version 2: ")
    assert said.endswith(
        "no tokenizer in it; fix: save the tokenizer beside the model; version 1 is champion; "
        "correct it, then `longwriter models allow 2` and `dvc repro --force --single-item promote`"
    )
    assert registry.holders() == {"champion": "1", "challenger": "2"}
    assert str(served_tag("2")).startswith("failed: ")
    assert "served, it failed: " in registry.version("2").tags["rolled_back"]
    with pytest.raises(
        BadInput, match=r"its decision on version 2 is outdated: version 1 is champion there, not version 2; fix: decide again: `dvc repro"
    ):
        run(decision)


def test_a_champion_that_cannot_be_served_any_more_falls_and_the_one_before_is_champion_again(tmp_path: Path) -> None:
    champion(checkpoint(tmp_path / "a", weights=b"1"))
    decision = promoted(checkpoint(tmp_path / "b", weights=b"2"), before="1")
    registry.make_champion("2", tags={"served": "300 of 300 words"})
    with pytest.raises(GateFailed, match=r"^serve: version 2: .*; version 1 is champion again; correct it"):
        run(decision, model=STUDENT)
    assert registry.holders() == {"champion": "1", "challenger": "2"}


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_champion_that_is_moved_by_hand_before_or_while_a_version_is_served_stays(
    tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion(checkpoint(tmp_path / "a", weights=b"1"))
    promoted(checkpoint(tmp_path / "c", weights=b"3"), before="1", wins=False)
    decision = promoted(checkpoint(tmp_path / "b", weights=b"2"), before="1")
    answer = serve._answer

    def moved(*arguments: Any, **named: Any) -> Any:
        connect().set_registered_model_alias(names().model, "champion", "2")
        return answer(*arguments, **named)

    if when == "before":
        connect().set_registered_model_alias(names().model, "champion", "2")
    else:
        monkeypatch.setattr(serve, "_answer", moved)
    expected = (
        (BadInput, "version 2 is champion there, not version 3") if when == "before" else (ChampionMoved, "version 2 is champion now")
    )
    with pytest.raises(expected[0], match=expected[1]):
        run(decision)
    assert registry.holders() == {"champion": "2", "challenger": "2"}
    assert not (tmp_path / "out/served.json").exists()


def test_a_first_champion_that_cannot_be_served_leaves_nobody_champion(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="nobody is champion; correct it"):
        run(promoted(checkpoint(tmp_path / "a")), model=STUDENT)
    assert registry.holders() == {"challenger": "1"}


def test_a_challenger_that_rambles_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "Switches", partial(endpoint.Switches, truncated=1.0))
    metrics, served = run(promoted(checkpoint(tmp_path / "a"), wins=False))
    assert (metrics["ended_by_itself"], served.finish_reason) == (0, "length")
    assert str(served_tag("1")).startswith("failed: it did not end")
    assert registry.holders() == {"challenger": "1"}


def test_a_template_that_was_exchanged_in_the_store_is_not_served(tmp_path: Path, home: Path) -> None:
    decision = promoted(checkpoint(tmp_path / "a"))
    next((home / "mlartifacts").rglob("chat_template.jinja")).write_text("{{ other }}")
    with pytest.raises(BadInput, match="the files differ from what was registered"):
        run(decision)
    assert registry.holders() == {}


def test_a_version_that_is_not_what_was_trained_is_refused(tmp_path: Path) -> None:
    decision = promoted(checkpoint(tmp_path / "a"))
    found = json.loads(decision.read_text()) | {"training_run": runs.record("train", "of something else")}
    decision.write_text(json.dumps(found))
    with pytest.raises(BadInput, match=r"version 1 is not the checkpoint of its training run \(of something else\)"):
        run(decision)


def test_a_checkpoint_without_a_template_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(GateFailed, match="no chat template in the checkpoint"):
        run(promoted(folder))


@pytest.mark.integration
def test_a_real_server_serves_the_registrys_files_and_a_champion_that_rambles_falls(tmp_path: Path, tiny: Path) -> None:
    champion(checkpoint(tmp_path / "a", weights=b"1"))
    decision = promoted(tiny, before="1").rename(tmp_path / "promoted.json")
    with pytest.raises(GateFailed, match=r"it did not end by itself within models.candidate.max_tokens \(24\); version 1 is champion"):
        run(decision, model=STUDENT)
    assert registry.holders() == {"champion": "1", "challenger": "2"}
    assert connect().get_model_version(names().model, "2").description.startswith("challenger: refused ")
    assert "longwriter-2" in next((settings().home / "logs").glob("serve-*.log")).name


@pytest.mark.slow
def test_a_challenger_that_rambles_on_a_real_server_is_a_result(tmp_path: Path, tiny: Path) -> None:
    metrics, served = run(promoted(tiny, wins=False).rename(tmp_path / "promoted.json"), model=STUDENT)
    assert (metrics["ended_by_itself"], served.finish_reason, served.tokens) == (0, "length", 24)
    assert str(served_tag("1")).startswith("failed: it did not end")
    assert registry.holders() == {"challenger": "1"}


def test_a_good_answer_is_the_same_whether_or_not_it_is_checked_while_it_comes(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "student")
    plain, watched = (
        asyncio.run(answer_of(folder, REHEARSAL, serve=ASKED.model_copy(update={"stop_early": early}), seed=3)) for early in (False, True)
    )
    assert plain.reply.text == watched.reply.text
    assert (plain.tokens, plain.stopped) == (watched.tokens, watched.stopped)
