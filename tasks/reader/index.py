"""The index of what is read: a SQLite file with the place and the facts of every row, and a full-text index. It never holds the texts.

It is built in the background in three passes: the rows' places (at once readable and countable), their facts (kind, model, lengths,
scores: for filters), their words (for search, and to count lengths that no record states). A complete index is used again as long as its
files have not changed.
"""

import hashlib
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from tasks import store
from tasks.longbench.scorecard import bin_of
from tasks.reader import files
from tasks.reader.collections import Collection
from tasks.reader.shapes import Shape, shape_of
from tasks.schema.errors import PipelineError
from tasks.text.counts import count_words, s_l
from tasks.text.topics import prompt_digest

FORMAT = 2  # of the index; another one is built again
KEPT = 20  # index files in the cache folder; older ones are deleted
CHUNK = 2_000  # rows per transaction
FACETS = ("model", "language", "bin", "kind", "type", "reason")
VALUES = 60  # values of a facet that can be chosen
SORTS = {"": "id", "shortest": "written, id", "longest": "written DESC, id", "worst": "s_l IS NULL, s_l, id", "best": "s_l DESC, id"}
SORTS |= {"worst quality": "s_q IS NULL, s_q, id", "best quality": "s_q DESC, id"}
_WIDE = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])")  # each is a word of the index
_TERM = re.compile(r'"([^"]*)"?|([^\s"]+)')
_SCHEMA = """
CREATE TABLE rows(
  id INTEGER PRIMARY KEY, collection TEXT, file INTEGER, place INTEGER, line INTEGER, kind TEXT, key TEXT, sample INTEGER, model TEXT,
  language TEXT, type TEXT, reason TEXT, bin TEXT, asked INTEGER, written INTEGER, s_l REAL, s_q REAL, title TEXT);
CREATE INDEX by_key ON rows(collection, key, sample);
CREATE INDEX by_collection ON rows(collection);
CREATE TABLE verdicts(collection TEXT, key TEXT, sample INTEGER, model TEXT, place INTEGER, line INTEGER);
CREATE INDEX verdicts_by_key ON verdicts(collection, key, sample, model);
CREATE TABLE facets(collection TEXT, name TEXT, value TEXT, rows INTEGER);
CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2');
"""


class Query(NamedTuple):
    """What the list shows."""

    collection: str
    search: str = ""
    facets: tuple[tuple[str, str], ...] = ()  # (facet, value)
    score: str = "s_l"  # s_l or s_q
    least: float | None = None
    most: float | None = None
    sort: str = ""


class Listed(NamedTuple):
    """One row in the list."""

    id: int
    collection: str
    file: int
    place: int
    line: int
    kind: str | None  # None: its facts are not read yet
    key: str | None
    sample: int | None
    model: str | None
    language: str | None
    type: str | None
    reason: str | None
    bin: str | None
    asked: int | None
    written: int | None
    s_l: float | None
    s_q: float | None
    title: str | None


class Progress(NamedTuple):
    """How far the index is built."""

    step: str  # rows, facts, words, or complete
    done: int
    total: int
    problem: str = ""  # why it stopped

    @property
    def complete(self) -> bool:
        return self.step == "complete"


