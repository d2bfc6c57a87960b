from hypothesis import given
from hypothesis import strategies as st

from tasks.training.row_order import order, steps_of


@given(st.integers(1, 50), st.integers(1, 12), st.integers(1, 5))
def test_each_row_is_read_once_before_any_is_read_again(rows: int, global_batch: int, epochs: int) -> None:
    steps = steps_of(rows, epochs=epochs, global_batch=global_batch)
    found = order(rows, steps=steps, global_batch=global_batch, seed=1).tolist()
    assert len(found) == steps * global_batch >= epochs * rows
    for start in range(0, epochs * rows, rows):
        assert sorted(found[start : start + rows]) == list(range(rows))
    assert len(found) - epochs * rows < global_batch


def test_the_order_is_the_seed_s_alone_and_a_longer_training_begins_alike() -> None:
    short, long = (order(100, steps=steps, global_batch=4, seed=1).tolist() for steps in (10, 80))
    assert long[:40] == short
    assert order(100, steps=10, global_batch=8, seed=1).tolist()[:40] == short
    assert order(100, steps=10, global_batch=4, seed=2).tolist() != short
