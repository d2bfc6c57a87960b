"""EQ-Bench longform creative writing: a story of eight chapters, planned and written in one conversation of thirteen turns.

The judge grades each chapter, with the plan and the characters at hand, and then the whole story, by named criteria from 0 to 20. For
negative criteria 20 − x counts. "Forced poetry or metaphor" has weight 5, after (x / 20)^1.7 · 20. A chapter's score is the weighted mean
of its criteria; a story's is the mean of its eight chapters and of the whole piece, times 5: 0 to 100.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import orjson

from tasks.benchmarks.interface import Benchmark, GivenAnswer, Item, Measure, Question, Suite, Values, carded
from tasks.benchmarks.sources import Pin, PinnedSource
from tasks.endpoints.chat import Chat, Reply, Request
from tasks.judging.replies import said
from tasks.schema.errors import BadInput, ReplyError
from tasks.schema.records import Message

CHAPTERS, PLANNING = 8, 5  # turns of each kind
PLAN, CHARACTERS = 3, 4  # places among the turns
WORDS = 1000  # that each chapter is asked for
JUDGE_TOKENS = 16_000  # max_tokens of the authors' requests to the judge
TOP, SCALE, POWER = 20.0, 5.0, 1.7
BENT = "forced poetry or metaphor"
_PINS = tuple(
    Pin(f"data/{name}", size, sha256)
    for name, size, sha256 in (
        ("criteria_weights.json", 61, "f8f3740cd778feecb87626ece0b1d4f70d33fd3e485e81c1bcabc08660453e8a"),
        ("longform_creative_writing_criteria_chapter.txt", 289, "95d84aead7fa1f74a583751b488cfefcaacbe19ade220b03fb316cd97fda4f57"),
        ("longform_creative_writing_criteria_final.txt", 308, "33cd568dbae01eee4ffb76490917b3891007e3083e4780b02e70a47ca0a67aae"),
        ("longform_creative_writing_judging_prompt_chapter.txt", 1611, "f3487b10bf260d421cf387b42b9a3d5ccaf2b5cb298747c3847e738f5d7f8f0d"),
        ("longform_creative_writing_judging_prompt_final.txt", 1491, "478107b8ae60532b778716a956ca580a02fd0792ffdd65193401e425a29d51c2"),
        ("longform_negative_criteria_chapter.txt", 106, "2bc9f68a91bdda2e3f1890688c5575d69c8098d6359542f3e8f586e98c01cc64"),
        ("longform_negative_criteria_final.txt", 131, "a622cceef7188463e59b9e5ea5deff69edb6666e687d34310c9a7133cd531e9d"),
        ("prompt1.txt", 848, "d7452758e1406b20fe5baaaea203c9b5f32b4c9ba9e03de3bcabf481631f6b4c"),
        ("prompt2.txt", 452, "93a702af8119be14f43138c49ff28e7e0053bb6c32745d9c25256409a072c8b3"),
        ("prompt3.txt", 649, "cb4c33ff298a10cf146389782b09538e2d946aae7095cbf07cfe42a1e93f1ce5"),
        ("prompt4.txt", 685, "46daffe7d27489f93d2bfe38dc606944e4029393c40ada2307c364831f30e4eb"),
        ("prompt5.txt", 892, "736161e33aec50a5e63dc9634e568dafeee183384cbceb81af0923c485a3242e"),
        ("prompt_chapter_first.txt", 111, "b359a7295dcecc0562d8a18ea5515d1815266479096e40d21667078f946a34e8"),
        ("prompt_chapter_intermediate.txt", 62, "5224b88d317b562a229e74a24100612b4c082709d331aff485871365d01aaaa1"),
        ("prompt_chapter_last.txt", 84, "eaaa112ac3483aa20877c2a980a1297d0b8aec05959dcead86a87d25ff0de1ec"),
        ("longform_creative_writing_prompts_minimalist.json", 5430, "0c2cca82997be62acde8139d7cd74d19e3b20fe7b970711ad8803a160df48108"),
    )
)
_GRADE = re.compile(r"\s*[\[(*]{0,3}\s{0,3}(\d{1,3}(?:\.\d{1,3})?)\s{0,3}(?:/\s{0,3}20)?\s{0,3}[\])*]{0,3}\s*\.?\s*")
_SCORES = re.compile(r"\[scores\]", re.IGNORECASE)


class Sheet(NamedTuple):
    """What the judge grades of a chapter, or of the whole story."""

    prompt: str
    criteria: tuple[str, ...]
    negative: frozenset[str]  # lower case
    weights: Mapping[str, float]  # by lower case; 1 for the others

    def score(self, grades: Mapping[str, float]) -> float:
        """The weighted mean of the criteria, 0 to 20, as core/scoring.py computes it."""
        total = weight = 0.0
        for name in self.criteria:
            key = name.lower()
            value = TOP - grades[name] if key in self.negative else grades[name]
            value = (value / TOP) ** POWER * TOP if key == BENT else value
            total, weight = total + value * self.weights.get(key, 1.0), weight + self.weights.get(key, 1.0)
        return total / weight


def load(folder: Path) -> Suite:
    """Reads the prompts, the turns, the criteria and the judge's prompts. Raises BadInput with the file."""
    asked = _stories(folder / "longform_creative_writing_prompts_minimalist.json")
    items = tuple(Item(id=name, prompt=text, words=CHAPTERS * WORDS) for name, text in asked.items())
    chapter, final = _sheet(folder, "chapter"), _sheet(folder, "final")
    turns = _turns(folder)
    return Suite(
        items,
        (Measure("score"), Measure("chapters"), Measure("whole_piece"), Measure("chapters_written", 0.0, float(CHAPTERS))),
        rule=lambda item, answer: {"chapters_written": float(sum(bool(text.strip()) for text in answer.parts[PLANNING:]))},
        questions=partial(_questions, chapter=chapter, final=final),
        values=partial(_values, chapter=chapter, final=final),
        write=partial(_write, turns=turns),
        answers_of=_published,
    )


