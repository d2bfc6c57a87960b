"""validate_instructions: check the instructions against their contract. The teacher plans nothing and is not paid before they pass.

It takes seconds, mostly imports. Memory contains measures, not texts. See tasks/contracts: measures are columns, rules are data, and
Great Expectations evaluates them.
"""

from functools import partial
from pathlib import Path

from tasks import stage, store
from tasks.contracts import contract
from tasks.contracts.enforce import enforce, figures
from tasks.contracts.stage_measures import instructions_frame
from tasks.corpus.likeness import scored_on
from tasks.schema.params import Collect, ValidateInstructions


def run(
    instructions: Path, folder: Path, benchmark: Path, out: Path, *, validate_instructions: ValidateInstructions, collect: Collect
) -> stage.Metrics:
    measured = instructions_frame(instructions, scored_on(benchmark, folder, collect), scratch=out)
    verdict = enforce(measured, contract.instructions(validate_instructions), data=instructions, sha256=store.digest(instructions), out=out)
    return {**figures(verdict), "asked_words": int(measured["asked"].sum())}


if __name__ == "__main__":
    stage.main(
        "INSTRUCTIONS FOLDER BENCHMARK OUT",
        lambda params: partial(run, validate_instructions=params.validate_instructions, collect=params.collect),
    )
