"""64 samples from an endpoint that refuses, breaks, hangs and replies nonsense at once: no draft contains any of it."""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.processes import most_memory
from tasks.text.counts import count_words
from tests.tasks.workspace import SAMPLES, Workspace, endpoint, some_plans
from tests.web import Quiet, served

BAD_TEXT = {"empty": 0.02, "refusing": 0.02, "non_prose": 0.02, "truncated": 0.02, "filtered": 0.02, "huge": 0.02, "repeating": 0.02}
TRANSPORT = {"rate_limited": 0.1, "failing": 0.05, "dropped": 0.03, "page": 0.02, "hanging": 0.01, "storm": 1.0, "most": 12}
SAID = ("I'm sorry", "lorem", "ipsum", "{{{", "500 Internal", "word word", "<html", "slow down", "something broke", "Bad gateway")
EVERYBODY = [f"{place:04}" for place in range(SAMPLES)]
LARGEST = 300 * 2**20  # bytes of memory


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A finished run with the bad text alone."""
    with endpoint(**BAD_TEXT) as calls:
        space = Workspace(tmp_path_factory.mktemp("calm") / "space", calls.url, some_plans())
        assert space.finish() == 0, space.said()
        return space


@pytest.mark.integration
def test_every_fault_at_once_changes_no_byte_of_what_is_written(tmp_path: Path, calm: Workspace) -> None:
    with endpoint(**BAD_TEXT, **TRANSPORT) as calls:
        space = Workspace(tmp_path / "space", calls.url, some_plans())
        process = space.start(timeout=5)
        peak = 0
        while process.poll() is None:
            peak = max(peak, most_memory(process.pid))
            time.sleep(0.02)
        assert process.returncode == 0, space.said()
        health, served = calls.health(), calls.served()
    assert health["refused"] > 50
    assert health["requests"] > 1.1 * served.total()
    assert space.outputs() == calm.outputs()
    assert 0 < peak < LARGEST
    print(f"at most {peak / 2**20:.0f} MiB of memory, {health['requests']} requests for {len(served)} answers")


@pytest.mark.integration
def test_no_draft_has_bad_text_and_every_reject_says_what_was_seen(calm: Workspace) -> None:
    assert calm.ends() == EVERYBODY
    for draft in calm.drafts():
        # The endpoint's good paragraphs have exactly the asked words; half of one has not.
        assert [count_words(paragraph) for paragraph in draft.paragraphs] == [step.words for step in draft.steps]
        assert len(set(draft.paragraphs)) == len(draft.paragraphs)
        assert not [said for said in SAID if said in "\n".join(draft.paragraphs)]
    assert 0 < len(calm.rejects()) < SAMPLES / 4
    for reject in calm.rejects():
        assert reject.stage == "write"
        assert "3 tries: " in reject.detail or "the answer is over the size limit" in reject.detail
        assert reject.source.startswith("pool.jsonl:")


@pytest.mark.integration
def test_samples_with_the_same_instruction_are_paid_once_and_written_each(tmp_path: Path) -> None:
    plans = some_plans(same=7)
    with endpoint() as calls:
        space = Workspace(tmp_path / "space", calls.url, plans)
        assert space.finish() == 0, space.said()
        served = calls.served()
    texts = {draft.instruction.id: draft.paragraphs for draft in space.drafts()}
    assert sorted(texts) == EVERYBODY
    assert len({texts[name] for name in EVERYBODY[-8:]}) == 1
    assert set(served.values()) == {1}
    assert len(served) == sum(len(plan.steps) for plan in plans[:-7])


@contextmanager
def halves_of_characters_from(root: str) -> Iterator[str]:
    """An endpoint that passes on what another one says, with half an emoji, as JSON can spell it, before it."""

    class Halves(Quiet):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            with urllib.request.urlopen(urllib.request.Request(f"{root}{self.path}", asked), timeout=30) as answer:
                head, content, text = answer.read().partition(b'"content":"')
            said = head + content + b"\\ud83d " + text
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

    with served(Halves) as url:
        yield f"{url}/v1"


@pytest.mark.integration
def test_half_a_character_in_an_answer_becomes_a_mark(tmp_path: Path) -> None:
    with endpoint() as calls, halves_of_characters_from(calls.root) as url:
        space = Workspace(tmp_path / "space", url, some_plans())
        assert space.finish(retries=1) == 0, space.said()
    assert space.rejects() == []
    assert all(paragraph.startswith("? ") for draft in space.drafts() for paragraph in draft.paragraphs)
