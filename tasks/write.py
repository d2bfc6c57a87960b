"""write: the teacher writes each plan paragraph by paragraph, seeing all text so far (paper, section 3.1, step II).

One call per paragraph; a sample's calls wait for each other, samples do not. The prompt grows with the text, so its tokens, not the
answer's, are the cost; most of them repeat from call to call (see agentwrite/context.py). The longest texts start first and,
of those under way, the one with most left to write goes first: the whole set then ends near what the endpoint allows.
"""

from pathlib import Path
from typing import NamedTuple

from tasks import stage, store
from tasks.agentwrite.budget import on_target
from tasks.agentwrite.glance import Glance, Manner, Todo, drafted
from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.agentwrite.watch import Watch
from tasks.cluster.engine import connect
from tasks.cluster.shards import share
from tasks.endpoints.roles import open_role
from tasks.schema.params import Model, PlanSection, Write
from tasks.schema.records import Draft, Plan, Reject
from tasks.text.counts import count_words


class Chain(NamedTuple):
    """A plan in its file: one request waits for the other, so its length is the least time that it takes."""

    place: int
    start: int  # byte
    words: int
    paragraphs: int


def run(plans: Path, out: Path, *, write: Write, plan: PlanSection, teacher_model: Model) -> stage.Metrics:
    chains = [_chain(place, start, planned) for place, (start, planned) in enumerate(store.placed(plans, Plan))]
    drafts, rejects = store.Spool(out), store.Spool(out)
    counts = stage.run_async(_all(chains, plans, drafts, rejects, write, plan, teacher_model))
    stage.check_reject_rate(rejects.records(Reject), of=len(chains), at_most=write.max_rejects)
    written, lost = drafts.write(out / "drafts.jsonl"), rejects.write(out / "rejects.jsonl")
    return {"plans": len(chains), "drafts": written, "rejects": lost, **counts}


def _chain(place: int, start: int, planned: Plan) -> Chain:
    return Chain(place, start, sum(step.words for step in planned.steps), len(planned.steps))


async def _all(
    chains: list[Chain], plans: Path, drafts: store.Spool, rejects: store.Spool, write: Write, plan: PlanSection, model: Model
) -> dict[str, float]:
    """Drafts go to the spool as they end: memory holds those under way."""
    longest_first = sorted(chains, key=lambda chain: -chain.words)
    connect()
    async with open_role("teacher", model) as teacher:
        with Watch("write", teacher.account, chains=[chain.paragraphs for chain in chains], params={"model": str(model)}) as watch:
            taken = _Taken([chain.place for chain in longest_first], watch, drafts, rejects)
            todo = (Todo(store.read_at(plans, chain.start, Plan), watch.traced(chain.place)) for chain in longest_first)
            await share(teacher, todo, drafted, Manner(write, plan.paragraph_words), listener=taken, count=len(chains), name="write")
            return {**taken.totals, **watch.totals()}


class _Taken:
    """Takes what comes of each plan. `places` in the file, in the order in which they are worked on."""

    def __init__(self, places: list[int], watch: Watch, drafts: store.Spool, rejects: store.Spool):
        self._places, self._watch, self._drafts, self._rejects = places, watch, drafts, rejects
        self._plans: dict[int, Plan] = {}  # under way
        self.totals = {"words": 0, "within_10_percent": 0}

    def begin(self, number: int, item: Todo) -> None:
        self._plans[number] = item.plan
        self._watch.begin(self._places[number], item.plan)

    def heard(self, number: int, said: Glance) -> None:
        self._watch.heard(self._places[number], said)

    def done(self, number: int, result: Draft | Unwritable) -> None:
        place, planned = self._places[number], self._plans.pop(number)
        self._watch.end(place)
        if isinstance(result, Unwritable):
            self._rejects.put(place, _reject(planned, result))
            return
        self._drafts.put(place, result)
        words = sum(map(count_words, result.paragraphs))
        self.totals["words"] += words
        self.totals["within_10_percent"] += on_target(words, planned.instruction.words)


def _reject(plan: Plan, why: Unwritable) -> Reject:
    return Reject(id=plan.instruction.id, stage="write", reason=why.reason, detail=why.detail, source=plan.instruction.source)


if __name__ == "__main__":
    stage.main(run)
