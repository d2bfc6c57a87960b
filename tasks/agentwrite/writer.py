"""The growing-context loop: each paragraph is written with the instruction, the whole plan and all text so far.

The prompt puts the instruction and the plan first, then the text, then the step, so that one request's prompt up to its
newest paragraph is the beginning of the next one: providers' prompt caches and vLLM's prefix cache serve it again.
"""

from typing import NamedTuple

from tasks.agentwrite.planner import render, render_step
from tasks.corpus.cleaning import refusal
from tasks.endpoints.chat import Chat, Reply, user
from tasks.prompts import fill
from tasks.schema.records import Draft, Plan, Reason


class Unwritable(NamedTuple):
    """Why a plan did not become a draft, with the evidence."""

    reason: Reason
    detail: str


async def write_draft(chat: Chat, plan: Plan, *, tries: int) -> Draft | Unwritable:
    """All paragraphs of a plan, in order. A bad paragraph is asked for again under a new sample index, up to `tries` times."""
    outline = render(plan.steps)
    paragraphs: list[str] = []
    for number, step in enumerate(plan.steps, 1):
        prompt = fill(
            "write",
            instruction=plan.instruction.text,
            plan=outline,
            text="\n\n".join(paragraphs),
            step=render_step(number, step),
        )
        written = await _write_paragraph(chat, prompt, earlier=paragraphs, tries=tries)
        if isinstance(written, Unwritable):
            return written._replace(detail=f"paragraph {number} of {len(plan.steps)}, {tries} tries: {written.detail}")
        paragraphs.append(written)
    return Draft(instruction=plan.instruction, steps=plan.steps, paragraphs=tuple(paragraphs))


async def _write_paragraph(chat: Chat, prompt: str, *, earlier: list[str], tries: int) -> str | Unwritable:
    fault = Unwritable(Reason.EMPTY, "never asked")
    for sample in range(tries):
        reply = await chat(user(prompt, sample=sample))
        found = find_fault(reply, earlier=earlier, prompt=prompt)
        if found is None:
            return reply.text.strip()
        fault = found
    return fault


def find_fault(reply: Reply, *, earlier: list[str], prompt: str) -> Unwritable | None:
    """What makes a reply unfit to be a paragraph, or None."""
    text = reply.text.strip()
    if not text:
        return Unwritable(Reason.EMPTY, f"empty answer, finish reason {reply.finish_reason}")
    if reply.finish_reason == "length":
        return Unwritable(Reason.TRUNCATED, f"cut off at {reply.usage.completion} tokens")
    if reply.finish_reason == "content_filter":
        return Unwritable(Reason.REFUSAL, "the endpoint's content filter")
    if evidence := refusal(text):
        return Unwritable(Reason.REFUSAL, evidence)
    if text in earlier:
        return Unwritable(Reason.REPEATED, f"same as paragraph {earlier.index(text) + 1}")
    if "<instruction>" in text or "<step>" in text or (len(text) > 200 and text in prompt):
        return Unwritable(Reason.LEAKED_PROMPT, text[:80])
    return None
