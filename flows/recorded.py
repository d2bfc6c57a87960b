"""Copy recorded answers into the checkout, where DVC sees them: the texts of `longwriter run --teacher recorded`."""

import shutil
from pathlib import Path

from tasks.filtering.recorded import recorded_answer
from tasks.schema.errors import BadInput
from tasks.sources.files import in_folder
from tasks.sources.reading import plain, rows_of_file
from tasks.sources.turns import Misfit

HERE = Path("data/raw/recorded")  # replaced by each call with a path
BESIDE = (Path("../shared/data/hellobench/main/gpt4o_0806"), Path("../shared/data"))  # public recorded answers beside the checkout
FIX = "name a JSONL file or a folder of them, with rows of a prompt and its answer: --answers PATH"


def take(answers: Path | None) -> None:
    """Copy the files with answers to data/raw/recorded. None: use what is there, or public answers beside the checkout.

    In a folder, files with prompts alone are left out, with one line that names them. Raises BadInput if there is no file with answers.
    """
    if answers is None:
        if HERE.is_dir() and any(HERE.iterdir()):
            return
        answers = next((path for path in BESIDE if path.is_dir()), None)
        if answers is None:
            raise BadInput(HERE, "no recorded answers are there", fix=FIX)
    elif not answers.exists():
        raise BadInput(answers, "no such file or folder", fix=FIX)
    if answers.resolve() == HERE.resolve():
        return
    files = _with_answers(answers)
    scratch = HERE.with_name(f".{HERE.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    for file in files:
        target = scratch / (file.relative_to(answers) if answers.is_dir() else file.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    shutil.rmtree(HERE, ignore_errors=True)
    scratch.rename(HERE)
    print(f"{len(files)} files of recorded answers copied from {answers} to {HERE}", flush=True)


def _with_answers(answers: Path) -> list[Path]:
    """The files with answers. A file that is named itself must have them; of a folder, one must."""
    if answers.is_file():
        _first_answer(answers)
        return [answers]
    fit, problems = list[Path](), list[BadInput]()
    for file in in_folder(answers):
        try:
            _first_answer(file)
            fit.append(file)
        except BadInput as problem:
            problems.append(problem)
    if not fit:
        raise problems[0] if problems else BadInput(answers, "no file with rows here", fix=FIX)
    if problems:
        print(f"left out, because they have no answers: {', '.join(str(one.path) for one in problems)}", flush=True)
    return fit


def _first_answer(file: Path) -> None:
    """Read the first row. Raises BadInput if it has no answer."""
    row = next(rows_of_file(plain(file)))
    try:
        if row.data is None:
            raise Misfit(row.problem)
        recorded_answer(row.data, "auto")
    except Misfit as problem:
        raise BadInput(file, str(problem), line=row.number, fix=FIX) from None
