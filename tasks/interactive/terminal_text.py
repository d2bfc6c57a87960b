"""Text from a model, made safe and laid out for a terminal: no control characters, no secrets, lines of the terminal's width."""

import re

from rich.cells import cell_len

from tasks.schema.redaction import mask

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # also ESC, and signs that reverse the direction of text
_UNDECIDED = re.compile(r"[!-~]{1,200}\Z")  # the end of a text that may be the first half of a secret, and of a word


def harmless(text: str) -> str:
    """The text without control characters, except line ends and tabs: a model must not move the cursor or change the terminal."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


class SafeText:
    """Joins pieces of a text, and gives out what can be shown: whole words, without secrets and control characters."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, piece: str) -> str:
        """What can be shown now."""
        self._held += piece
        cut = found.start() if (found := _UNDECIDED.search(self._held[-201:])) else None
        place = len(self._held) if cut is None else max(0, len(self._held) - 201) + cut
        shown, self._held = self._held[:place], self._held[place:]
        return harmless(mask(shown))

    def end(self) -> str:
        """The rest."""
        shown, self._held = self._held, ""
        return harmless(mask(shown))


class Lines:
    """Breaks a growing text into lines that fit the terminal. `pending` is the line that is not complete yet."""

    def __init__(self, width: int):
        self._width, self.pending = max(10, width), ""

    def add(self, text: str) -> list[str]:
        """The lines that are complete now."""
        *whole, self.pending = (self.pending + text.expandtabs(4)).split("\n")
        done = [line for paragraph in whole for line in self._wrapped(paragraph)]
        *full, self.pending = self._wrapped(self.pending)
        return done + full

    def end(self) -> list[str]:
        """The last line, if there is one."""
        rest, self.pending = self.pending, ""
        return [rest] if rest.strip() else []

    def _wrapped(self, text: str) -> list[str]:
        lines = []
        while cell_len(text) > self._width:
            place = self._break(text)
            lines.append(text[:place].rstrip())
            text = text[place:].lstrip(" ")
        return [*lines, text]

    def _break(self, text: str) -> int:
        """Where the line ends: behind its last space, or at the width. Chinese and Japanese text has no spaces."""
        width, space = 0, 0
        for place, sign in enumerate(text):
            width += cell_len(sign)
            if width > self._width:
                return space or max(1, place)
            if sign == " " or cell_len(sign) > 1:
                space = place + 1
        return len(text)
