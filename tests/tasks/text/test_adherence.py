import json
import random

import pytest

from tasks.schema.errors import BadSettings
from tasks.schema.records import Step
from tasks.text.adherence import adherence, passages_of
from tasks.text.counts import count_words
from tests.conftest import NOT_HERE, SHARED

RECORDED = SHARED / "hellobench" / "length_constrained" / "gpt4o_0806" / "heuristic_text_generation_4k_results.jsonl"
PLAN = {
    "How bees build their hives and divide the work": "A hive of bees is built of wax, and its work is divided by age. " * 3,
    "The history of honey in ancient Egypt": "In Egypt the ancients gave honey to their gods; its history is long. " * 3,
    "Pesticides and the decline of wild pollinators": "Wild pollinators decline where pesticides are sprayed on the fields. " * 3,
    "A recipe for a cake with almonds": "For the cake, take almonds, eggs and flour; the recipe needs an hour. " * 3,
}
CHINESE = {
    "蜜蜂如何建造蜂巢": "蜂巢由蜜蜂用蜂蜡建造，工蜂轮流干活。",
    "古埃及的蜂蜜历史": "在古埃及，蜂蜜献给神明，历史悠久。",
    "农药与野生传粉者的减少": "田里喷洒农药以后，野生传粉者越来越少。",
}


def plan(points: object, words: int = 42) -> list[Step]:
    return [Step(point=point, words=words) for point in points]  # type: ignore[attr-defined]


@pytest.mark.parametrize("written", [PLAN, CHINESE])
def test_a_text_that_follows_its_plan_covers_it_in_order(written: dict[str, str]) -> None:
    found = adherence(plan(written), "\n\n".join(written.values()))
    assert (found.steps, found.covered, found.ordered) == (len(written), 1.0, 1.0)


def test_the_length_of_each_step_is_that_of_its_own_passages() -> None:
    steps = [Step(point=point, words=2 * count_words(text)) for point, text in PLAN.items()]
    steps[3] = steps[3].model_copy(update={"words": count_words(PLAN[steps[3].point])})
    assert adherence(steps, "\n\n".join(PLAN.values())).s_l == pytest.approx((50 + 50 + 50 + 100) / 4)


def test_passages_between_two_steps_belong_to_the_first_of_them() -> None:
    points, (first, second) = list(PLAN)[:2], list(PLAN.values())[:2]
    more = "Outside it rains on the roof today. " * 6
    steps = [Step(point=points[0], words=count_words(first + more)), Step(point=points[1], words=2 * count_words(second))]
    assert adherence(steps, f"{first}\n\n{more}\n\n{second}").s_l == pytest.approx((100 + 50) / 2)


