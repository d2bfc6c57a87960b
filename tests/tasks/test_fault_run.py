"""64 samples under all kinds of faults: each ends once, no reply is paid twice, and the output is byte-identical."""

import random
import re
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tasks.workspace import (
    SAMPLES,
    SLOTS,
    UNDER_A_PARENT,
    Endpoint,
    Workspace,
    digests,
    endpoint,
    kill_group,
    kill_leader,
    some_plans,
)

BAD_TEXT = {"non_prose": 0.07, "refusing": 0.05, "truncated": 0.05, "miss": 0.3}
TRANSPORT = {"rate_limited": 0.05, "failing": 0.02, "dropped": 0.02, "page": 0.01}
EVERYBODY = [f"{place:04}" for place in range(SAMPLES)]


class Unbroken(NamedTuple):
    """What a run left that nothing happened to."""

    outputs: dict[str, bytes]
    digests: dict[str, str]  # of the requests, by key


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    with endpoint(**BAD_TEXT) as calls:
        space = Workspace(tmp_path_factory.mktemp("unbroken") / "space", calls.url, some_plans())
        assert space.finish() == 0
        assert set(calls.served().values()) == {1}
        assert space.rejects(), "the run has no reject to compare"
        assert space.ends() == EVERYBODY
        return Unbroken(space.outputs(), digests(space))


@pytest.fixture
def calls() -> Iterator[Endpoint]:
    with endpoint(**BAD_TEXT) as own:
        yield own


@pytest.fixture
def space(tmp_path: Path, calls: Endpoint) -> Workspace:
    return Workspace(tmp_path / "space", calls.url, some_plans())


class Moment(NamedTuple):
    """What was paid, and what the endpoint had answered, when a run was over."""

    paid: set[str]  # digests of the requests whose replies are in the journal
    served: Counter[str]


def after(space: Workspace, calls: Endpoint, unbroken: Unbroken) -> Moment:
    calls.wait_until_idle()
    return Moment({unbroken.digests[key] for key in space.replies()}, calls.served())


def none_paid_again(moments: list[Moment], served: Counter[str], *, but: Set[str] = frozenset()) -> None:
    """No request whose reply was kept at a moment was answered again after it."""
    for moment in moments:
        assert {digest for digest in moment.paid - but if served[digest] > moment.served[digest]} == set()


@pytest.mark.integration
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(tmp_path: Path, unbroken: Unbroken, kills: int) -> None:
    luck, total, moments = random.Random(3), len(unbroken.digests), list[Moment]()
    with endpoint(**BAD_TEXT, **TRANSPORT) as calls:
        space = Workspace(tmp_path / "space", calls.url, some_plans())
        for number in range(kills):
            parent, kill = ((), kill_group) if number % 2 else (UNDER_A_PARENT, kill_leader)
            process = space.start(*parent)
            space.run_until(process, int(total * (number + luck.random()) / (kills + 1)))
            kill(process)
            assert "Traceback" not in space.said()
            assert not (space.folder / "out").exists()
            moments.append(after(space, calls, unbroken))
        assert space.finish() == 0, space.said()
        served = calls.served()
    assert space.outputs() == unbroken.outputs
    assert space.ends() == EVERYBODY
    assert set(served) == set(unbroken.digests.values())
    none_paid_again(moments, served)
    lost = [served_so_far.total() - len(paid) for paid, served_so_far in moments]
    in_flight = [now - before for before, now in zip([0, *lost], lost, strict=False)]
    assert max(in_flight) <= SLOTS
    assert in_flight[::2] == [0] * (kills // 2), "a stage that only lost its parent keeps what it was answered"
    print(f"{served.total() - len(served)} of {served.total()} calls were made again after {kills} kills; lost at each: {in_flight}")


def torn(journal: Path, luck: random.Random) -> bytes:
    """Cut 1 to all bytes off the last record; returns it."""
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines)[: -luck.randint(1, len(lines[-1]) - 1)])
    return lines[-1]


