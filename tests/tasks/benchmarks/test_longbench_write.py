"""LongBench-Write and the Ruler behind the interface have the scores of the scorecard."""

import json
import random
from pathlib import Path

import pytest

from tasks.benchmarks.interface import GivenAnswer
from tasks.benchmarks.longbench_write import LONGBENCH_WRITE, RULER
from tasks.benchmarks.results import Graded, score_answers, sum_up
from tasks.judging.grades import DIMENSIONS
from tasks.longbench.adapters import read_items
from tasks.longbench.summary import s_q, score_item, summarise
from tasks.schema.records import Rubric
from tests.tasks.benchmarks.made import lines, put

JUDGE = "Instruction: $INST$\nText: $RESPONSE$\nGrade it."


def test_the_scores_are_those_of_the_scorecard(tmp_path: Path) -> None:
    rows = [{"prompt": f"Write {n} words about day {n}.", "type": "News", "length": n} for n in (100, 600, 2500, 5000)]
    suite = LONGBENCH_WRITE.load(put(tmp_path, {"longbench_write.jsonl": lines(*rows), "judge.txt": JUDGE}))
    noise, known = random.Random(1), {item.id: item for item in read_items(tmp_path / "longbench_write.jsonl").items}
    answers, grades, scored = list[GivenAnswer](), {}, []
    for place, item in enumerate(suite.items):
        text = "word " * int((item.words or 0) * noise.uniform(0.4, 1.8))
        answers.append(GivenAnswer(id=item.id, prompt=item.prompt, model="m", response=text))
        rubric = None if place == 2 else Rubric(**{name: noise.randint(1, 5) for name in DIMENSIONS})
        own = rubric.model_dump() if rubric else dict.fromkeys(DIMENSIONS)
        grades[item.id, "m", 0] = {name: None if grade is None else float(grade) for name, grade in own.items()}
        scored.append(score_item(known[item.id], "m", text, s_q(rubric) if rubric else None))
    card = summarise(scored, judge="j")
    graded = Graded(grades, 4, 1)
    found = sum_up(LONGBENCH_WRITE, suite, list(score_answers(suite, {i.id: i for i in suite.items}, answers, graded)), graded, judge="j")[
        "m"
    ]
    values = {name: figure.value for name, figure in found.figures.items()}
    assert card.fixed is not None
    assert values == pytest.approx({"s_bar": card.s_bar, "s_l": card.s_l, "s_q": card.s_q, "s_l_fixed": card.fixed.s_l})
    assert (found.unscored, found.figures["s_q"].unscored) == (1, 1)
    assert found.figures["s_l"].interval == card.s_l_interval
    assert found.figures["s_q"].bounds == card.s_q_bounds
    assert {group: figures["s_l"].value for group, figures in found.by_group.items()} == {
        name: one.s_l for name, one in card.by_bin.items()
    }


def test_the_judge_gets_the_papers_prompt_and_schema(tmp_path: Path) -> None:
    rows = [{"prompt": "Write 9 words.", "type": "News", "length": 9}]
    suite = LONGBENCH_WRITE.load(put(tmp_path, {"longbench_write.jsonl": lines(*rows), "judge.txt": JUDGE}))
    (question,) = suite.questions(suite.items[0], GivenAnswer(id="a", prompt="", model="m", response="$INST$"))
    assert question.prompt == "Instruction: Write 9 words.\nText: $INST$\nGrade it."
    assert question.schema is not None
    assert question.read(json.dumps(dict.fromkeys(DIMENSIONS, 4)))["clarity"] == 4.0


def test_the_ruler_needs_no_judge(tmp_path: Path) -> None:
    rows = [{"prompt": f"Write {n} words.", "type": "", "length": n} for n in (1000, 2000)]
    suite = RULER.load(put(tmp_path, {"longwrite_ruler.jsonl": lines(*rows)}))
    item = suite.items[0]
    answer = GivenAnswer(id=item.id, prompt=item.prompt, model="m", response="word " * 500)
    assert suite.rule(item, answer)["s_l"] == 50.0
    assert list(suite.questions(item, answer)) == []
    assert [item.group for item in suite.items] == ["1000", "2000"]
