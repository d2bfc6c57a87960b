"""Reads lm-evaluation-harness tasks that are the user's YAML files, before anything is served, so that a mistake costs nothing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.schema.errors import BadInput


class TaskFile(NamedTuple):
    """A task file of the user, checked."""

    name: str | None  # None: the name is in an included file
    files: tuple[Path, ...]  # the YAML file, included files, data files
    local: bool  # needs nothing from a hub


def is_file(task: str) -> bool:
    """Whether params mean a file, not a task name of the harness."""
    return task.endswith((".yaml", ".yml"))


def read(path: Path) -> TaskFile:
    """Reads a task file. Raises BadInput if it is missing, not YAML, a group, without a name, or if a data file is missing."""
    tree = _tree(path)
    included = [path.parent / str(name) for name in _listed(tree.get("include"))]
    name = tree.get("task")
    if "group" in tree or isinstance(name, list):
        raise BadInput(path, "a group, which lm-evaluation-harness takes by name only", fix="name the files of its tasks")
    if not (isinstance(name, str) or included):
        raise BadInput(path, "the field `task` has no name", fix="add one")
    arguments = tree.get("dataset_kwargs")
    given = list(_listed(arguments.get("data_files") if isinstance(arguments, Mapping) else None))
    remote = any("://" in str(file) for file in given)
    data = [] if remote else [found for file in given for found in _found(str(file), path)]
    missing = next((file for file in included if not file.is_file()), None)
    if missing:
        raise BadInput(path, f"{missing}: no such file", field="include", fix="put it in the folder of the task's file")
    return TaskFile(name if isinstance(name, str) else None, (path, *included, *data), local=bool(data))


def _tree(path: Path) -> Mapping[str, object]:
    from ruamel.yaml import YAML, YAMLError

    try:
        tree = YAML(typ="rt").load(path.read_text(encoding="utf-8"))  # "rt" accepts the harness's tags, such as !function
    except (FileNotFoundError, IsADirectoryError):
        raise BadInput(path, "no such task file", fix="correct evaluate_general.tasks in params.yaml") from None
    except UnicodeDecodeError as error:
        raise BadInput(path, f"not UTF-8 at byte {error.start}", fix="save it as UTF-8") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise BadInput(path, f"not YAML: {getattr(error, 'problem', error)}", line=line, fix="correct the syntax") from None
    if not isinstance(tree, Mapping):
        raise BadInput(path, "not a mapping of a task's fields", fix="see profiles/general/facts.yaml")
    return tree


def _listed(value: object) -> Iterator[object]:
    """The values of a field: a single value, a list, or lists by split."""
    if isinstance(value, Mapping):
        yield from (one for part in value.values() for one in _listed(part))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from (one for part in value for one in _listed(part))
    elif value is not None:
        yield value


def _found(file: str, task: Path) -> list[Path]:
    """A data file, or the matches of a pattern, relative to the working directory. Raises BadInput if there are none."""
    found = [Path(file)] if Path(file).is_file() else sorted(Path().glob(file)) if not Path(file).is_absolute() else []
    if not found:
        raise BadInput(task, f"{file}: no such file", field="dataset_kwargs.data_files", fix="name it from the repository's root")
    return found
