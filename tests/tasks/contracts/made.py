"""Helpers shared by the tests of contracts: earlier verdicts, and wide bounds."""

from pathlib import Path

from tasks import store
from tasks.contracts.docs import make_offline
from tasks.schema.contract_results import ContractVerdict, Outcome
from tasks.schema.params import Bounds, Spread
from tasks.schema.records import Message


def spread(least: int, most: int) -> Spread:
    bounds = Bounds(min=least, max=most)
    return Spread(p10=bounds, p50=bounds, p90=bounds)


def earlier_contracts(folder: Path) -> tuple[Path, Path]:
    """What the stages validate_instructions and validate_drafts leave, as files: two verdicts that passed, with a page of docs each."""
    for name, title in (("validate_instructions", "Instructions"), ("validate_drafts", "Drafts")):
        outcome = Outcome(
            name="enough_rows", severity="critical", meaning="some rows", success=True, observed=1.0, unexpected_count=0, ids=()
        )
        verdict = ContractVerdict(name=name, title=title, passed=True, rows=1, expectations=(outcome,))
        for part in ("validations", "expectations"):
            page = folder / name / "docs" / part / name / "page.html"
            page.parent.mkdir(parents=True)
            page.write_text('<html><head></head><a href="../../index.html">Home</a></html>')
        make_offline(folder / name / "docs", [verdict])
        store.write_json(folder / name / "verdict.json", verdict)
    return folder / "validate_instructions", folder / "validate_drafts"


def said(request: str) -> tuple[Message, ...]:
    return (Message(role="user", content=request), Message(role="assistant", content="As asked."))
