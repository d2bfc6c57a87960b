"""Made-up files in the formats of published benchmarks, and their plug-ins with these files as the pinned ones."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks import plugins
from tasks.benchmarks.interface import Benchmark
from tasks.benchmarks.sources import Pin, PinnedSource

Row = dict[str, Any]
JUDGE = '''SYS_PROMPT = """You grade."""
USER_PROMPT = """Instruction {{{instruction}}}, response {{{response}}}, checklists {{{checklists}}}, {num_checklist} in all."""
raise SystemExit("published code is never run")
'''
WEIGHTS = 'REGRESSION_DICT = {"essay": [10.0, 20.0, 70.0], "chat": [50.0, 50.0]}\n'
PROMPT = '''evaluate_system = """
You grade.
""".strip()

evaluate_prompt = """
Query {query}, response {response}, criterion {criteria}. Reply {{"score": 5, "reason": "why"}}.
""".strip()
'''


def lines(*rows: Row) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def hellobench_row(name: str, category: str, questions: int) -> Row:
    return {"id": name, "category": category, "instruction": f"Write {name}.", "checklists": [f"Is it {n}?" for n in range(questions)]}


HELLOBENCH = {
    "weighted_scores.txt": WEIGHTS,
    "llm_judge.py": JUDGE,
    "chat.jsonl": lines(hellobench_row("chat_0", "chat", 2)),
    "heuristic_text_generation.jsonl": lines(*(hellobench_row(f"essay_{n}", "essay", 3) for n in range(3))),
    "open_ended_qa.jsonl": lines(hellobench_row("qa_0", "chat", 2)),
    "summarization.jsonl": lines(hellobench_row("sum_0", "chat", 2)),
    "text_completion.jsonl": lines(hellobench_row("text_0", "chat", 2)),
}


def writingbench_row(index: int, domain: str, *names: str) -> Row:
    criteria = [{"name": name, "criteria_description": f"About {name}.", "1-2": "bad", "9-10": "good"} for name in names]
    return {"index": index, "domain1": domain, "domain2": "x", "query": f"Write 500 words, number {index}.", "checklist": criteria}


WRITINGBENCH = {
    "prompt.py": PROMPT,
    "length_subset.jsonl": lines(
        writingbench_row(3, "Law", "Length", "Tone"),
        writingbench_row(8, "Arts", "Length", "Tone"),
        writingbench_row(9, "Arts", "Words", "Tone"),
    ),
    "length_subset_C.jsonl": lines(
        writingbench_row(3, "Law", "Length"), writingbench_row(8, "Arts", "Length", "Tone"), writingbench_row(9, "Arts", "Words")
    ),
}
EQBENCH_CHAPTER, EQBENCH_FINAL = (
    ("Coherent", "Tell-Don't-Show", "Forced Poetry or Metaphor"),
    ("Pacing", "Purple Prose", "Forced Poetry or Metaphor"),
)
EQBENCH_PROMPT = (
    "{writing_prompt} | {final_plan} | {character_profiles} | {chapter_number} | {chapter_text} | {lower_is_better_criteria} | "
)
EQBENCH = {
    "criteria_weights.json": json.dumps({"forced poetry or metaphor": 5, "purple prose": 2}),
    "longform_creative_writing_criteria_chapter.txt": "\n".join(EQBENCH_CHAPTER),
    "longform_creative_writing_criteria_final.txt": "\n".join(EQBENCH_FINAL),
    "longform_negative_criteria_chapter.txt": "\n".join(EQBENCH_CHAPTER[1:]),
    "longform_negative_criteria_final.txt": "\n".join(EQBENCH_FINAL[1:]),
    "longform_creative_writing_judging_prompt_chapter.txt": EQBENCH_PROMPT + "{creative_writing_criteria}",
    "longform_creative_writing_judging_prompt_final.txt": "{writing_prompt} | {full_story} | {creative_writing_criteria}",
    **{f"prompt{n}.txt": f"Turn {n} of {{writing_prompt}} in {{n_chapters}}." for n in range(1, 6)},
    "prompt_chapter_first.txt": "Chapter 1.",
    "prompt_chapter_intermediate.txt": "Chapter {chapter_number}.",
    "prompt_chapter_last.txt": "Last, {chapter_number}.",
    "longform_creative_writing_prompts_minimalist.json": json.dumps(
        {"1": {"category": "Sea", "title": "t", "writing_prompt": "A {plan} of tea"}}
    ),
}
LENGTH_TASK = {"id": 1, "category": "create", "type": "Story", "lang": "en", "task": "Use {word_count_type} {word_count} words."}
DIARY: dict[str, Any] = {
    "prompt": "Write a diary of 4 weeks. *** started ***\n#*# Week 1 (January):",
    "checks_once": {"2": "my father birthday", "4": "chess evening"},
    "checks_range": {"1": "Skiing holiday in Aspen", "2": "Skiing holiday in Aspen"},
    "checks_periodic": {"3": "Attend golf lessons at the local club"},
    "type": "Week",
    "prefix": "#*# Week 1 (January):",
    "number": 4,
}
DIARY_ANSWER = (
    " We flew to Aspen for a holiday on skis.\n#*# Week 2 (January): My father had his birthday.\n"
    "#*# Week 3: I took my golf lesson at the club.\n*** finished\n#*# Week 4: not read"
)


def put(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def pinned(one: Benchmark, files: Mapping[str, str]) -> Benchmark:
    """The plug-in, with these files as its authors' ones."""
    pins = tuple(Pin(name, len(text.encode()), hashlib.sha256(text.encode()).hexdigest()) for name, text in files.items())
    return one._replace(source=PinnedSource("made/up", "0" * 40, pins))


def installed(monkeypatch: pytest.MonkeyPatch, *found: Benchmark) -> None:
    """These plug-ins are the ones that the registry loads, by name."""
    loaded, own = {one.card.name: one for one in found}, plugins.loaded
    monkeypatch.setattr(plugins, "loaded", lambda name, value, kind: loaded.get(name) or own(name, value, kind))
