"""write: the teacher writes each plan paragraph by paragraph, seeing all text so far (paper, section 3.1, step II).

One call per paragraph; a sample's calls wait for each other, samples do not. The prompt grows with the text, so its
tokens, not the answer's, are the cost; most of them repeat from call to call (see agentwrite/writer.py).
"""

import asyncio
from pathlib import Path

from tasks import progress, stage, store
from tasks.agentwrite.writer import Unwritable, write_draft
from tasks.endpoints.chat import Chat, Reply, Request, each
from tasks.endpoints.roles import open_role
from tasks.longbench.length import count_words
from tasks.schema.params import Model, Write
from tasks.schema.records import Draft, Plan, Reject


def run(plans: Path, out: Path, *, write: Write, teacher_model: Model) -> stage.Metrics:
    planned = store.read_list(plans, Plan)
    drafts, rejects = stage.split(asyncio.run(_drafts(planned, write, teacher_model)))
    stage.check_reject_rate(rejects, of=len(planned), at_most=write.max_rejects)
    store.write(out / "drafts.jsonl", drafts)
    store.write(out / "rejects.jsonl", rejects)
    words = sum(count_words(paragraph) for draft in drafts for paragraph in draft.paragraphs)
    return {"plans": len(planned), "drafts": len(drafts), "rejects": len(rejects), "words": words}


async def _drafts(planned: list[Plan], write: Write, model: Model) -> list[Draft | Reject]:
    """The bar counts paragraphs, which are the calls; longest plans start first, so that no long chain is left for the end."""
    by_length = sorted(planned, key=lambda plan: -len(plan.steps))
    with progress.bar(total=sum(len(plan.steps) for plan in planned), unit="paragraph", label="write") as bar:
        async with open_role("teacher", model) as teacher:

            async def chat(request: Request) -> Reply:
                reply = await teacher(request)
                bar.update(request.sample == 0)
                return reply

            done = await each(by_length, lambda plan: _draft(chat, plan, write.tries), unit="sample", label=None)
    order = {plan.instruction.id: place for place, plan in enumerate(planned)}
    return sorted(done, key=lambda record: order[(record.instruction.id if isinstance(record, Draft) else record.id) or ""])


async def _draft(chat: Chat, plan: Plan, tries: int) -> Draft | Reject:
    result = await write_draft(chat, plan, tries=tries)
    if isinstance(result, Unwritable):
        source, id = plan.instruction.source, plan.instruction.id
        return Reject(id=id, stage="write", reason=result.reason, detail=result.detail, source=source)
    return result


if __name__ == "__main__":
    stage.main(run)
