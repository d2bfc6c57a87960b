"""Fixtures of the tests on trainings."""

from collections.abc import Iterator

import pytest

from tests.tasks.training.preloaded import Stages, stages


@pytest.fixture(scope="session")
def forks() -> Iterator[Stages]:
    """Starts stages that train as forks of one process that has imported torch and TRL."""
    with stages() as started:
        yield started
