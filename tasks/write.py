"""write: the teacher writes each plan paragraph by paragraph, seeing all text so far (paper, section 3.1, step II).

One call per paragraph; a sample's calls wait for each other, samples do not. The prompt grows with the text, so its tokens, not the
answer's, are the cost; most of them repeat from call to call (see agentwrite/context.py). The longest texts start first and,
of those under way, the one with most left to write goes first: the whole set then ends near what the endpoint allows.
"""

from pathlib import Path
from typing import NamedTuple

from tasks import stage, store
from tasks.agentwrite.budget import on_target
from tasks.agentwrite.faults import Unwritable
from tasks.agentwrite.watch import Watch
from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import work_off
from tasks.endpoints.roles import open_role
from tasks.longbench.length import count_words
from tasks.schema.params import Model, PlanSection, Write
from tasks.schema.records import Plan, Reject
from tasks.schema.settings import settings

UNDER_WAY = 4  # samples for each slot: enough to choose the most urgent from, few enough for memory


class Chain(NamedTuple):
    """A plan in its file: one request waits for the other, so its length is the least time that it takes."""

    place: int
    start: int  # byte
    words: int
    paragraphs: int


def run(plans: Path, out: Path, *, write: Write, plan: PlanSection, teacher_model: Model) -> stage.Metrics:
    chains = [_chain(place, start, planned) for place, (start, planned) in enumerate(store.placed(plans, Plan))]
    drafts, rejects = store.Spool(out), dict[int, Reject]()
    counts = stage.run_async(_all(chains, plans, drafts, rejects, write, plan, teacher_model))
    lost = [rejects[place] for place in sorted(rejects)]
    stage.check_reject_rate(lost, of=len(chains), at_most=write.max_rejects)
    written = drafts.write(out / "drafts.jsonl")
    store.write(out / "rejects.jsonl", lost)
    return {"plans": len(chains), "drafts": written, "rejects": len(lost), **counts}


def _chain(place: int, start: int, planned: Plan) -> Chain:
    return Chain(place, start, sum(step.words for step in planned.steps), len(planned.steps))


async def _all(
    chains: list[Chain], plans: Path, drafts: store.Spool, rejects: dict[int, Reject], write: Write, plan: PlanSection, model: Model
) -> dict[str, float]:
    """Drafts go to the spool as they end: memory holds those under way."""
    totals = {"words": 0, "within_10_percent": 0}
    async with open_role("teacher", model) as teacher:
        with Watch("write", teacher.account, chains=[chain.paragraphs for chain in chains], params={"model": str(model)}) as watch:

            async def one(chain: Chain) -> None:
                planned = store.read_at(plans, chain.start, Plan)
                with watch.sample(chain.place, planned) as see:
                    result = await write_draft(teacher, planned, write=write, bounds=plan.paragraph_words, see=see)
                if isinstance(result, Unwritable):
                    rejects[chain.place] = _reject(planned, result)
                else:
                    drafts.put(chain.place, result)
                    words = sum(map(count_words, result.paragraphs))
                    totals["words"] += words
                    totals["within_10_percent"] += on_target(words, planned.instruction.words)

            longest_first = sorted(chains, key=lambda chain: -chain.words)
            await work_off(longest_first, one, at_once=UNDER_WAY * settings().concurrency)
            return {**totals, **watch.totals()}


def _reject(plan: Plan, why: Unwritable) -> Reject:
    return Reject(id=plan.instruction.id, stage="write", reason=why.reason, detail=why.detail, source=plan.instruction.source)


if __name__ == "__main__":
    stage.main(run)
