"""Plans and drafts of recorded answers: the text is there already, so no model is called (models.teacher.name: recorded)."""

from pathlib import Path

from tasks.schema.errors import BadInput
from tasks.schema.records import Draft, Instruction, Plan, Provenance, RecordedText, Step
from tasks.text.counts import count_words


def paragraphs_of(text: str) -> list[str]:
    """The paragraphs of a text. A heading belongs to the paragraph behind it, and a line of introduction to its list."""
    parts = [part.strip("\n") for part in text.split("\n\n") if part.strip()]
    found: list[str] = []
    for part in parts:
        if found and _leads_on(found[-1]):
            found[-1] += f"\n\n{part}"
        else:
            found.append(part)
    return found


def _leads_on(part: str) -> bool:
    last = part.rpartition("\n")[2].strip()
    return last.endswith((":", "：")) or last.startswith("#") or not any(sign in last for sign in ".!?。！？…")


def recorded_plan(instruction: Instruction, path: Path) -> Plan:
    """A plan with a step for each paragraph of the recorded text. Raises BadInput if the instruction has no recorded text."""
    steps = tuple(
        Step(point=f"recorded paragraph {number}", words=max(1, count_words(paragraph)))
        for number, paragraph in enumerate(paragraphs_of(_text(instruction, path).text), 1)
    )
    return Plan(instruction=instruction, steps=steps)


def recorded_draft(plan: Plan, path: Path) -> Draft:
    """The recorded text as a draft, with its provenance. Raises BadInput if the instruction has no recorded text."""
    given = _text(plan.instruction, path)
    instruction = plan.instruction.model_copy(update={"recorded": None})
    origin = Provenance(kind="recorded", licence=given.licence, source=instruction.source)
    return Draft(instruction=instruction, steps=plan.steps, paragraphs=tuple(paragraphs_of(given.text)), provenance=origin)


def _text(instruction: Instruction, path: Path) -> RecordedText:
    if instruction.recorded is None:
        problem = f"the instruction {instruction.id} has no recorded answer, and models.teacher.name is recorded"
        raise BadInput(path, problem, fix="set collect.recorded: true, and run collect again")
    return instruction.recorded
