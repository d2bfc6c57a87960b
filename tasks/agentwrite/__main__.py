"""`python -m tasks.agentwrite estimate`: the cost of AgentWrite before a run. `ledger`: what was paid so far."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks import doctor
from tasks.agentwrite.estimate import BYTES_PER_TOKEN, EndpointPace, EstimatedCalls, pace_of, prompts_of
from tasks.agentwrite.estimate import estimate as work_of
from tasks.endpoints.ledger import totals
from tasks.endpoints.replay import JOURNAL, read_journal
from tasks.progress import span
from tasks.schema.checks import require
from tasks.schema.params import load
from tasks.schema.settings import PREFIX, Price, settings
from tasks.stage import one_line_errors
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
    as_json: Json = False,
) -> None:
    """Estimate calls, tokens, dollars and time of plan and write. Nothing is sent.

    Exits with 2, after printing the figures, if a run would refuse the base model."""
    with one_line_errors():
        params, own = load(), settings()
        given = prompts or (INSTRUCTIONS if INSTRUCTIONS.is_file() else None)
        asked, teacher = prompts_of(given, params.collect), params.models.teacher
        pace = pace_of(read_journal(own.home / JOURNAL), teacher.name, first_token=ttft, tokens_per_second=tokens_per_second)
        work = work_of(asked, plan=params.plan, write=params.write, pace=pace, sample=sample)
        price, slots = own.prices.get(teacher.name), own.concurrency
        if as_json:
            dollars = (
                {"dollars": work.dollars(price, cache=True), "dollars_without_cache": work.dollars(price, cache=False)} if price else {}
            )
            counts = {"instructions": len(asked), "without_length": asked.unnamed}
            print(orjson.dumps({**counts, **asdict(work), "wall": work.wall(slots), **dollars}).decode())
        else:
            if asked.unnamed:
                words = params.collect.words
                middle = f"the middle of collect.words, {words.min} to {words.max}"
                print(f"{asked.unnamed} of {len(asked)} prompts name no length: each counts as {middle}")
            _show(work, teacher.name, count=len(asked), rehearsed=min(sample, len(asked)), price=price, pace=pace, slots=slots)
        for check in doctor.endpoints(params, own, ["teacher"]):
            if check.status != "ok":
                print(f"warning: a run would be refused: {check}", file=sys.stderr, flush=True)
        require(base(params, fetch=False))


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
    if price:
        rows[3] = ("dollars", f"{work.dollars(price, cache=True):,.2f}", f"{work.dollars(price, cache=False):,.2f} without a prefix cache")
    if work.unplanned:
        rows.append(("without a plan", f"{work.unplanned:,.0f}", "instructions that the rehearsal could not plan; they would be Rejects"))
    if work.unwritten:
        rows.append(("without a draft", f"{work.unwritten:,.0f}", "plans that the rehearsal could not write; they would be Rejects"))
    print(f"plan and write, {count:,} instructions{scaled}, by {model}")
    for name, value, note in rows:
        print(f"  {name:18}{value:>15}   {note}".rstrip())
    print(f"Assumed: {BYTES_PER_TOKEN} bytes a token, no second tries. Not counted: the selector's and the judge's calls.")


@app.command()
def ledger(as_json: Json = False) -> None:
    """Show what this workspace has paid, by role and model. Works during a run too."""
    with one_line_errors():
        own = settings()
        accounts = totals(read_journal(own.home / JOURNAL), own.prices)
        if as_json:
            rows = [{"role": role, "model": model, **asdict(account)} for (role, model), account in accounts.items()]
            print(orjson.dumps({"accounts": rows, "spend_cap": own.spend_cap}).decode())
            return
        print(f"{'role':10}{'model':32}{'calls':>10}{'prompt':>15}{'cached':>8}{'completion':>14}{'hours':>8}{'dollars':>12}")
        for (role, model), account in sorted(accounts.items()):
            cached = f"{account.cached / max(1, account.prompt):.0%}"
            dollars = f"{account.dollars:,.2f}" if model in own.prices else "no price"
            tokens = f"{account.prompt:15,}{cached:>8}{account.completion:14,}"
            print(f"{role:10}{model[:31]:32}{account.calls:10,}{tokens}{account.seconds / 3600:8.2f}{dollars:>12}")
        spent = sum(account.dollars for account in accounts.values())
        cap = own.spend_cap
        left = "no spend cap is set" if cap is None else f"${max(0.0, cap - spent):,.2f} are left of the cap, ${cap:,.2f}"
        print(f"${spent:,.2f} spent; {left}")


if __name__ == "__main__":
    app()
