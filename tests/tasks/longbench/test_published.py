import pytest

from tasks.longbench.published import TABLE, PublishedScores, published


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.model)
def test_the_published_mean_is_the_mean_of_the_published_scores(row: PublishedScores) -> None:
    """A figure that was copied wrong would break it. The paper rounds to one decimal."""
    found = published(row.model.upper())
    assert found.s_bar.value == pytest.approx((found.s_l.value + found.s_q.value) / 2, abs=0.101)


def test_every_model_stands_once() -> None:
    assert len({row.model.lower() for row in TABLE}) == len(TABLE)
