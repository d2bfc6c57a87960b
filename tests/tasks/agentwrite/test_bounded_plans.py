"""A bounded schema leaves a small model no plan that does not fit."""

from typing import Any

import pytest

from tasks.agentwrite.plan_json import plan_schema
from tasks.agentwrite.planner import _limits
from tasks.schema.params import Bounds, PlanSection

PLAN = PlanSection(
    version=1,
    format="bounded",
    paragraph_words=Bounds(min=60, max=120),
    max_paragraphs=16,
    deviation=0.3,
    tries=1,
    max_rejects=0.5,
)


@pytest.mark.parametrize(("words", "fewest", "most"), [(50, 1, 1), (150, 1, 3), (400, 3, 8), (1000, 6, 16), (4000, 16, 16)])
def test_the_number_of_paragraphs_is_one_that_can_add_up_to_the_length(words: int, fewest: int, most: int) -> None:
    limits = _limits(words, PLAN)
    assert (limits.fewest, limits.most, limits.words) == (fewest, most, PLAN.paragraph_words)


def test_the_schema_forces_them() -> None:
    schema: Any = plan_schema("paragraph", _limits(400, PLAN))
    parts = schema["properties"]["paragraphs"]
    assert (parts["minItems"], parts["maxItems"]) == (3, 8)
    count = parts["items"]["properties"]["word_count"]
    assert (count["minimum"], count["maximum"]) == (60, 120)


def test_without_limits_the_schema_is_one_that_every_endpoint_takes() -> None:
    schema: Any = plan_schema("paragraph")
    assert schema["properties"]["paragraphs"].keys() == {"type", "items"}
    assert schema["properties"]["paragraphs"]["items"]["properties"] == {
        "main_point": {"type": "string"},
        "word_count": {"type": "integer"},
    }