class Index:
    """An index over collections. `build` runs in a thread of its own; reading works at any time, over what is there."""

    def __init__(self, collections: Sequence[Collection], cache: Path):
        store.private_folder(cache)
        self.collections = {one.name: one for one in collections}
        self.files = [file for one in collections for file in one.files]
        self._cache = cache
        self.path = cache / f"{_digest(collections)}.sqlite"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.progress = Progress("rows", 0, 0)
        self._paths: dict[int, Path] = {}
        self._ids: list[tuple[int, int]] = []  # first row id and number of rows of each file

    def open(self) -> None:
        """Use the stored index if it is complete; else start to build it."""
        if self.path.is_file() and self._is_complete():
            rows = self._number("SELECT count(*) FROM rows")
            self.progress = Progress("complete", rows, rows)
            self.path.touch()
            return
        for old in (self.path, *self.path.parent.glob(f"{self.path.name}-*")):
            old.unlink(missing_ok=True)
        store.private_file(self.path)
        with closing(self._connection()) as database:
            database.executescript(f"PRAGMA journal_mode=WAL; {_SCHEMA}")
        self._prune()
        self._thread = threading.Thread(target=self._build_all, name="index", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the index is complete, or has stopped."""
        if self._thread:
            self._thread.join()

    def close(self) -> None:
        self._stop.set()
        self.wait()

    def _is_complete(self) -> bool:
        try:
            return self._number("PRAGMA user_version") == FORMAT
        except sqlite3.DatabaseError:
            return False

    def _prune(self) -> None:
        """Delete the oldest files of the cache folder."""
        found = sorted(self._cache.glob("*.sqlite"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in found[KEPT:]:
            for path in (old, *old.parent.glob(f"{old.name}-*")):
                path.unlink(missing_ok=True)

    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30, check_same_thread=False)

    def _number(self, query: str, given: Iterable[Any] = ()) -> int:
        with closing(self._connection()) as database:
            return int(database.execute(query, tuple(given)).fetchone()[0])

    # Building

    def _build_all(self) -> None:
        ended = False
        try:
            with closing(self._connection()) as database:
                database.execute("PRAGMA synchronous=OFF")  # a broken index is built again
                for step in (self._add_places, self._add_facts, self._add_words):
                    step(database)
                    if self._stop.is_set():
                        ended = True
                        return
                self._keep_facets(database)
                database.execute(f"PRAGMA user_version={FORMAT}")
                database.commit()
            self.progress = Progress("complete", self.progress.total, self.progress.total)
            ended = True
        except (PipelineError, OSError, sqlite3.Error) as error:
            self.progress = self.progress._replace(problem=str(error))
            ended = True
        finally:
            if not ended:  # a defect: its traceback goes to the terminal
                self.progress = self.progress._replace(problem="an unexpected error, see the terminal")

    def path_of(self, file: int) -> Path:
        """The file with addressable rows: the given one, or its copy in the cache."""
        if file not in self._paths:
            self._paths[file] = files.converted(self.files[file].path, self._cache)
        return self._paths[file]

    def _numbered(self) -> Iterator[tuple[int, str]]:
        """(number of the file, its collection)."""
        number = 0
        for collection in self.collections.values():
            for _ in collection.files:
                yield number, collection.name
                number += 1

    def _add_places(self, database: sqlite3.Connection) -> None:
        total = 0
        for number, collection in self._numbered():
            before = total
            found = ((collection, number, place, line) for place, line in files.places(self.path_of(number)))
            for rows in store.batched(found, CHUNK):
                database.executemany("INSERT INTO rows(collection, file, place, line) VALUES (?, ?, ?, ?)", rows)
                database.commit()
                total += len(rows)
                self.progress = Progress("rows", total, total)
                if self._stop.is_set():
                    return
            self._ids.append((before + 1, total - before))

    def _shapes(self) -> Iterator[tuple[int, Shape]]:
        """(row id, shape) of every row; ids were given in the same order. Rows that were added to a file since then are left out."""
        for number, (first, count) in enumerate(self._ids):
            file = self.files[number]
            for id, row in enumerate(islice(files.rows(self.path_of(number)), count), first):
                if self._stop.is_set():
                    return
                yield id, shape_of(row.data, problem=row.problem, model=file.model, where=file.path, line=row.line)

    def _add_facts(self, database: sqlite3.Connection) -> None:
        total = self.progress.total
        update = (
            "UPDATE rows SET kind=?, key=?, sample=?, model=?, language=?, type=?, reason=?, bin=?, asked=?, written=?, s_l=?, s_q=?, "
            "title=? WHERE id=?"
        )
        for done, rows in _counted(store.batched(((*_facts(shape), id) for id, shape in self._shapes()), CHUNK)):
            database.executemany(update, rows)
            database.commit()
            self.progress = Progress("facts", done, total)
        for collection in self.collections.values():
            if collection.items:
                self._add_scores(database, collection, collection.items)
            if collection.verdicts:
                self._add_verdicts(database, collection, collection.verdicts)

    def _add_scores(self, database: sqlite3.Connection, collection: Collection, path: Path) -> None:
        update = "UPDATE rows SET s_l=?, s_q=?, written=?, asked=?, bin=? WHERE collection=? AND key=? AND sample=? AND model=?"
        found = ((row.data, shape_of(row.data)) for row in files.rows(path) if row.data)
        values = (
            (one.s_l, one.s_q, one.written, one.asked, _bin(one.asked), collection.name, one.id, one.sample, one.model)
            for _, one in found
            if one.kind == "scored item"
        )
        for rows in store.batched(values, CHUNK):
            database.executemany(update, rows)
            database.commit()

    def _add_verdicts(self, database: sqlite3.Connection, collection: Collection, path: Path) -> None:
        found = ((row, shape_of(row.data)) for row in files.rows(path))
        values = ((collection.name, one.id, one.sample, one.model, row.place, row.line) for row, one in found if one.kind == "verdict")
        for rows in store.batched(values, CHUNK):
            database.executemany("INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?)", rows)
            database.commit()

    def _add_words(self, database: sqlite3.Connection) -> None:
        total = self.progress.total
        for done, chunk in _counted(store.batched(self._shapes(), CHUNK // 8)):
            database.executemany("INSERT INTO words(rowid, text) VALUES (?, ?)", ((id, _spaced(shape.whole_text)) for id, shape in chunk))
            measured = [(*_measured(shape), id) for id, shape in chunk]
            database.executemany(
                "UPDATE rows SET written=coalesce(written, ?), asked=coalesce(asked, ?), language=coalesce(nullif(language, ''), ?), "
                "bin=coalesce(bin, ?), s_l=coalesce(s_l, ?) WHERE id=?",
                measured,
            )
            database.commit()
            self.progress = Progress("words", done, total)

    def _keep_facets(self, database: sqlite3.Connection) -> None:
        """Counts of the facets' values: with many rows a page would take long to count them."""
        for collection in self.collections:
            for name in FACETS:
                found = [(collection, name, value, rows) for value, rows in _values(database, collection, name)]
                database.executemany("INSERT INTO facets VALUES (?, ?, ?, ?)", found)
        database.commit()

    # Reading

    def count(self, query: Query) -> int:
        where, given = _where(query)
        return self._number(f"SELECT count(*) FROM rows WHERE {where}", given)

    def page(self, query: Query, *, start: int, size: int) -> list[Listed]:
        """`size` rows of the list from `start`. Rows without facts yet are read from their file."""
        where, given = _where(query)
        order = SORTS[query.sort]
        with closing(self._connection()) as database:
            found = database.execute(
                f"SELECT * FROM rows WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?", (*given, size, start)
            ).fetchall()
        return [self._with_facts(Listed(*row)) for row in found]

    def one(self, id: int) -> Listed | None:
        with closing(self._connection()) as database:
            found = database.execute("SELECT * FROM rows WHERE id=?", (id,)).fetchone()
        return self._with_facts(Listed(*found)) if found else None

    def _with_facts(self, row: Listed) -> Listed:
        if row.kind is not None:
            return row
        names = ("kind", "key", "sample", "model", "language", "type", "reason", "bin", "asked", "written", "s_l", "s_q", "title")
        return row._replace(**dict(zip(names, _facts(self.shape(row)), strict=True)))

    def shape(self, row: Listed) -> Shape:
        """The row itself, read from its file. A file that has changed since gives an unreadable row, or another one: the index is built
        again at the next start."""
        file = self.files[row.file]
        try:
            found = files.row_at(self.path_of(row.file), row.place, row.line)
        except (PipelineError, OSError, IndexError) as error:
            return shape_of(None, problem=f"the file changed while it was read ({error}); start the reader again")
        return shape_of(found.data, problem=found.problem, model=file.model, where=file.path, line=row.line)

    def others(self, row: Listed) -> list[Listed]:
        """The other answers to the same prompt: other models and samples."""
        if not row.key:
            return []
        with closing(self._connection()) as database:
            found = database.execute(
                "SELECT * FROM rows WHERE collection=? AND key=? AND id<>? ORDER BY sample<>?, id LIMIT 40",
                (row.collection, row.key, row.id, row.sample),
            ).fetchall()
        return [Listed(*one) for one in found]

    def verdicts(self, row: Listed) -> list[files.Found]:
        """The judges' verdicts on a prediction."""
        path = self.collections[row.collection].verdicts
        if path is None or not row.key:
            return []
        with closing(self._connection()) as database:
            found = database.execute(
                "SELECT place, line FROM verdicts WHERE collection=? AND key=? AND sample=? AND model=? ORDER BY place",
                (row.collection, row.key, row.sample or 0, row.model or ""),
            ).fetchall()
        return [files.row_at(path, place, line) for place, line in found]

    def draft_of(self, key: str) -> Shape | None:
        """The draft or plan of an instruction, to show the plan beside a sample of the dataset."""
        names = [name for name, one in self.collections.items() if one.files[0].path.name in ("drafts.jsonl", "plans.jsonl")]
        with closing(self._connection()) as database:
            marks = ",".join("?" * len(names))
            found = database.execute(
                f"SELECT * FROM rows WHERE collection IN ({marks}) AND key=? ORDER BY id LIMIT 1", (*names, key)
            ).fetchone()
        return self.shape(Listed(*found)) if found else None

    def facets(self, collection: str) -> dict[str, list[tuple[str, int]]]:
        """Values of each facet in a collection with their numbers, most frequent first. A facet with one value is left out."""
        found: dict[str, list[tuple[str, int]]] = {}
        kept = "SELECT value, rows FROM facets WHERE collection=? AND name=? ORDER BY rowid"
        with closing(self._connection()) as database:
            for name in FACETS:
                complete = self.progress.complete
                values = database.execute(kept, (collection, name)).fetchall() if complete else _values(database, collection, name)
                if len(values) > 1 or (name == "reason" and values):
                    found[name] = values
        return found

    def sizes(self) -> dict[str, int]:
        """Number of rows of each collection."""
        with closing(self._connection()) as database:
            found = dict(database.execute("SELECT collection, count(*) FROM rows GROUP BY 1").fetchall())
        return {name: found.get(name, 0) for name in self.collections}


def _values(database: sqlite3.Connection, collection: str, name: str) -> list[tuple[str, int]]:
    """The most frequent values of a facet with their numbers of rows."""
    query = f"SELECT {name}, count(*) FROM rows WHERE collection=? AND {name}<>'' GROUP BY 1 ORDER BY 2 DESC LIMIT {VALUES}"
    return database.execute(query, (collection,)).fetchall()


def _digest(collections: Sequence[Collection]) -> str:
    """Names the index: the files with their sizes and times."""
    paths = [path for one in collections for path in (*(file.path for file in one.files), one.items, one.verdicts)]
    stats = [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) if path else None for path in paths]
    named = [[one.name, len(one.files), [file.model for file in one.files]] for one in collections]
    return hashlib.sha256(orjson.dumps([FORMAT, named, stats])).hexdigest()[:24]