def test_steps_that_share_a_passage_share_its_words() -> None:
    points, text = list(PLAN)[:2], " and ".join(list(PLAN.values())[:2])
    steps = [Step(point=point, words=count_words(text) // 2) for point in points]
    assert adherence(steps, f"{text}\n\nOutside it rains.".replace(". ", ", ")).s_l > 95


def test_a_missing_step_is_not_covered_and_the_rest_still_stands_in_order() -> None:
    texts = list(PLAN.values())
    found = adherence(plan(PLAN), "\n\n".join([texts[0], texts[1], texts[3]]))
    assert (found.covered, found.ordered) == (0.75, 1.0)


def test_steps_in_another_order_are_covered_and_out_of_order() -> None:
    found = adherence(plan(PLAN), "\n\n".join(reversed(PLAN.values())))
    assert (found.covered, found.ordered) == (1.0, 0.0)


def test_a_text_about_something_else_covers_nothing() -> None:
    text = "The orchestra tuned up before the curtain rose.\n\nThen the conductor lifted his baton.\n\nEverybody fell silent.\n\nMusic!"
    found = adherence(plan(PLAN), text)
    assert (found.covered, found.ordered, found.s_l) == (0.0, 0.0, 0.0)


def test_as_many_paragraphs_as_steps_prove_nothing() -> None:
    texts = list(PLAN.values())
    assert adherence(plan(PLAN), "\n\n".join([texts[0]] * 4)).covered == 0.25


@pytest.mark.parametrize("border", ["\n", " "])
def test_a_text_without_blank_lines_is_read_by_its_lines_or_sentences(border: str) -> None:
    texts = [text[: text.index(". ") + 1] for text in PLAN.values()]
    found = adherence(plan(PLAN), border.join(texts))
    assert (found.covered, found.ordered) == (1.0, 1.0)


def test_a_heading_stands_with_what_it_heads() -> None:
    text = "# Bees\n\n**The hive**\n\nIt is built of wax.\n\nSugar\n\nIt is sweet."
    assert passages_of(text, at_least=2) == ["# Bees\n**The hive**\nIt is built of wax.", "Sugar\nIt is sweet."]


@pytest.mark.parametrize("text", ["", " \n\n ", "!!! ...\n\n???", "\n" * 1000, "# Title"])
def test_a_text_of_no_words_covers_nothing(text: str) -> None:
    found = adherence(plan(PLAN), text)
    assert (found.covered, found.s_l) == (0.0, 0.0)


def test_one_step_and_one_paragraph_are_still_measured() -> None:
    point, text = next(iter(PLAN.items()))
    assert adherence(plan([point]), text).covered == 1.0
    assert adherence(plan([point]), "Music!").covered == 0.0


@pytest.mark.parametrize("text", ["word other\n\n" * 800_000, "a" * 10_000_000, "写一篇关于历史的文章。" * 300_000, "bees " * 2_000_000])
def test_ten_megabytes_and_five_hundred_steps_are_no_trouble(text: str) -> None:
    assert adherence(plan(list(PLAN) * 125), text).steps == 500


def test_without_scikit_learn_the_extra_that_has_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.text.adherence.find_spec", lambda name: None)
    with pytest.raises(BadSettings, match=r"fix: pip install 'longwriter-pipeline\[plans\]'"):
        adherence(plan(PLAN), "Bees.")


def test_a_plan_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="no plan to follow"):
        adherence([], "text")


@pytest.mark.parametrize("origin", ["made", pytest.param("recorded", marks=NOT_HERE)])
def test_essays_cover_their_own_headings_and_not_each_others(origin: str) -> None:
    if origin == "made":
        essays = [invented(number) for number in range(44)]
    else:
        essays = [sections(json.loads(line)["response"]) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    essays = [essay for essay in essays if len(essay) >= 4]
    assert len(essays) > 40
    own = [adherence(plan(essay), "\n\n".join(essay.values())) for essay in essays]
    others = [adherence(plan(essays[n - len(essays) // 2]), "\n\n".join(essay.values())) for n, essay in enumerate(essays)]
    mixed = [adherence(plan(essay), "\n\n".join(random.Random(0).sample(list(essay.values()), len(essay)))) for essay in essays]
    assert sum(found.covered for found in own) / len(essays) > 0.8
    assert sum(found.covered for found in others) / len(essays) < 0.3
    assert sum(found.ordered for found in own) / len(essays) > sum(found.ordered for found in mixed) / len(essays) + 0.1


def invented(number: int) -> dict[str, str]:
    """Five sections about things that no other essay has: a heading names three, and its text speaks of each."""
    found = {}
    for part in range(5):
        luck = random.Random(f"{number} {part}")
        one, two, three = ("".join(luck.choice("bdfgklmnprst") + luck.choice("aeiou") for _ in range(4)) for _ in range(3))
        text = f"Long before the {one} was known, people spoke of {two}. Every {one} needs {three}, and the {two} of old had none. "
        found[f"How the {one} and the {two} came to {three}"] = text * 3
    return found


def sections(essay: str) -> dict[str, str]:
    """The text under each longer Markdown heading, without the heading."""
    blocks = essay.split("\n\n")
    heads = [n for n, block in enumerate(blocks) if block.startswith(("#", "**")) and "\n" not in block and len(block) > 24]
    found = {
        blocks[start].strip("#* "): "\n\n".join(blocks[start + 1 : end]) for start, end in zip(heads, [*heads[1:], None], strict=False)
    }
    return {heading: text for heading, text in found.items() if len(text) > 200}


def test_the_rehearsals_parts_are_told_apart_by_their_numbers() -> None:
    points = [f"soap bubbles, part {n} of 4" for n in range(1, 5)]
    text = "\n\n".join(f"Part {n} of 4\nFirst, the teacher shares a detail about soap bubbles." for n in range(1, 5))
    found = adherence(plan(points, words=11), text)
    assert (found.covered, found.ordered, found.s_l) == (1.0, 1.0, 100.0)
