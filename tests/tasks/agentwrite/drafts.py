"""A plan about bread, and paragraphs for it."""

from tasks.rehearsal.prose import paragraph
from tasks.schema.params import Bounds, Write
from tasks.schema.records import Instruction, Plan, Step

BOUNDS = Bounds(min=40, max=60)
WRITE = Write(version=1, mode="serial", feedback=True, context=16384, tries=2, retakes=0, max_rejects=0)


def plan(paragraphs: int, words: int = 50, text: str = "Write about {{plan}} and $STEP$ in bread.", chapters: int = 0) -> Plan:
    instruction = Instruction(id="1", text=text, language="en", words=paragraphs * words, source="f:1")
    per = paragraphs // chapters if chapters else 0
    steps = tuple(
        Step(point=f"bread, part {n} of {paragraphs}", words=words, chapter=n // per + 1 if per else 0) for n in range(paragraphs)
    )
    return Plan(
        instruction=instruction, steps=steps, chapters=tuple(Step(point=f"chapter {c}", words=per * words) for c in range(1, chapters + 1))
    )


def prose(part: int, words: int = 50) -> str:
    return paragraph(topic="bread", language="en", words=words, part=part, parts=99, seed=1)
