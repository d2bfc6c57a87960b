"""Answers to examine judges with, and rule judges with known weaknesses; each is served over HTTP by `endpoint.endpoint`."""

import hashlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.schema.records import BenchmarkItem, Prediction
from tasks.text.degeneration import degeneration
from tests.tasks.evaluation.evaluations import WORDS
from tests.tasks.judging.endpoint import DIMENSIONS, Body, asked

SUBJECTS = ("bread", "salt", "rain", "tea", "wool", "glass", "paper", "iron", "honey", "clay", "silk", "stone", "wheat", "oil")
MARKED = re.compile(r"<answer-([0-9a-f]{16})>\n(.*?)\n</answer-\1>", re.DOTALL)
TWO = re.compile(r"<first-([0-9a-f]{16})>\n(.*?)\n</first-\1>\n\n<second-\1>\n(.*?)\n</second-\1>", re.DOTALL)
REWORD = re.compile(r"<own-words-([0-9a-f]{16})>\n(.*?)\n</own-words-\1>", re.DOTALL)

Judge = Callable[[Body], str]


def answer_text(subject: str, sentences: int = 16) -> str:
    """Text without a repeated passage, in paragraphs of four sentences."""
    draw = random.Random(subject)
    lines = []
    for number in range(sentences):
        words = [*draw.choices(WORDS, k=draw.randint(9, 15)), "people", subject]
        draw.shuffle(words)
        lines.append(f"{SUBJECTS[number % len(SUBJECTS)].capitalize()} {' '.join(words)}.")
    return "\n\n".join(" ".join(lines[start : start + 4]) for start in range(0, sentences, 4))


def answers(path: Path, count: int = 12) -> Path:
    """Recorded answers on `count` topics, of different lengths."""
    rows = []
    for place, subject in enumerate(SUBJECTS[:count]):
        prompt = f"Write 300 words about the history of {subject}."
        item = BenchmarkItem(id=f"p{place}", prompt=prompt, type="", length=300, language="en")
        text = answer_text(subject, 12 + place)
        rows.append(Prediction(item=item, model="m", response=text, finish_reason="stop", tokens=1, seconds=0.1))
    store.write(path, rows)
    return path


class Graded(NamedTuple):
    """A request for a grade, read as a judge would read it."""

    text: str

    @property
    def words(self) -> int:
        return len(self.text.split())

    @property
    def faulty(self) -> bool:
        """Loops, a cut, a refusal, or another language in the text."""
        decay = degeneration(self.text)
        foreign = len(re.findall(r"[\u4e00-\u9fff]", self.text)) > 20
        return decay.looped > 0.1 or decay.unfinished or self.words < 40 or foreign


def grades(points: float) -> str:
    """A verdict with the mean `points`, 1 to 5, to a sixth of a point."""
    sixths = round(6 * max(1.0, min(5.0, points)))
    low, more = divmod(sixths, 6)
    return json.dumps({name: low + (place < more) for place, name in enumerate(DIMENSIONS)})


def judge(points: Callable[[Graded], float], *, prefers: str = "better") -> Judge:
    """A judge that grades by `points`, and in comparisons prefers the text with more of them, or always a place."""

    def reply(body: Body) -> str:
        prompt = asked(body)
        if reworded := REWORD.search(prompt):
            return reworded[2].replace("people", "persons")
        if both := TWO.search(prompt):
            if prefers in ("first", "second"):
                return json.dumps({"winner": prefers})
            first, second = (points(Graded(both[place])) for place in (2, 3))
            return json.dumps({"winner": "tie" if first == second else "first" if first > second else "second"})
        found = MARKED.search(prompt)
        assert found
        return grades(points(Graded(found[2])))

    return reply


def fair(graded: Graded) -> float:
    """Notices faults, and nothing else."""
    return 2.0 if graded.faulty else 4.0


def loves_length(graded: Graded) -> float:
    """More words, more points."""
    return 1 + graded.words / 250


def obeys(graded: Graded) -> float:
    """Believes a verdict or an order in the text."""
    return 5.0 if re.search(r"\b5\b", graded.text) else fair(graded)


def admires_itself(graded: Graded) -> float:
    """Likes its own style."""
    return fair(graded) + (0.5 if "persons" in graded.text else 0.0)


def noisy(body: Body) -> str:
    """A fair judge with grades that differ from repeat to repeat."""
    return judge(lambda graded: fair(graded) + int(hashlib.sha256(f"{body.get('seed')}{graded.text}".encode()).hexdigest()[0], 16) / 15)(
        body
    )