def _counted(chunks: Iterable[list[Any]]) -> Iterator[tuple[int, list[Any]]]:
    done = 0
    for chunk in chunks:
        done += len(chunk)
        yield done, chunk


def _bin(asked: int | None) -> str | None:
    return bin_of(asked) if asked else None


def _facts(shape: Shape) -> tuple[Any, ...]:
    """The columns of a row from kind to title. Answers of other tools to one prompt belong together, whatever their ids."""
    key = prompt_digest(shape.prompt) if shape.kind == "answer" and shape.prompt else shape.id
    score = shape.s_l if shape.s_l is not None or not (shape.asked and shape.written) else s_l(shape.asked, shape.written)
    return (
        *(shape.kind, key, shape.sample, shape.model, shape.language, shape.type, shape.reason),
        *(_bin(shape.asked), shape.asked, shape.written, score, shape.s_q, shape.title),
    )


def _measured(shape: Shape) -> tuple[int | None, int | None, str, str | None, float | None]:
    """(written, asked, language, bin, S_l) of a row, counted where no record states them; lengths in the paper's count."""
    from tasks.text.languages import UNKNOWN, language_of  # after the first page is served
    from tasks.text.length_requests import parse_length_request

    text = shape.parts[0].text if shape.parts else ""
    written = (
        shape.written if shape.written is not None else count_words(text) if text and shape.kind not in ("row", "unreadable") else None
    )
    asks = shape.kind in ("answer", "conversation") and shape.asked is None
    asked = parse_length_request(shape.prompt).target if asks and len(shape.prompt) < 20_000 else shape.asked
    language = shape.language or (language_of(shape.prompt or text) if shape.kind not in ("row", "unreadable", "reject") else "")
    score = s_l(asked, written) if asked and written is not None and shape.parts and shape.kind not in ("reject", "row") else None
    return written, asked, "" if language == UNKNOWN else language, _bin(asked), score


