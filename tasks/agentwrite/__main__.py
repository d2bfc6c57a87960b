"""`python -m tasks.agentwrite estimate`: the cost of AgentWrite before a run. `ledger`: what was paid so far."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NamedTuple, get_args

import orjson
import typer

from tasks import doctor
from tasks.agentwrite.estimate import BYTES_PER_TOKEN, EndpointPace, EstimatedCalls, PromptsOnDisk, pace_of, prompts_of, with_thoughts
from tasks.agentwrite.estimate import estimate as work_of
from tasks.agentwrite.probe import ProbedMode, expected_work, probe
from tasks.endpoints.ledger import CONSISTENCY, REFLECTION, WAYS, RoleTotals, SampleTotals, samples_by_ways, totals
from tasks.endpoints.replay import JOURNAL, read_journal
from tasks.progress import span
from tasks.schema.checks import require
from tasks.schema.errors import BadSettings
from tasks.schema.params import Params, WriteMode, load
from tasks.schema.settings import PREFIX, Price, settings
from tasks.stage import one_line_errors, run_async
from tasks.statistics import wilson
from tasks.training.base_checks import base

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
INSTRUCTIONS = Path("data/collect/instructions.jsonl")
Json = Annotated[bool, typer.Option("--json", help="one JSON object, on the last line")]


@app.callback()
def agentwrite() -> None:
    """The cost of AgentWrite."""


@app.command()
def estimate(
    prompts: Annotated[
        Path | None, typer.Argument(help="a file of prompts; default: the output of the stage collect, else its sources in params.yaml")
    ] = None,
    sample: Annotated[int, typer.Option(min=2, help="instructions that are rehearsed; the others are scaled")] = 200,
    ttft: Annotated[float, typer.Option(min=0, help="seconds to the first token, if the journal has no measurement")] = 1.0,
    tokens_per_second: Annotated[
        float, typer.Option(min=0.1, help="tokens per second of one answer, if the journal has no measurement")
    ] = 50.0,
    probed: Annotated[
        int,
        typer.Option(
            "--probe",
            min=0,
            help="instructions that the teacher really plans and writes, in each of --modes; they cost money, and a run does not pay again",
        ),
    ] = 0,
    modes: Annotated[str, typer.Option(help="modes of the stage write that --probe compares")] = "serial,direct",
    as_json: Json = False,
) -> None:
    """Estimate calls, tokens, dollars and time of plan and write. Without --probe nothing is sent.

    Exits with 2, after printing the figures, if a run would refuse the base model."""
    with one_line_errors():
        params, own = load(), settings()
        if params.collect.recorded:
            raise BadSettings("models.teacher.name is recorded: plan and write make no calls, so there is nothing to estimate")
        given = prompts or (INSTRUCTIONS if INSTRUCTIONS.is_file() else None)
        asked, teacher = prompts_of(given, params.collect), params.models.teacher
        pace = pace_of(read_journal(own.home / JOURNAL), teacher.name, first_token=ttft, tokens_per_second=tokens_per_second)
        pace = with_thoughts(pace, read_journal(own.home / JOURNAL), teacher)
        work = work_of(asked, plan=params.plan, write=params.write, pace=pace, sample=sample, max_tokens=teacher.max_tokens)
        price, slots = own.prices.get(teacher.name), own.concurrency
        comparison = _probe(asked, probed, _modes(modes), params, price, pace) if probed else None
        if as_json:
            dollars = (
                {
                    "dollars": work.dollars(price, cache=True),
                    "dollars_without_cache": work.dollars(price, cache=False),
                    "dollars_by_batches": work.dollars(price, cache=False, batched=True),
                }
                if price
                else {}
            )
            counts = {"instructions": len(asked), "without_length": asked.unnamed}
            if pace.thoughts_source:
                counts["thoughts_per_call"] = round(pace.thoughts)
            compared = {"probe": comparison.data(len(asked), price, slots)} if comparison else {}
            print(
                orjson.dumps(
                    {**counts, **asdict(work), "wall": work.wall(slots), "batch_wall": work.longest_batches(), **dollars, **compared}
                ).decode()
            )
        else:
            if asked.unnamed:
                words = params.collect.words
                middle = f"the middle of collect.words, {words.min} to {words.max}"
                print(f"{asked.unnamed} of {len(asked)} prompts name no length: each counts as {middle}")
            _show(work, teacher.name, count=len(asked), rehearsed=min(sample, len(asked)), price=price, pace=pace, slots=slots)
            if comparison:
                comparison.show(len(asked), price, slots)
        for check in doctor.endpoints(params, own, ["teacher"]):
            if check.status != "ok":
                print(f"warning: a run would be refused: {check}", file=sys.stderr, flush=True)
        require(base(params, fetch=False))


def _modes(named: str) -> list[WriteMode]:
    """The modes in a list such as "serial,direct". Raises BadSettings for another name."""
    known: tuple[WriteMode, ...] = get_args(WriteMode)
    names = list(dict.fromkeys(name.strip() for name in named.split(",")))
    if other := next((name for name in names if name not in known), None):
        raise BadSettings(f"--modes {named}: {other!r} is no mode of the stage write; there are {', '.join(known)}")
    return [mode for name in names for mode in known if mode == name]


class _Comparison(NamedTuple):
    """The modes on the probed instructions, and what the probe cost."""

    modes: list[ProbedMode]
    paid: RoleTotals

    def data(self, count: int, price: Price | None, slots: int) -> dict[str, object]:
        """Plain data; `count` instructions in all."""
        scale = count / self.modes[0].instructions
        rows = [
            {
                **asdict(mode),
                "expected_calls": mode.calls * scale,
                "expected_rejects": mode.rejects * scale,
                "expected_wall": mode.wall(slots, scale=scale),
                **({"expected_dollars": mode.dollars(price) * scale} if price else {}),
            }
            for mode in self.modes
        ]
        return {"modes": rows, "paid_calls": self.paid.calls, "from_journal": self.paid.replayed, "paid_dollars": self.paid.dollars}

    def show(self, count: int, price: Price | None, slots: int) -> None:
        """A table: one line per mode."""
        probed = self.modes[0].instructions
        scale = count / probed
        print(f"\nmodes, scaled up from {probed} probed instructions to {count:,}")
        print(f"  {'mode':10}{'calls':>11}{'prompt tokens':>16}{'completion':>14}{'dollars':>12}{'time':>10}{'within 10%':>12}   rejects")
        for mode in self.modes:
            dollars = f"{mode.dollars(price) * scale:,.2f}" if price else "no price"
            tokens = f"{mode.prompt * scale:16,.0f}{mode.completion * scale:14,.0f}"
            inside = f"{mode.within_10_percent}/{probed}"
            line = f"  {mode.mode:10}{mode.calls * scale:11,.0f}{tokens}{dollars:>12}{span(mode.wall(slots, scale=scale)):>10}{inside:>12}"
            likely = wilson(mode.rejects, probed)
            rejects = f"{mode.rejects * scale:,.0f}"
            if likely:
                rejects += f" ({likely.low * count:,.0f} to {likely.high * count:,.0f})"
            ways = ", ".join(f"{mode.ways.get(way, 0)} {way}" for way in WAYS)
            print(f"{line}   {rejects}" + (f"; {ways}" if mode.ways else ""))
        paid = f"${self.paid.dollars:,.4f}" if price else "no price"
        print(f"The probe paid {self.paid.calls:,} calls, {paid}; {self.paid.replayed:,} replies were in the journal.")


def _probe(
    asked: PromptsOnDisk, count: int, modes: Sequence[WriteMode], params: Params, price: Price | None, pace: EndpointPace
) -> _Comparison:
    """Say what a probe will cost, then make it."""
    teacher, count = params.models.teacher, min(count, len(asked))
    work = expected_work(asked, count=count, modes=modes, plan=params.plan, write=params.write, pace=pace, max_tokens=teacher.max_tokens)
    dollars = f"about ${work.dollars(price, cache=False):,.4f}" if price else f"unknown dollars: {PREFIX}PRICES has no price for it"
    what = f"{count} instructions, written in the modes {' and '.join(modes)} by {teacher.name}"
    print(
        f"probe: {what}: about {work.calls:,.0f} calls, {dollars}. The replies stay in the journal, and a run does not pay for them again.",
        file=sys.stderr,
        flush=True,
    )
    return _Comparison(*run_async(probe(asked, count=count, modes=modes, plan=params.plan, write=params.write, teacher=teacher)))


def _show(work: EstimatedCalls, model: str, *, count: int, rehearsed: int, price: Price | None, pace: EndpointPace, slots: int) -> None:
    scaled = f", scaled up from {rehearsed:,}" if rehearsed < count else ""
    known = f"{pace.first_token:.2g} s to the first token, {pace.tokens_per_second:,.0f} tokens/s ({pace.source})"
    rows = [
        ("calls", f"{work.calls:,.0f}", ""),
        ("prompt tokens", f"{work.prompt:,.0f}", f"{work.repeated / max(1, work.prompt):.0%} of them repeat: a prefix cache serves them"),
        ("completion tokens", f"{work.completion:,.0f}", ""),
        ("dollars", "unknown", f"{PREFIX}PRICES has no price for {model}"),
        ("time", span(work.wall(slots)), f"{slots} at once; {known}"),
        ("longest text", span(work.longest), "no number of slots is quicker"),
    ]
    if pace.thoughts_source:
        shown = f"{pace.thoughts:,.0f}" if pace.thoughts else "unknown"
        rows.insert(2, ("thoughts per call", shown, f"tokens, part of completion; {pace.thoughts_source}"))
    dollars = next(place for place, row in enumerate(rows) if row[0] == "dollars")
    if price:
        rows[dollars] = (
            "dollars",
            f"{work.dollars(price, cache=True):,.2f}",
            f"{work.dollars(price, cache=False):,.2f} without a prefix cache",
        )
        known = "without a prefix cache; LONGWRITER_TEACHER_TRANSPORT=batch"
        rows.insert(dollars + 1, ("dollars by batches", f"{work.dollars(price, cache=False, batched=True):,.2f}", known))
    batches = f"{work.rounds} batches one after the other, up to 24 h each; most providers need less"
    days = round(work.longest_batches() / 86_400)
    rows.append(("time by batches", f"up to {days:,} day{'s' * (days != 1)}", batches))
    if work.unplanned:
        rows.append(("without a plan", f"{work.unplanned:,.0f}", "instructions that the rehearsal could not plan; they would be Rejects"))
    if work.unwritten:
        rows.append(("without a draft", f"{work.unwritten:,.0f}", "plans that the rehearsal could not write; they would be Rejects"))
    print(f"plan and write, {count:,} instructions{scaled}, by {model}")
    for name, value, note in rows:
        print(f"  {name:18}{value:>15}   {note}".rstrip())
    print(f"Assumed: {BYTES_PER_TOKEN} bytes a token, no second tries. Not counted: the selector's and the judge's calls.")


@app.command()
def ledger(
    by_sample: Annotated[
        bool, typer.Option("--samples", help="also each sample of write.mode direct: direct, repaired or serial, its calls and cost")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what this workspace has paid, by role and model. Works during a run too."""
    with one_line_errors():
        own = settings()
        accounts = totals(read_journal(own.home / JOURNAL), own.prices)
        made, checked, noted = samples_by_ways(read_journal(own.home / JOURNAL), own.prices, [WAYS, [CONSISTENCY], [REFLECTION]])
        if as_json:
            rows = [{"role": role, "model": model, **asdict(account)} for (role, model), account in accounts.items()]
            detail = {"samples": [asdict(one) for one in made]} if by_sample else {}
            print(orjson.dumps({"accounts": rows, "spend_cap": own.spend_cap, "ways": _ways([*made, *checked, *noted]), **detail}).decode())
            return
        print(f"{'role':14}{'model':28}{'calls':>10}{'prompt':>15}{'cached':>8}{'completion':>14}{'hours':>8}{'dollars':>12}")
        for (role, model), account in sorted(accounts.items()):
            cached = f"{account.cached / max(1, account.prompt):.0%}"
            dollars = f"{account.dollars:,.2f}" if model in own.prices else "no price"
            tokens = f"{account.prompt:15,}{cached:>8}{account.completion:14,}"
            print(f"{role:14}{model[:27]:28}{account.calls:10,}{tokens}{account.seconds / 3600:8.2f}{dollars:>12}")
        if stopped := sum(account.stopped for account in accounts.values()):
            saved = sum(account.saved for account in accounts.values())
            print(f"{stopped:,} of these calls were stopped while they came, which saved at most {saved:,} completion tokens")
        if batched := sum(account.batched for account in accounts.values()):
            print(f"{batched:,} of these calls came by batches, at a lower price")
        for way, (count, calls, cost) in _ways(made).items():
            print(f"write.mode direct: {count:,} samples {way}, {calls:,} calls, ${cost:,.2f}")
        for count, calls, cost in _ways(checked).values():
            print(f"write.consistency: {count:,} samples checked and patched, {calls:,} calls, ${cost:,.2f}")
        for count, calls, cost in _ways(noted).values():
            print(f"write.reflect: {count:,} samples with reflections, {calls:,} calls, ${cost:,.2f}")
        if by_sample and made:
            print(f"{'sample':20}{'way':10}{'calls':>8}{'prompt':>12}{'completion':>12}{'dollars':>12}")
            for one in made:
                print(f"{one.record[:19]:20}{one.way:10}{one.calls:8,}{one.prompt:12,}{one.completion:12,}{one.dollars:12,.4f}")
        spent = sum(account.dollars for account in accounts.values())
        cap = own.spend_cap
        left = "no spend cap is set" if cap is None else f"${max(0.0, cap - spent):,.2f} are left of the cap, ${cap:,.2f}"
        print(f"${spent:,.2f} spent; {left}")


def _ways(made: Sequence[SampleTotals]) -> dict[str, tuple[int, int, float]]:
    """Samples, calls and dollars of each way of write.mode direct that occurs, of write.consistency and of write.reflect."""
    found: dict[str, tuple[int, int, float]] = {}
    for way in (*WAYS, CONSISTENCY, REFLECTION):
        if its := [one for one in made if one.way == way]:
            found[way] = len(its), sum(one.calls for one in its), sum(one.dollars for one in its)
    return found


if __name__ == "__main__":
    app()
