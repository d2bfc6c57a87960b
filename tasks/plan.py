"""plan: the teacher breaks each instruction into paragraphs with word counts (paper, section 3.1, step I).

One call per instruction, two where the first plan cannot be used; its prompt is the instruction, its answer a line per
paragraph. A text too long for one list of paragraphs takes a call for its chapters and one for each of them. An instruction
without a usable plan becomes a Reject.
"""

from pathlib import Path

from tasks import stage, store
from tasks.agentwrite.planner import plan_or_reject
from tasks.cluster.shards import share_each
from tasks.endpoints.roles import open_role
from tasks.schema.params import Model, PlanSection
from tasks.schema.records import Instruction, Plan, Reject


def run(instructions: Path, admitted: Path, out: Path, *, plan: PlanSection, teacher_model: Model) -> stage.Metrics:
    """`admitted` is not read: it stands for the instructions' contract that has to have passed."""
    asked = store.read_list(instructions, Instruction)
    plans, rejects = stage.split(stage.run_async(_plans(asked, plan, teacher_model)))
    stage.check_reject_rate(rejects, of=len(asked), at_most=plan.max_rejects)
    store.write(out / "plans.jsonl", plans)
    store.write(out / "rejects.jsonl", rejects)
    paragraphs = sum(len(p.steps) for p in plans)
    return {
        "instructions": len(asked),
        "plans": len(plans),
        "rejects": len(rejects),
        "paragraphs": paragraphs,
        "in_chapters": sum(bool(p.chapters) for p in plans),
    }


async def _plans(asked: list[Instruction], plan: PlanSection, model: Model) -> list[Plan | Reject]:
    async with open_role("teacher", model) as chat:
        return await share_each(chat, asked, plan_or_reject, plan, unit="plan", label="plan")


if __name__ == "__main__":
    stage.main(run)
