"""Write a draft by its plan in one of three modes: paragraph by paragraph, all paragraphs at once, or many paragraphs in one call.

With write.consistency, contradictions of the finished draft are then patched (consistency.py). With write.reflect teacher, the teacher then
notes after each paragraph what is done and what changes (reflections.py).
"""

from tasks.agentwrite.chapters import Chapters
from tasks.agentwrite.consistency import make_consistent
from tasks.agentwrite.direct import Direct
from tasks.agentwrite.drafting import Drafting, Event, Lost, See
from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.agentwrite.reflections import reflect
from tasks.endpoints.chat import Chat
from tasks.schema.params import Bounds, Write
from tasks.schema.records import Draft, Plan

__all__ = ["Event", "See", "write_draft"]


async def write_draft(
    chat: Chat, plan: Plan, *, write: Write, bounds: Bounds, see: See = lambda _: None, max_tokens: int | None = None
) -> Draft | Unwritable:
    """Write all paragraphs of a plan in order. Returns the draft, or the reason why a paragraph could not be written.

    `bounds`: words of a paragraph; `see`: called with every request and its reply; `max_tokens`: of the teacher, which limits what mode
    direct requests in one call; None: no limit.
    """
    drafting = Drafting(chat, plan, write, bounds, see, way="direct" if write.mode == "direct" else None)
    try:
        if write.mode == "direct":
            drafting, paragraphs = await _direct(drafting, max_tokens)
        else:
            if write.parallel == "chapters":
                paragraphs = await Chapters(drafting).paragraphs()
            else:
                paragraphs = await (drafting.serial() if write.mode == "serial" else drafting.parallel())
    except Lost as lost:
        return lost.why
    kept = drafting.memory.kept if drafting.memory else 0
    consistency = None
    if write.consistency:
        paragraphs, consistency = await make_consistent(drafting, paragraphs, max_tokens=max_tokens)
    reflections = await reflect(drafting, paragraphs) if write.reflect == "teacher" else ()
    return Draft(
        instruction=plan.instruction,
        steps=plan.steps,
        paragraphs=tuple(paragraphs),
        way=drafting.way,
        records_kept=kept,
        consistency=consistency,
        reflections=reflections,
    )


async def _direct(drafting: Drafting, max_tokens: int | None) -> tuple[Drafting, list[str]]:
    """The paragraphs by direct calls; serially from the beginning if that fails. Raises Lost if the serial mode fails too."""
    try:
        return drafting, await Direct(drafting, max_tokens=max_tokens).paragraphs()
    except Lost:
        again = Drafting(drafting.chat, drafting.plan, drafting.write, drafting.bounds, drafting.see, way="serial")
        return again, await again.serial()