async def _write(chat: Chat, item: Item, sample: int, *, turns: Sequence[str]) -> GivenAnswer:
    """Thirteen turns; each has the turns before it."""
    messages, replies = list[Message](), list[Reply]()
    for place, turn in enumerate(turns):
        messages.append(Message(role="user", content=turn.replace("{writing_prompt}", item.prompt).replace("{n_chapters}", str(CHAPTERS))))
        left = (len(turns) - place) * WORDS
        replies.append(await chat(Request(tuple(messages), sample, words=WORDS, urgency=float(left))))
        messages.append(Message(role="assistant", content=replies[-1].text))
    return GivenAnswer(
        id=item.id,
        prompt=item.prompt,
        model="",
        sample=sample,
        response=_story([reply.text for reply in replies]),
        parts=tuple(reply.text for reply in replies),
        finish_reason=replies[-1].finish_reason,
        tokens=sum(reply.usage.completion for reply in replies),
        seconds=sum(reply.seconds for reply in replies),
    )


def _story(parts: Sequence[str]) -> str:
    return "\n\n".join(parts[PLANNING:])


def _questions(item: Item, answer: GivenAnswer, *, chapter: Sheet, final: Sheet) -> Sequence[Question]:
    """One question for each written chapter and one for the whole; none for an answer that is no whole conversation."""
    parts = answer.parts
    if len(parts) != PLANNING + CHAPTERS or not all(part.strip() for part in parts[PLANNING:]):
        return ()
    shared = {"writing_prompt": item.prompt, "final_plan": parts[PLAN], "character_profiles": parts[CHARACTERS]}
    found = [
        _question(f"chapter {number}", chapter, shared | {"chapter_text": text, "chapter_number": str(number)}, text)
        for number, text in enumerate(parts[PLANNING:], 1)
    ]
    whole = "\n\n---\n\n".join(f"# Chapter {number}\n\n{text}" for number, text in enumerate(parts[PLANNING:], 1))
    return (*found, _question("whole", final, {"writing_prompt": item.prompt, "full_story": whole}, whole))


def _question(name: str, sheet: Sheet, values: Mapping[str, str], text: str) -> Question:
    lists = {
        "creative_writing_criteria": "\n".join(f"- {criterion}" for criterion in sheet.criteria),
        "lower_is_better_criteria": ", ".join(one for one in sheet.criteria if one.lower() in sheet.negative) or "None",
    }
    known = {**values, **lists}
    prompt = re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), sheet.prompt)
    grades = tuple(_name(name, criterion) for criterion in sheet.criteria)
    return Question(name, prompt, grades, partial(read_scores, name=name, criteria=sheet.criteria, answer=text))


def _name(part: str, criterion: str) -> str:
    return f"{part}: {criterion}"


def read_scores(reply: str, *, name: str, criteria: Sequence[str], answer: str) -> dict[str, float]:
    """The scores of a reply, one line `Criterion: 12` for each, after [Scores] if that is there; the last line of a criterion counts.

    A line that also occurs in the judged text is not the judge's. Raises ReplyError if a criterion has no score from 0 to 20.
    """
    text = said(reply)
    if marks := list(_SCORES.finditer(text)):
        text = text[marks[-1].end() :]
    known, found = {_plain(one): one for one in criteria}, dict[str, float]()
    planted = {line.strip() for line in answer.splitlines() if ":" in line}
    for line in text.splitlines():
        before, colon, after = line.rpartition(":")
        criterion = known.get(_plain(before))
        if colon and criterion and line.strip() not in planted and (match := _GRADE.fullmatch(after)):
            found[criterion] = float(match[1])
    if missing := [one for one in criteria if one not in found]:
        raise ReplyError(f"{missing[0]} has no score" + (f", and {len(missing) - 1} more" if len(missing) > 1 else ""))
    if wrong := next((one for one in criteria if found[one] > TOP), None):
        raise ReplyError(f"{wrong} is {found[wrong]:g}, not a number from 0 to {TOP:g}")
    return {_name(name, criterion): found[criterion] for criterion in criteria}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _values(item: Item, ruled: Values, grades: Values, *, chapter: Sheet, final: Sheet) -> Values:
    chapters = [_part(f"chapter {number}", chapter, grades) for number in range(1, CHAPTERS + 1)]
    whole = _part("whole", final, grades)
    known = [score for score in chapters if score is not None]
    complete = len(known) == CHAPTERS
    score = fmean([*known, whole]) * SCALE if complete and whole is not None else None
    of_chapters = fmean(known) * SCALE if complete else None
    return {**ruled, "score": score, "chapters": of_chapters, "whole_piece": None if whole is None else whole * SCALE}


