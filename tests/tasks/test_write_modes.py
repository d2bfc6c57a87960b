"""The stage write in mode direct, with stop_early, memory and consistency: killed at any moment, with every kind of bad text."""

import asyncio
import random
from pathlib import Path

import pytest

from benchmarks import write_modes
from tasks.agentwrite.budget import on_target
from tasks.endpoints.ledger import totals
from tasks.endpoints.replay import read_journal
from tasks.rehearsal.endpoint import Switches
from tasks.schema.records import Draft
from tasks.text.counts import count_words, s_l
from tests.tasks.workspace import SAMPLES, SLOTS, Endpoint, Workspace, endpoint, kill_group, some_plans

BAD = {"reach": 500, "condensing": 0.3, "truncated": 0.1, "looping": 0.15, "refusing": 0.05, "switching": 0.1, "miss": 0.1}
EVERYBODY = [f"{place:04}" for place in range(SAMPLES)]
DIRECT, STOPPING = ("mode: serial", "mode: direct"), ("stop_early: false", "stop_early: true")
MEMORY = ("memory: summary", "memory: state"), ("consistency: false", "consistency: true"), ("context: 16384", "context: 2560")
MODES = {"direct": (DIRECT,), "stopping": (STOPPING,), "both": (DIRECT, STOPPING), "memory": MEMORY}


def workspace(folder: Path, calls: Endpoint, *changes: tuple[str, str]) -> Workspace:
    space = Workspace(folder, calls.url, some_plans())
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in params
        params = params.replace(old, new)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    return space


def length_scores(drafts: list[Draft]) -> float:
    return sum(s_l(draft.instruction.words, sum(map(count_words, draft.paragraphs))) for draft in drafts) / len(drafts)


ALONE = [pytest.param(mode, 4, marks=pytest.mark.slow) for mode in ("direct", "stopping", "both", "memory")]


@pytest.mark.integration
@pytest.mark.parametrize(("mode", "kills"), [("both", 2), *ALONE])
def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(tmp_path: Path, mode: str, kills: int) -> None:
    with endpoint(**BAD) as calls:
        unbroken = workspace(tmp_path / "unbroken", calls, *MODES[mode])
        assert unbroken.finish() == 0, unbroken.said()
        assert unbroken.ends() == EVERYBODY
        every = unbroken.paid()
    luck = random.Random(mode)
    with endpoint(**BAD) as calls:
        space = workspace(tmp_path / "space", calls, *MODES[mode])
        for moment in sorted(luck.randrange(1, every - SLOTS) for _ in range(kills)):
            process = space.start()
            if process.poll() is None:
                space.run_until(process, moment)
                kill_group(process)
        assert space.finish() == 0, space.said()
        calls.wait_until_idle()
        assert space.outputs() == unbroken.outputs()
        assert space.paid() == every
        answered = calls.served().total() + calls.health()["stopped"]
        assert every <= answered <= every + (kills + 1) * SLOTS
        before = space.paid()
        assert space.finish() == 0
        assert (space.paid(), space.outputs()) == (before, unbroken.outputs())


@pytest.mark.integration
def test_in_mode_direct_most_samples_take_one_call_and_all_have_their_length(tmp_path: Path) -> None:
    with endpoint(reach=700) as calls:
        space, serial = workspace(tmp_path / "direct", calls, DIRECT), workspace(tmp_path / "serial", calls)
        assert (space.finish(), serial.finish()) == (0, 0), space.said()
    drafts = space.drafts()
    ways = [draft.way for draft in drafts]
    assert len(drafts) == SAMPLES
    assert ways.count("direct") >= 0.6 * SAMPLES
    assert ways.count("serial") == 0
    assert space.paid() < 0.2 * serial.paid()
    assert all(on_target(sum(map(count_words, draft.paragraphs)), draft.instruction.words) for draft in drafts)
    assert length_scores(drafts) >= length_scores(serial.drafts()) - 1
    assert all(draft.way is None for draft in serial.drafts())


@pytest.mark.integration
def test_where_80_percent_are_accepted_mode_direct_costs_at_most_30_percent_of_the_serial_mode() -> None:
    chosen = write_modes.plans()[:20]
    serial = asyncio.run(write_modes.compared("serial", Switches(miss=0.1), chosen))
    direct = asyncio.run(write_modes.compared("direct", Switches(miss=0.1, short=0.25, condensing=0.5), chosen))
    assert direct.ways["direct"] == 0.8 * len(chosen)
    assert direct.ways["serial"] == 0
    assert direct.dollars(cache=False) <= 0.3 * serial.dollars(cache=False)
    assert direct.calls <= 0.12 * serial.calls
    assert direct.s_l >= serial.s_l - 1.5
    assert serial.faults == direct.faults == 0


@pytest.mark.integration
def test_stopped_loops_save_tokens_and_leave_the_same_drafts_as_good(tmp_path: Path) -> None:
    spaces, tokens = list[Workspace](), list[int]()
    for name, changes in {"whole": (), "stopped": (STOPPING,)}.items():
        with endpoint(looping=0.3, tokens_per_second=20_000) as calls:
            space = workspace(tmp_path / name, calls, *changes)
            space.folder.joinpath("params.yaml").write_text(
                space.folder.joinpath("params.yaml").read_text(encoding="utf-8").replace("max_rejects: 0.5", "max_rejects: 1.0"),
                encoding="utf-8",
            )
            assert space.finish() == 0, space.said()
            calls.wait_until_idle()
            spaces.append(space)
            tokens.append(calls.health()["tokens"])
    whole, stopped = spaces
    (account,) = totals(read_journal(stopped.journal), {}).values()
    assert account.stopped > 20
    assert tokens[1] < 0.4 * tokens[0]
    assert account.saved > 0
    assert len(stopped.drafts()) >= 0.7 * len(whole.drafts()) > 0  # other replies loop, because a stream is another request
    assert abs(length_scores(whole.drafts()) - length_scores(stopped.drafts())) < 3
