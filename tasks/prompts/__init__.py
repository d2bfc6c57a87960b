"""Read and fill prompt files. A prompt file is a dependency of the stage that sends it.

A placeholder is `{{name}}`. Filling is one pass over the template, so text in a value that looks like a placeholder is inserted
literally. The prompt and the values must name exactly the same placeholders.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from tasks.schema.errors import BadPrompt

_HERE = Path(__file__).parent
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


def located(path: Path) -> Path:
    """The path of a prompt file in params.yaml. Outside a checkout, a path below tasks/prompts/ means the file of the package."""
    return _HERE / path.name if path.parts[:-1] == ("tasks", "prompts") and not path.exists() else path


def fill(name: str, folder: Path = _HERE, /, **values: str) -> str:
    """The prompt `<name>.txt` with its placeholders replaced. Raises BadPrompt with the file, the line and the placeholder."""
    return "".join(frame(name, (), folder, **values))


def frame(name: str, left_open: Sequence[str], folder: Path = _HERE, /, **values: str) -> list[str]:
    """The prompt split at the placeholders in `left_open`, in their order in the file; all other placeholders are replaced.

    Use it to build the constant parts of a prompt once for many requests. Raises BadPrompt as `fill` does.
    """
    path = folder / f"{name}.txt"
    template = _read(path)
    wanted = {match[1]: template.count("\n", 0, match.start()) + 1 for match in _PLACEHOLDER.finditer(template)}
    known = {*values, *left_open}
    for placeholder in wanted.keys() - known:
        raise BadPrompt(f"{path}:{wanted[placeholder]}: {{{{{placeholder}}}}}: unknown placeholder; known are {', '.join(sorted(known))}")
    for placeholder in known - wanted.keys():
        raise BadPrompt(f"{path}: {{{{{placeholder}}}}}: missing placeholder; the prompt must say where it goes")
    pieces = [""]
    for place, text in enumerate(_PLACEHOLDER.split(template)):
        if place % 2 and text in left_open:
            pieces.append("")
        else:
            pieces[-1] += values[text] if place % 2 else text
    return pieces


def placeholders(path: Path) -> set[str]:
    """The names of a prompt file's placeholders. Raises BadPrompt if it cannot be read."""
    return set(_PLACEHOLDER.findall(_read(path)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise BadPrompt(f"{path}: {'no such file' if isinstance(error, FileNotFoundError) else 'not UTF-8'}; restore it from git") from None
