"""Finds what a folder or file has to read: collections of rows, and the scores and verdicts that belong to predictions."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.schema.errors import BadInput
from tasks.sources.patterns import READABLE, data_files

PREDICTIONS, ITEMS, VERDICTS, REJECTS = "predictions.jsonl", "items.jsonl", "verdicts.jsonl", "rejects.jsonl"
NO_TEXTS = ("history.jsonl", "metrics.json", "duels.jsonl")  # of the pipeline's files
SKIPPED = ("checkpoints", "packs", "tokenizer", "docs", "report", "release", "evaluate_general")  # folders without rows to read
DEPTH = 4  # folders below the given one
FIRST = ("evaluation", "predict", "answers", "dataset", "drafts", "write/drafts")  # the collection that opens first
SIBLINGS = ("predict", "judge", "score")  # stages of one evaluation


class DataFile(NamedTuple):
    """A file of rows. `model` names the model of rows that do not name theirs."""

    path: Path
    model: str = ""


class Collection(NamedTuple):
    """Rows that are read together."""

    name: str
    files: tuple[DataFile, ...]
    items: Path | None = None  # scores of the predictions
    verdicts: Path | None = None  # the judge's verdicts on them


def collections_of(path: Path) -> list[Collection]:
    """The collections of a file or folder, the most interesting one first. Raises BadInput if there is nothing to read."""
    if path.is_file():
        if not path.name.endswith(READABLE):
            raise BadInput(path, "not a kind of file that is read", fix=f"give a file that ends in {', '.join(READABLE)}, or a folder")
        found = [_single(path)]
    elif path.is_dir():
        found = list(_of_folder(path))
    else:
        raise BadInput(path, "no such file or folder", fix="check the path; a version such as v1.0.0 works in a checkout")
    if not found:
        raise BadInput(path, "no rows to read in this folder", fix=f"give a folder with files that end in {', '.join(READABLE)}")
    return sorted(found, key=lambda one: next((place for place, name in enumerate(FIRST) if one.name.startswith(name)), len(FIRST)))


def _single(path: Path) -> Collection:
    if path.name == PREDICTIONS:
        return _evaluation(path)
    return Collection(path.name, (DataFile(path),))


def _of_folder(path: Path) -> Iterator[Collection]:
    if path.name in SIBLINGS and (sibling := path.parent / "predict" / PREDICTIONS).is_file():
        yield _evaluation(sibling)
        return
    if not _is_pipeline(path) and (models := _models_in(path)):
        answers = tuple(DataFile(file, model) for model, folder in models.items() for file in sorted(folder.glob("*.jsonl")))
        if not any(file.path.name == PREDICTIONS for file in answers):
            yield Collection("answers", answers)
            return
    names = [name for name in _names(path) if Path(name).name not in NO_TEXTS]
    predictions = [name for name in names if Path(name).name == PREDICTIONS]
    taken = set(predictions)
    for name in predictions:
        found = _evaluation(path / name)
        taken |= {str(side.relative_to(path)) for side in (found.items, found.verdicts) if side and side.is_relative_to(path)}
        yield found if len(predictions) == 1 else found._replace(name=str(Path(name).parent))
    rejects = [name for name in names if Path(name).name == REJECTS and name not in taken and (path / name).stat().st_size]
    for folder, files in _grouped(name for name in names if name not in taken and Path(name).name != REJECTS):
        side = path / folder / VERDICTS
        own = tuple(DataFile(path / name) for name in files if name != str(Path(folder) / VERDICTS) or len(files) == 1)
        label = "dataset" if folder == "." and len(own) > 1 else _label(folder, own)
        if own and (path / folder / "answers.jsonl") not in {file.path for file in own}:
            yield from (Collection(_label(folder, (one,)), (one,)) for one in own) if _is_pipeline(path) else [Collection(label, own)]
        elif own:
            judged = (side, path / "build_pairs" / VERDICTS)
            yield Collection(label, own, verdicts=next((one for one in judged if one.is_file()), None))
    if rejects:
        yield Collection("rejects", tuple(DataFile(path / name) for name in rejects))


def _models_in(path: Path) -> dict[str, Path]:
    """The folders of each model's answers, by name; empty if `path` has rows itself."""
    if any(path.glob("*.jsonl")) or not any(path.glob("*/**/*.jsonl")):
        return {}
    from tasks.evaluation.recorded import models_in  # imports the evaluator

    return models_in(path)


def _label(folder: str, files: tuple[DataFile, ...]) -> str:
    if len(files) != 1:
        return folder
    name = files[0].path.name.split(".")[0]
    return (name if folder == "." else folder) if name in ("train", "data") else (name if folder == "." else f"{folder}/{name}")


def _is_pipeline(path: Path) -> bool:
    """Whether a folder is the pipeline's data folder: it has the folders of several stages."""
    return sum((path / name).is_dir() for name in ("collect", "plan", "write", "assemble", "predict", "score", "judge")) > 1


def _evaluation(predictions: Path) -> Collection:
    """Predictions with their scores and verdicts: beside them, or in the folders of the stages score and judge."""
    folder = predictions.parent

    def side(name: str, stage: str) -> Path | None:
        places = (folder / name, folder.parent / stage / name) if folder.name == "predict" else (folder / name,)
        return next((place for place in places if place.is_file() and place.stat().st_size), None)

    return Collection("evaluation", (DataFile(predictions),), side(ITEMS, "score"), side(VERDICTS, "judge"))


def _names(path: Path) -> list[str]:
    """Data files below a folder, relative, without those of skipped and hidden folders and of empty files."""
    found: list[str] = []
    for file in path.rglob("*"):
        place = file.relative_to(path)
        near = len(place.parts) <= DEPTH and not any(part.startswith(".") or part in SKIPPED for part in place.parts)
        if near and file.is_file() and file.stat().st_size and (file.suffix != ".json" or not _is_document(file)):
            found.append(place.as_posix())
    return data_files(sorted(found))


def _is_document(path: Path) -> bool:
    """Whether a .json file is one document of the pipeline, such as a scorecard: an object over several lines."""
    with path.open("rb") as file:
        return file.readline(64).strip() == b"{" or path.stat().st_size < 3


def _grouped(names: Iterator[str]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(Path(name).parent.as_posix(), []).append(name)
    return sorted(found.items())
