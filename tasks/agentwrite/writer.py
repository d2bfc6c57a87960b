"""Write a draft by its plan in one of three modes: paragraph by paragraph, all paragraphs at once, or many paragraphs in one call."""

from tasks.agentwrite.chapters import Chapters
from tasks.agentwrite.direct import Direct
from tasks.agentwrite.drafting import Drafting, Event, Lost, See
from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.endpoints.chat import Chat
from tasks.schema.params import Bounds, Write
from tasks.schema.records import Draft, Plan, Way

__all__ = ["Event", "See", "write_draft"]


async def write_draft(
    chat: Chat, plan: Plan, *, write: Write, bounds: Bounds, see: See = lambda _: None, max_tokens: int | None = None
) -> Draft | Unwritable:
    """Write all paragraphs of a plan in order. Returns the draft, or the reason why a paragraph could not be written.

    `bounds`: words of a paragraph; `see`: called with every request and its reply; `max_tokens`: of the teacher, which limits what mode
    direct requests in one call; None: no limit.
    """
    way: Way | None = None
    try:
        if write.mode == "direct":
            paragraphs, way = await _direct(chat, plan, write, bounds, see, max_tokens)
        else:
            drafting = Drafting(chat, plan, write, bounds, see)
            if write.parallel == "chapters":
                paragraphs = await Chapters(drafting).paragraphs()
            else:
                paragraphs = await (drafting.serial() if write.mode == "serial" else drafting.parallel())
    except Lost as lost:
        return lost.why
    return Draft(instruction=plan.instruction, steps=plan.steps, paragraphs=tuple(paragraphs), way=way)


async def _direct(chat: Chat, plan: Plan, write: Write, bounds: Bounds, see: See, max_tokens: int | None) -> tuple[list[str], Way]:
    """The paragraphs by direct calls; serially from the beginning if that fails. Raises Lost if the serial mode fails too."""
    direct = Direct(Drafting(chat, plan, write, bounds, see, way="direct"), max_tokens=max_tokens)
    try:
        return await direct.paragraphs(), direct.way
    except Lost:
        return await Drafting(chat, plan, write, bounds, see, way="serial").serial(), "serial"
