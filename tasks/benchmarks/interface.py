"""What a benchmark is: items, how one answer is scored by rule and by the judge, what is aggregated, its card and its pinned source.

A plug-in is a module with a `Benchmark`, named in the entry-point group `longwriter.benchmarks` of its distribution:

    [project.entry-points."longwriter.benchmarks"]
    mine = "my_package.mine:BENCHMARK"

`Benchmark.load` reads the fetched files and returns a `Suite`. A suite only describes: asking the model and the judge, repeats, tries,
counting and files are the same for all benchmarks (answering.py, grading.py, results.py).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tasks.benchmarks.sources import PinnedSource
from tasks.endpoints.chat import Chat
from tasks.schema.records import Decoding, Record

Values = Mapping[str, float | None]  # by name; None: unscored


class PublishedFigure(Record):
    """A figure that others published, with its judge: figures of different judges are not comparable."""

    model: str
    measure: str
    value: float
    judge: str  # "not known": the source at hand does not say
    source: str
    certainty: Literal["secondary", "recalled"]  # read in a text that quotes the source; noted from memory: check it before use


class Card(Record):
    """What a user has to know before believing a figure of a benchmark."""

    name: str  # of the plug-in
    title: str
    measures: str  # what the headline figure is, with its range
    judge: str  # the judge that the authors used; "none" if scores are by rule alone
    licence: str  # of items and prompts, as their authors state it
    terms: str = "fetched by the user at a pinned revision; nothing of it is shipped here"
    paper: str
    repository: str = ""  # OWNER/NAME; empty: no source
    revision: str = ""
    faults: tuple[str, ...] = ()  # known faults of the published code or data
    published: tuple[PublishedFigure, ...] = ()
    differences: tuple[str, ...] = ()  # where this implementation differs from the published code on purpose


class Item(Record):
    """What a model is asked."""

    id: str
    prompt: str
    group: str = ""  # the authors' category
    cluster: str = ""  # items that differ only in the asked length share one; empty: the id
    words: int | None = None  # asked for or expected; decides which request goes first, and is in no score


class GivenAnswer(Record):
    """One answer of a model to an item: predictions.jsonl."""

    id: str
    prompt: str
    model: str
    sample: int = 0  # index, from 0
    response: str
    parts: tuple[str, ...] = ()  # the replies of a conversation, in order; empty: one call
    finish_reason: str = ""
    tokens: int | None = None  # completion tokens; None: recorded by another tool
    seconds: float | None = None
    decoding: Decoding | None = None
    reasoning: str = ""  # the model's thoughts; in no score
    inline: bool = False


class Question(NamedTuple):
    """One request to the judge about one answer."""

    name: str  # unique within the answer
    prompt: str
    grades: tuple[str, ...]  # names that `read` returns
    read: Callable[[str], Mapping[str, float]]  # of the judge's reply; raises ReplyError that says why it cannot be read
    system: str = ""
    schema: Mapping[str, object] | None = None  # JSON schema of the reply


class Measure(NamedTuple):
    """A figure of the result: by default the mean over items of the value of the same name."""

    name: str
    low: float = 0.0
    high: float = 100.0
    of: Callable[[Sequence[Values]], float | None] | None = None  # of all items' values; None: their mean
    uses: tuple[tuple[str, float, float], ...] = ()  # with `of`: the values that it needs, each with its range, for unscored and bounds
    grouped: bool = True  # also shown by group


def only_prompt(row: Mapping[str, object]) -> str:
    """The item's id in a row of recorded answers: `id` or `index`; empty if the row has neither."""
    value = next((row[name] for name in ("id", "index") if isinstance(row.get(name), int | str)), "")
    return str(value)


def nothing_asked(item: Item, answer: GivenAnswer) -> tuple[Question, ...]:
    """No question to a judge."""
    return ()


def nothing_ruled(item: Item, answer: GivenAnswer) -> Mapping[str, float | None]:
    """No value by rule."""
    return {}


def all_values(item: Item, ruled: Values, grades: Values) -> Values:
    """The values by rule and by the judge, unchanged."""
    return {**ruled, **grades}


class Suite(NamedTuple):
    """A benchmark with its files read."""

    items: tuple[Item, ...]
    measures: tuple[Measure, ...]  # the headline first
    rule: Callable[[Item, GivenAnswer], Values] = nothing_ruled
    questions: Callable[[Item, GivenAnswer], Sequence[Question]] = nothing_asked  # none if an answer needs no judge
    values: Callable[[Item, Values, Values], Values] = all_values  # of one answer: from values by rule and grades (empty: not judged)
    identify: Callable[[Mapping[str, object]], str] = only_prompt  # the id of the item that a recorded row answers, unless its prompt tells
    write: Callable[[Chat, Item, int], Awaitable[GivenAnswer]] | None = None  # how a model is asked; None: the prompt, in one call
    answers_of: Callable[[Mapping[str, object]], Sequence[GivenAnswer]] | None = None  # reads the authors' own files; none: another row


class Benchmark(NamedTuple):
    """A plug-in."""

    card: Card
    load: Callable[[Path], Suite]  # from the folder of the fetched files; raises BadInput with file and line
    source: PinnedSource | None = None  # None: the files are the user's own
    place: str = ""  # the folder of its files below data/raw/official; empty: the card's name; ".": that folder itself
    judge_tokens: int = 0  # least max_tokens of the judge: what the authors allow for a reply; 0: that of params.yaml is enough
    scorecard: str = ""  # the file, in LongBench-Write's format, that `longwriter eval run` scores with a whole scorecard; empty: none

    @property
    def folder(self) -> Path:
        """Where `longwriter eval official` puts the files, unless it is told otherwise."""
        return Path("data/raw/official") / (self.place or self.card.name)


def carded(source: PinnedSource, **fields: object) -> Card:
    """A card with the repository and revision of a source."""
    return Card.model_validate({**fields, "repository": source.repository, "revision": source.revision})
