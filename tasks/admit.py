"""admit: the instructions' contract; nothing is planned or paid for before it holds.

Seconds, most of them imports; memory holds measures, not texts. See tasks/quality: measures as columns, rules as data, Great
Expectations as the judge.
"""

from pathlib import Path

from tasks import stage, store
from tasks.corpus.likeness import scored_on
from tasks.quality import contract
from tasks.quality.hold import figures, hold
from tasks.quality.upstream import instructions_frame
from tasks.schema.params import Admit, Collect


def run(instructions: Path, folder: Path, benchmark: Path, out: Path, *, admit: Admit, collect: Collect) -> stage.Metrics:
    measured = instructions_frame(instructions, scored_on(benchmark, folder, collect), scratch=out)
    verdict = hold(measured, contract.instructions(admit), data=instructions, sha256=store.digest(instructions), out=out)
    return {**figures(verdict), "asked_words": int(measured["asked"].sum())}


if __name__ == "__main__":
    stage.main(run)