def flipped(journal: Path, luck: random.Random) -> bytes:
    """Flip a bit of a record in the middle; returns it as it was."""
    lines = journal.read_bytes().splitlines(keepends=True)
    place = luck.randrange(len(lines) // 4, len(lines) - 1)
    line = lines[place]
    spot, bit = luck.randrange(len(line) - 1), luck.randrange(8)
    lines[place] = line[:spot] + bytes([line[spot] ^ 1 << bit]) + line[spot + 1 :]
    journal.write_bytes(b"".join(lines))
    return line


@pytest.mark.integration
@pytest.mark.parametrize("times", [2, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("damage", "says"), [(torn, "is torn; it is cut off"), (flipped, "damaged records are left aside")])
def test_a_damaged_record_costs_its_own_call_and_no_other(
    space: Workspace, calls: Endpoint, unbroken: Unbroken, damage: Callable[[Path, random.Random], bytes], says: str, times: int
) -> None:
    luck, total, damaged, moments = random.Random(9), len(unbroken.digests), list[str](), list[Moment]()
    for number in range(1, times + 1):
        process = space.start()
        space.run_until(process, total * number // (times + 2))
        kill_group(process)
        assert number == 1 or says in space.said()
        moment = after(space, calls, unbroken)
        damaged.append(unbroken.digests[damage(space.journal, luck)[9:73].decode()])
        moments.append(moment._replace(paid=moment.paid - {damaged[-1]}))
        assert moment.served[damaged[-1]] >= 1
    assert space.finish() == 0, space.said()
    assert says in space.said()
    assert space.outputs() == unbroken.outputs
    served = calls.served()
    assert all(served[digest] > moment.served[digest] for digest, moment in zip(damaged, moments, strict=True))
    none_paid_again(moments, served, but=set(damaged))


def goes_on(space: Workspace, calls: Endpoint, unbroken: Unbroken, **settings: object) -> None:
    """The rerun pays for what is missing, and for nothing else."""
    kept = after(space, calls, unbroken)
    assert kept.served.total() == len(kept.paid), "an answer was not kept"
    assert space.finish(**settings) == 0, space.said()
    assert space.outputs() == unbroken.outputs
    assert set(calls.served().values()) == {1}


@pytest.mark.integration
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)])
def test_ctrl_c_and_sigterm_keep_the_answers_under_way(
    space: Workspace, calls: Endpoint, unbroken: Unbroken, number: signal.Signals, code: int
) -> None:
    process = space.start()
    space.run_until(process, len(unbroken.digests) // 2)
    process.send_signal(number)
    assert process.wait(timeout=10) == code
    assert "Traceback" not in space.said()
    assert not (space.folder / "out").exists()
    goes_on(space, calls, unbroken)


@pytest.mark.integration
def test_a_spend_cap_stops_cleanly_and_a_higher_one_goes_on(space: Workspace, calls: Endpoint, unbroken: Unbroken) -> None:
    prices = '{"rehearsal-teacher": {"prompt": 1.0, "completion": 1.0}}'
    assert space.finish(prices=prices, spend_cap=0.3) == 1
    assert space.said().startswith("error: spend cap: $0.2")
    assert len(space.said().splitlines()) == 1
    assert not (space.folder / "out").exists()
    spent = sum(reply.usage.prompt + reply.usage.completion for reply in space.replies().values()) / 1e6
    assert 0.2 < spent <= 0.3
    goes_on(space, calls, unbroken, prices=prices, spend_cap=100)


@pytest.mark.integration
def test_a_full_disk_under_the_journal_stops_the_paying(space: Workspace, calls: Endpoint, unbroken: Unbroken) -> None:
    """A limit on the size of files stands in for it: a write is cut short, and the next one fails."""

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    assert space.finish(limit=small) == 1
    fix = "free some space and run again, what is done is kept"
    assert re.fullmatch(f"error: .*/replay.jsonl: (No space left on device|File too large); {fix}", space.said())
    assert not (space.folder / "out").exists()
    full = after(space, calls, unbroken)
    assert 0 < full.served.total() == len(full.paid)  # no call went out whose answer could not be kept
    size = space.journal.stat().st_size

    def full_up() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    assert space.finish(limit=full_up) == 1
    assert calls.served() == full.served  # and none where nothing more can be kept
    assert space.finish() == 0, space.said()
    assert space.outputs() == unbroken.outputs
    served = calls.served()
    none_paid_again([full], served)
    assert served.total() == len(served)


@pytest.mark.integration
def test_a_second_run_on_a_workspace_is_refused_until_the_first_is_gone(space: Workspace, calls: Endpoint, unbroken: Unbroken) -> None:
    first = space.start()
    space.run_until(first, 50)
    first.send_signal(signal.SIGSTOP)  # so that it cannot end before the second run begins
    assert space.finish() == 1
    first.send_signal(signal.SIGCONT)
    holder = f"error: .*: process {first.pid} on .* is calling models from this workspace; wait for it or end it, then run again"
    assert re.fullmatch(holder, space.said())
    assert first.poll() is None
    kill_group(first)
    moment = after(space, calls, unbroken)
    assert space.finish() == 0, space.said()
    assert space.outputs() == unbroken.outputs
    none_paid_again([moment], calls.served())
