"""The length-limit study (paper, section 2): the same base on the same data with outputs capped at several lengths, on the ruler."""

from pathlib import Path

from dvc.repo import Repo
from prefect import flow

from flows import stages
from tasks import store
from tasks.study.limit import Limit, said

FIT = "study/dvc.yaml:fit"


@flow(name="study", persist_result=False)
def study(push: bool = False) -> str:
    """The length-limit study: the same base on the same data with outputs capped at several lengths, each on the ruler.

    Args:
        push: send what each stage made to DVC's remote, run cache included, so that other machines restore it.
    """
    stages.run(FIT, push=push)
    figures = {path.suffix: path for path in _kept()}
    found = store.read_document(figures[".json"], Limit)
    arms = "\n".join(f"{one.cap:>8} {one.longest:>8.0f} {one.ceiling:>8.0f} {one.mean:>8.0f}" for one in found.arms)
    lines = f"longest: {said(found.longest)}\nceiling: {said(found.ceiling)}\nmean: {said(found.mean)}\nfigure: {figures['.svg']}"
    return f"\n{'cap':>8} {'longest':>8} {'ceiling':>8} {'mean':>8}\n{arms}\n\n{lines}"


def _kept() -> list[Path]:
    """What git keeps of the study, as study/dvc.yaml has it."""
    with Repo() as repo:
        outs = next(stage.outs for stage in repo.index.stages if stage.addressing == FIT)
        return [Path(out.fs_path).relative_to(Path(repo.root_dir)) for out in outs if not out.use_cache]
