"""MLflow's pages in a real browser: nested runs, one run with description, params and dataset, models, and the registry."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.schema.settings import settings
from tasks.tracking.client import connect, experiment
from tasks.tracking.lineage import FLOW_NAME, FLOW_RUN
from tests.browser import CHROMIUM, Browser, browser
from tests.tasks.promotions import candidate, run
from tests.tasks.storage import servers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")]


# Whether WORDS at the beginning of a link is inside the link's cell: MLflow cuts names that are too long for their column.
VISIBLE = """
[...document.querySelectorAll('[role=row] a')].some(link => {
  const texts = document.createTreeWalker(link, NodeFilter.SHOW_TEXT), range = document.createRange()
  let text = texts.nextNode()
  while (text && !text.data.startsWith('WORDS')) text = texts.nextNode()
  if (!text) return false
  range.setStart(text, 0)
  range.setEnd(text, 'WORDS'.length)
  return range.getBoundingClientRect().right <= (link.closest('[role=gridcell]') || link).getBoundingClientRect().right
})
"""


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a real MLflow server with what a promotion recorded."""
    monkeypatch.setenv(FLOW_RUN, "0b0e2f61-0000-4000-8000-000000000001")
    monkeypatch.setenv(FLOW_NAME, "longwriter gentle-otter")
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    port, home = servers.free_port(), settings().home.resolve()
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{home}/mlflow.db"]
    with servers.served([sys.executable, "-m", "mlflow", "server", *options], port, tmp_path / "mlflow.log") as url:
        yield url


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path / "profile") as found:
        yield found


def test_a_person_finds_the_run_its_origin_and_the_model_it_made(pages: str, tab: Browser) -> None:
    client = connect()
    number = experiment(client)
    [training] = client.search_runs([number], filter_string="tags.kind = 'train'")
    shown = tab.text(
        f"{pages}/#/experiments/{number}/runs/{training.info.run_id}",
        *("train-", "Finished", "student/loss", "The training of the student", "dataset (", "longwriter gentle-otter"),
    )
    assert "No description" not in shown
    # The first list of runs shows the best score of each flow run, without a click and without a wider column.
    tab.text(f"{pages}/#/experiments/{number}/runs", "student S̄ 61.4, control S̄ 31.4, longwriter gentle-otter", "3 matching runs")
    assert tab.run(VISIBLE.replace("WORDS", "student S̄ 61.4"))
    assert not tab.run(VISIBLE.replace("WORDS", "student S̄ 61.4, control S̄ 31.4, longwriter gentle-otter"))
    tab.text(f"{pages}/#/experiments/{number}/models", "longwriter", "Ready", "train-")
    tab.text(f"{pages}/#/models/longwriter", "champion", "s_bar", "Address them by alias")
    tab.text(f"{pages}/#/models/longwriter/versions/1", "champion: all axes hold", "checkpoint_digest")
