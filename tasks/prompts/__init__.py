"""Prompt files and how they are filled. A prompt's file is a dependency of the stage that sends it.

A placeholder is `{{name}}`. Filling is one pass over the template, so that placeholder-looking text inside a value is
inserted literally and never filled again. The prompt and the values must name exactly the same placeholders.
"""

import re
from pathlib import Path

from tasks.schema.errors import BadPrompt

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


def fill(name: str, folder: Path = Path(__file__).parent, /, **values: str) -> str:
    """The prompt `<name>.txt` with its placeholders replaced. Raises BadPrompt that names the file, the line and the placeholder."""
    path = folder / f"{name}.txt"
    try:
        template = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise BadPrompt(f"{path}: {'no such file' if isinstance(error, FileNotFoundError) else 'not UTF-8'}; restore it from git") from None
    wanted = {match[1]: template.count("\n", 0, match.start()) + 1 for match in _PLACEHOLDER.finditer(template)}
    for placeholder in wanted.keys() - values.keys():
        raise BadPrompt(f"{path}:{wanted[placeholder]}: {{{{{placeholder}}}}}: unknown placeholder; known are {', '.join(sorted(values))}")
    for placeholder in values.keys() - wanted.keys():
        raise BadPrompt(f"{path}: {{{{{placeholder}}}}}: missing placeholder; the prompt must say where it goes")
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template).strip()
