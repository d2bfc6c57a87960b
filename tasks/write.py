"""write: the teacher writes each plan paragraph by paragraph, with all previous text in the prompt (paper, section 3.1, step II).

One call per paragraph; in write.mode direct one call per text or chapter, with repairs (tasks/agentwrite/direct.py). The calls of one draft
are sequential; drafts are written in parallel. In the serial mode the prompt grows with the text, so prompt tokens dominate the cost; most
of them repeat from call to call (tasks/agentwrite/context.py). The longest drafts start first, and running drafts are served
longest-remaining-first, so the stage ends near the endpoint's limit.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tasks import progress, stage, store
from tasks.agentwrite.budget import on_target
from tasks.agentwrite.draft_progress import DraftProgress
from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.agentwrite.recorded import recorded_draft
from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import for_each_async
from tasks.endpoints.ledger import WAYS
from tasks.endpoints.roles import open_role
from tasks.schema.params import RECORDED, Model, PlanSection, Write
from tasks.schema.records import Draft, Plan, Reject
from tasks.text.counts import count_words

CONSISTENCY = ("contradictions", "patched", "parts_unread")  # totals with write.consistency


class Chain(NamedTuple):
    """A plan in its file. Its requests are sequential, so its length bounds the time of its draft."""

    place: int  # line number in the file, from 0
    start: int  # byte at which the line begins
    words: int  # planned words
    paragraphs: int


def run(plans: Path, out: Path, *, write: Write, plan: PlanSection, teacher_model: Model) -> stage.Metrics:
    if teacher_model.name == RECORDED:
        return _of_recorded(plans, out)
    chains = [_chain(place, start, planned) for place, (start, planned) in enumerate(store.placed(plans, Plan))]
    drafts, rejects = store.Spool(out), store.Spool(out)
    counts = stage.run_async(_all(chains, plans, drafts, rejects, write, plan, teacher_model))
    stage.check_reject_rate(rejects.records(Reject), of=len(chains), at_most=write.max_rejects)
    written, lost = drafts.write(out / "drafts.jsonl"), rejects.write(out / "rejects.jsonl")
    return {"plans": len(chains), "drafts": written, "rejects": lost, **counts}


def _of_recorded(plans: Path, out: Path) -> stage.Metrics:
    """Recorded answers as drafts, without a call. Their checks are those of the stage collect (tasks/filtering/recorded.py)."""
    counts = {"words": 0, "within_10_percent": 0}

    def drafts() -> Iterator[Draft]:
        for planned in progress.track(store.read(plans, Plan), unit="draft", label="write", total=store.count(plans)):
            draft = recorded_draft(planned, plans)
            words = sum(map(count_words, draft.paragraphs))
            counts["words"] += words
            counts["within_10_percent"] += on_target(words, planned.instruction.words)
            yield draft

    written = store.write(out / "drafts.jsonl", drafts())
    store.write(out / "rejects.jsonl", ())
    return {"plans": written, "drafts": written, "rejects": 0, "calls": 0, **counts}


def _chain(place: int, start: int, planned: Plan) -> Chain:
    return Chain(place, start, sum(step.words for step in planned.steps), len(planned.steps))


async def _all(
    chains: list[Chain], plans: Path, drafts: store.Spool, rejects: store.Spool, write: Write, plan: PlanSection, model: Model
) -> dict[str, float]:
    """Write all drafts; returns totals. Finished drafts go to the spool, so memory contains only running ones."""
    longest_first = sorted(chains, key=lambda chain: -chain.words)
    totals = {"words": 0, "within_10_percent": 0} | (dict.fromkeys(WAYS, 0) if write.mode == "direct" else {})
    totals |= {"records_kept": 0} if write.memory == "state" else {}
    totals |= dict.fromkeys(CONSISTENCY, 0) if write.consistency else {}
    totals |= {"reflections": 0, "reflections_missing": 0} if write.reflect == "teacher" else {}
    async with open_role("teacher", model) as teacher:
        with DraftProgress("write", teacher.account, paragraphs=[one.paragraphs for one in chains], params={"model": str(model)}) as seen:

            async def one(chain: Chain) -> None:
                planned = store.read_at(plans, chain.start, Plan)
                draft = seen.open(chain.place, planned)
                made = await write_draft(teacher, planned, write=write, bounds=plan.paragraph_words, see=draft, max_tokens=model.max_tokens)
                seen.end(draft)
                if isinstance(made, Unwritable):
                    rejects.put(chain.place, _reject(planned, made))
                    return
                drafts.put(chain.place, made)
                words = sum(map(count_words, made.paragraphs))
                totals["words"] += words
                if made.way:
                    totals[made.way] += 1
                if write.memory == "state":
                    totals["records_kept"] += made.records_kept
                if done := made.consistency:
                    patched = sum(patch.after is not None for patch in done.patches)
                    for name, count in zip(CONSISTENCY, (len(done.patches), patched, done.unread), strict=True):
                        totals[name] += count
                for note in made.reflections:
                    totals["reflections" if note else "reflections_missing"] += 1
                totals["within_10_percent"] += on_target(words, planned.instruction.words)

            await for_each_async(longest_first, one)
            return {**totals, **seen.totals()}


def _reject(plan: Plan, why: Unwritable) -> Reject:
    return Reject(id=plan.instruction.id, stage="write", reason=why.reason, detail=why.detail, source=plan.instruction.source)


if __name__ == "__main__":
    stage.main("PLANS OUT", lambda params: partial(run, write=params.write, plan=params.plan, teacher_model=params.models.teacher))
