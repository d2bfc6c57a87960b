"""plan: the teacher divides each instruction's text into paragraphs with word counts (paper, section 3.1, step I).

One call per instruction, or two if the first plan is unusable. The prompt is the instruction; the reply has one line per paragraph. A
text too long for one list of paragraphs takes one call for its chapters and one for each chapter. An instruction without a usable plan
becomes a Reject. Instructions are streamed, so memory does not grow with their texts.
"""

from array import array
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

from tasks import progress, stage, store
from tasks.agentwrite.planner import plan_or_reject
from tasks.agentwrite.recorded import recorded_plan
from tasks.endpoints.chat import for_each_async
from tasks.endpoints.roles import open_role
from tasks.schema.params import RECORDED, Model, PlanSection
from tasks.schema.records import Instruction, Plan, Reject

BLOCK = 10_000  # instructions sorted at once, so that the first request does not wait until a long file is read


def run(instructions: Path, admitted: Path, out: Path, *, plan: PlanSection, teacher_model: Model) -> stage.Metrics:
    """`admitted` is not read: it is a dependency, so that the instructions' contract must pass first."""
    if teacher_model.name == RECORDED:
        made = _of_recorded(instructions, out)
    else:
        made = stage.run_async(_plans(instructions, out, plan, teacher_model))
    asked = len(made.plans) + len(made.rejects)
    stage.check_reject_rate(made.rejects.records(Reject), of=asked, at_most=plan.max_rejects)
    plans, rejects = made.plans.write(out / "plans.jsonl"), made.rejects.write(out / "rejects.jsonl")
    return {"instructions": asked, "plans": plans, "rejects": rejects, "paragraphs": made.paragraphs, "in_chapters": made.in_chapters}


def _of_recorded(instructions: Path, out: Path) -> "_Made":
    """Plans of recorded answers, without a call: one step for each paragraph that is there."""
    count = store.count(instructions)
    with progress.bar(total=count, unit="plan", label="plan") as bar:
        made = _Made(out, array("q", range(count)), bar)
        for number, instruction in enumerate(store.read(instructions, Instruction)):
            made.add(number, recorded_plan(instruction, instructions))
        return made


async def _plans(instructions: Path, out: Path, plan: PlanSection, model: Model) -> "_Made":
    count, places = store.count(instructions), array("q")
    first = next(asked := _longest_first(instructions, places))  # an unreadable file fails before any role is opened
    async with open_role("teacher", model) as chat:
        with progress.bar(total=count, unit="plan", label="plan") as bar:
            made = _Made(out, places, bar)

            async def one(turn: tuple[int, Instruction]) -> None:
                number, instruction = turn
                made.add(number, await plan_or_reject(chat, instruction, plan))

            await for_each_async(enumerate(chain((first,), asked)), one)
            return made


def _longest_first(path: Path, places: "array[int]") -> Iterator[Instruction]:
    """All instructions, sorted by requested length within each block, longest first. Appends their places in the file to `places`."""
    numbered = enumerate(store.placed(path, Instruction))
    while block := [(-asked.words, place, start) for place, (start, asked) in islice(numbered, BLOCK)]:
        for _, place, start in sorted(block):
            places.append(place)
            yield store.read_at(path, start, Instruction)


class _Made:
    """Collects plans and rejects on disk, in the order of their instructions in the file; counts them in memory."""

    def __init__(self, out: Path, places: "array[int]", bar: progress.tqdm):
        self.plans, self.rejects = store.Spool(out), store.Spool(out)
        self.paragraphs = self.in_chapters = 0
        self._places, self._bar = places, bar

    def add(self, number: int, result: Plan | Reject) -> None:
        if isinstance(result, Reject):
            self.rejects.put(self._places[number], result)
        else:
            self.plans.put(self._places[number], result)
            self.paragraphs += len(result.steps)
            self.in_chapters += bool(result.chapters)
        self._bar.update()


if __name__ == "__main__":
    stage.main("INSTRUCTIONS ADMITTED OUT", lambda params: partial(run, plan=params.plan, teacher_model=params.models.teacher))