def _part(name: str, sheet: Sheet, grades: Values) -> float | None:
    own = {criterion: grade for criterion in sheet.criteria if (grade := grades.get(_name(name, criterion))) is not None}
    return sheet.score(own) if len(own) == len(sheet.criteria) else None


def _published(row: Mapping[str, object]) -> Sequence[GivenAnswer]:
    """The stories of a runs file of the authors, or a row of ours with the thirteen replies in `parts`."""
    parts = row.get("parts")
    if isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts):
        response, finish = _story(parts), row.get("finish_reason")
        return (_answer(str(row.get("id", "")), parts, response, str(row.get("model") or ""), finish if isinstance(finish, str) else ""),)
    found = list[GivenAnswer]()
    for run in row.values():
        tasks = run.get("longform_tasks") if isinstance(run, dict) else None
        for iteration in tasks.values() if isinstance(tasks, dict) else ():
            for name, task in iteration.items() if isinstance(iteration, dict) else ():
                steps = task.get("step_outputs") if isinstance(task, dict) else None
                if isinstance(steps, dict):
                    texts = [str(steps.get(str(place), "")) for place in range(1, PLANNING + CHAPTERS + 1)]
                    found.append(_answer(str(name), texts, _story(texts), str(task.get("test_model") or ""), ""))
    return found


def _answer(name: str, parts: Sequence[str], response: str, model: str, finish: str) -> GivenAnswer:
    return GivenAnswer(id=name, prompt="", model=model, response=response, parts=tuple(parts), finish_reason=finish)


def _turns(folder: Path) -> list[str]:
    planning = [_text(folder / f"prompt{number}.txt") for number in range(1, PLANNING + 1)]
    first, between, last = (_text(folder / f"prompt_chapter_{name}.txt") for name in ("first", "intermediate", "last"))
    chapters = [first, *[between] * (CHAPTERS - 2), last]
    return [*planning, *(text.replace("{chapter_number}", str(number)) for number, text in enumerate(chapters, 1))]


def _sheet(folder: Path, part: str) -> Sheet:
    weights = _object(folder / "criteria_weights.json")
    if not all(isinstance(weight, int | float) for weight in weights.values()):
        raise BadInput(folder / "criteria_weights.json", "not an object of numbers", fix="fetch the benchmark's files again")
    criteria = _lines(folder / f"longform_creative_writing_criteria_{part}.txt")
    negative = _lines(folder / f"longform_negative_criteria_{part}.txt")
    prompt = _text(folder / f"longform_creative_writing_judging_prompt_{part}.txt")
    numbers = {name.lower(): float(str(weight)) for name, weight in weights.items()}
    return Sheet(prompt, tuple(criteria), frozenset(one.lower() for one in negative), numbers)


def _stories(path: Path) -> dict[str, str]:
    found = dict[str, str]()
    for name, entry in _object(path).items():
        text = entry.get("writing_prompt") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise BadInput(path, f"{name} has no prompt", field="writing_prompt", fix="fetch the benchmark's files again")
        found[name] = text
    return found


def _object(path: Path) -> dict[str, object]:
    try:
        value = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadInput(path, f"not JSON: {error}", fix="fetch the benchmark's files again") from None
    if not isinstance(value, dict) or not value:
        raise BadInput(path, "not an object", fix="fetch the benchmark's files again")
    return value


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


_SOURCE = PinnedSource("EQ-bench/longform-writing-bench", "d1c625505b1cf8baf32a49c8e21a9cf93a254044", _PINS)
LONGFORM = Benchmark(
    carded(
        _SOURCE,
        name="eqbench-longform",
        title="EQ-Bench longform creative writing",
        measures="a story of 8 chapters of about 1,000 words for each prompt, in 13 turns; weighted criteria, 0 to 100",
        judge="Claude 3.7 Sonnet, temperature 0 (the leaderboard at the pinned revision)",
        licence="none stated in the repository",
        paper="https://eqbench.com/creative_writing_longform.html",
        faults=(
            "the published script takes whatever criteria a reply has, and clamps scores outside 0 to 20",
            "a chapter without readable scores leaves the mean; the story is then the mean of fewer chapters",
            "turns shorter than 500 characters are asked again up to five times, and the story is given up after that",
        ),
        differences=(
            "a story counts only if all criteria of all chapters and of the whole were read; else it is unscored and counted",
            "a turn is asked once; an empty chapter leaves the story unscored",
            "decoding of model and judge is that of the command line and params.yaml; the authors use temperature 0.7 and min_p 0.1",
        ),
    ),
    load,
    _SOURCE,
    judge_tokens=JUDGE_TOKENS,
)
