"""Store prompts that pass the filters on disk: texts in one file, their sketches in others, about 45 bytes per prompt in memory."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tasks.corpus.near_copies import Sketches, SketchStore
from tasks.filtering.sift import PassedPrompt

LANGUAGES = ("en", "zh")
LENGTH_KINDS = ("none", "exact", "least", "most", "range")
_LAYOUT = "id <u8, rank <u8, start <i8, length <i4, answer <i4, file <i4, row <i8, words <i4, language u1, length_kind u1"
_FACTS = np.dtype([(name, form) for name, form in (field.split() for field in _LAYOUT.split(", "))])


class StoredCandidate(NamedTuple):
    """A prompt that passed the filters."""

    id: str
    text: str
    language: str
    words: int | None
    length_kind: str
    source: str
    answer: str = ""  # the recorded text; empty: none


class Candidates:
    """Candidates are added part by part; after `close` they are read by index in any order."""

    def __init__(self, folder: Path, *, threshold: float) -> None:
        self._texts = (folder / "texts").open("w+b")
        self.sketches = SketchStore(folder, threshold=threshold)
        self._files: list[str] = []
        self._chunks: list[NDArray[np.void]] = []
        self.facts: NDArray[np.void] = np.zeros(0, _FACTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._texts.close()
        self.sketches.close()

    def __len__(self) -> int:
        return len(self.facts)

    def add(self, kept: Sequence[PassedPrompt], sketches: Sketches, *, file: str, before: int) -> None:
        """Add the prompts of a part. `before`: rows of the file before this part."""
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        facts = np.zeros(len(kept), _FACTS)
        for place, one in enumerate(kept):
            text, answer = one.text.encode("utf-8"), one.answer.encode("utf-8")
            start = self._texts.tell()
            self._texts.write(text + answer)
            words = -1 if one.words is None else one.words
            coded = LANGUAGES.index(one.language), LENGTH_KINDS.index(one.length_kind)
            sizes, row = (len(text), len(answer)), before + one.number
            facts[place] = (int(one.id, 16), one.rank, start, *sizes, len(self._files) - 1, row, words, *coded)
        self._chunks.append(facts)
        self.sketches.add(sketches)

    def close(self) -> None:
        """End the writing; the candidates can be read from now on."""
        self.facts = np.concatenate([self.facts, *self._chunks])
        self._chunks.clear()
        self._texts.flush()

    def order(self) -> NDArray[np.int64]:
        """Indices sorted by id; among equal ids the kept one is first. Ties are broken by rank, file and row."""
        return np.lexsort((self.facts["row"], self.facts["file"], self.facts["rank"], self.facts["id"]))

    def text(self, place: int) -> str:
        fact = self.facts[place]
        self._texts.seek(int(fact["start"]))
        return self._texts.read(int(fact["length"])).decode("utf-8")

    def answer(self, place: int) -> str:
        """The recorded text; empty if there is none."""
        fact = self.facts[place]
        self._texts.seek(int(fact["start"]) + int(fact["length"]))
        return self._texts.read(int(fact["answer"])).decode("utf-8")

    def id(self, place: int) -> str:
        return f"{int(self.facts[place]['id']):016x}"

    def source(self, place: int) -> str:
        fact = self.facts[place]
        return f"{self._files[fact['file']]}:{fact['row']}"

    def __getitem__(self, place: int) -> StoredCandidate:
        fact = self.facts[place]
        words = int(fact["words"])
        language, length_kind = LANGUAGES[fact["language"]], LENGTH_KINDS[fact["length_kind"]]
        asked = None if words < 0 else words
        return StoredCandidate(self.id(place), self.text(place), language, asked, length_kind, self.source(place), self.answer(place))
