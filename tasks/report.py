"""report: write one HTML page about the run, and the small metrics and plots that git stores.

The page is self-contained: plots and styles are inline and nothing is loaded, so it can be mailed or archived. It shows the scores of
all models, written against requested lengths (paper, section 2) with the answers' texts, rejects with reasons, the contracts' verdicts,
the promotion, and how the run was made. Sections of stages that have not run say so. It takes seconds.
"""

from pathlib import Path

from tasks import stage
from tasks.reporting.page import write_page
from tasks.reporting.sources import gather
from tasks.reporting.tables import write_tables


def run(data: Path, metrics: Path, plots: Path, out: Path) -> stage.Metrics:
    found = gather(data, plots)
    write_page(out / "report.html", found)
    write_tables(metrics, plots, found)
    return {"models": len(found.cards), "items": len(found.items)}


if __name__ == "__main__":
    stage.main("DATA METRICS PLOTS OUT", lambda _: run)
