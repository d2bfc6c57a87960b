"""The length-limit study (paper, section 2): train the same base model on data with outputs capped at several lengths, and measure each."""

from pathlib import Path

from dvc.repo import Repo
from prefect import flow

from flows import stages, verified_dvc
from tasks import store
from tasks.schema.study_results import Limit
from tasks.study.limit import said

FIT = "study/dvc.yaml:fit"


@flow(name="study", persist_result=False)
def study(push: bool = False) -> str:
    """The length-limit study: train the same base model on the same data with outputs capped at several lengths, and measure each model.

    Args:
        push: send each stage's outputs and run cache to DVC's remote, so that other machines can restore them.
    """
    stages.run(FIT, push=push)
    figures = {path.suffix: path for path in _kept()}
    found = store.read_document(figures[".json"], Limit)
    arms = "\n".join(f"{one.cap:>8} {one.longest:>8.0f} {one.ceiling:>8.0f} {one.mean:>8.0f}" for one in found.arms)
    lines = f"longest: {said(found.longest)}\nceiling: {said(found.ceiling)}\nmean: {said(found.mean)}\nfigure: {figures['.svg']}"
    return f"\n{'cap':>8} {'longest':>8} {'ceiling':>8} {'mean':>8}\n{arms}\n\n{lines}"


def _kept() -> list[Path]:
    """The study's outputs that git stores (`cache: false` in study/dvc.yaml)."""
    verified_dvc.see_study(FIT)
    with Repo() as repo:
        outs = next(stage.outs for stage in repo.index.stages if stage.addressing == FIT)
        return [Path(out.fs_path).relative_to(Path(repo.root_dir)) for out in outs if not out.use_cache]
