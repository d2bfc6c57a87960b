"""validate_drafts: check the drafts against their plans and their contract, before cleaning. It reveals a faulty teacher.

It takes seconds, mostly imports. See tasks/contracts: measures are columns, rules are data, and Great Expectations evaluates them.
"""

from functools import partial
from pathlib import Path

from tasks import progress, stage, store
from tasks.contracts import contract
from tasks.contracts.enforce import enforce, figures
from tasks.contracts.stage_measures import drafts_frame
from tasks.schema.params import ValidateDrafts
from tasks.schema.records import Draft


def run(drafts: Path, out: Path, *, validate_drafts: ValidateDrafts) -> stage.Metrics:
    written = progress.track(store.read(drafts, Draft), unit="draft", label="validate_drafts", total=store.count(drafts))
    measured = drafts_frame(written)
    verdict = enforce(measured, contract.drafts(validate_drafts), data=drafts, sha256=store.digest(drafts), out=out)
    return {**figures(verdict), "written_words": int(measured["written"].sum()), "s_l": float(measured["s_l"].mean())}


if __name__ == "__main__":
    stage.main("DRAFTS OUT", lambda params: partial(run, validate_drafts=params.validate_drafts))