def _spaced(text: str) -> str:
    """Each Chinese, Japanese or Korean character becomes a word, so that any part of a sentence is found."""
    return text if text.isascii() else _WIDE.sub(r" \1 ", text)


def phrases(search: str) -> str:
    """A search as an expression of FTS5: all terms, each a phrase; the last word of a term without quotes may be incomplete. Empty: the
    search has neither letters nor digits."""
    found = []
    for quoted, bare in _TERM.findall(search.replace("\0", " ")):
        term = quoted or bare
        if any(character.isalnum() for character in term):
            found.append('"' + _spaced(term).replace('"', " ").strip() + '"' + ("*" if bare and not _WIDE.search(bare) else ""))
    return " ".join(found)


def _where(query: Query) -> tuple[str, list[Any]]:
    where, given = ["collection=?"], list[Any]([query.collection])
    for name, value in query.facets:
        if name not in FACETS:
            raise ValueError(f"{name}: no filter of this name")
        where.append(f"{name}=?")
        given.append(value)
    for sign, bound in ((">=", query.least), ("<=", query.most)):
        if bound is not None:
            where.append(f"{'s_q' if query.score == 's_q' else 's_l'}{sign}?")
            given.append(bound)
    if query.search.strip():
        expression = phrases(query.search)
        where.append("id IN (SELECT rowid FROM words WHERE words MATCH ?)" if expression else "0")
        given += [expression] if expression else []
    return " AND ".join(where), given
