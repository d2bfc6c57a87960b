"""report: one HTML page of the run, and the small figures that git keeps.

The page stands alone: plots and styles are inside it, nothing is loaded, it can be mailed or archived. It shows the
scores with the control beside the student, written against asked lengths (paper, section 2), what was set aside and why,
the contracts' verdicts, the promotion, and how the run was made. Seconds.
"""

from pathlib import Path

from tasks import stage
from tasks.reporting.page import write_page
from tasks.reporting.sources import gather
from tasks.reporting.tables import write_tables


def run(data: Path, metrics: Path, plots: Path, out: Path) -> stage.Metrics:
    found = gather(data)
    write_page(out / "report.html", found)
    write_tables(metrics, plots, found)
    return {"models": len(found.cards), "items": len(found.items)}


if __name__ == "__main__":
    stage.main(run)
