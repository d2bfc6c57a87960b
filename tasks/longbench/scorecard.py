"""The scorecard: one model's scores, overall and by group, and how scorecards are read from files.

Scores are given in two modes. Paper mode: `s_l` and `s_bar` use the paper's word count and read every length as "exactly". Fixed mode:
`fixed` counts words as a person does and reads lengths as they were meant (text/words.py). No figure mixes the two.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from tasks import store
from tasks.longbench.ruler import Ceiling, Reach, RulerPoint
from tasks.schema.errors import BadInput
from tasks.schema.records import ByName, Record
from tasks.statistics import Interval

# Exclusive upper bounds in words. The paper's last bin includes 20,000, for which one item asks. LongWrite-Ruler asks for 30,000.
BINS = ((500, "[0,500)"), (2000, "[500,2000)"), (4000, "[2000,4000)"), (20001, "[4000,20000]"))
OVER = "over 20000"


class FixedScores(Record):
    """S_l and S̄ in fixed mode, 0 to 100. S_q is the same in both modes."""

    s_l: float
    s_bar: float | None  # None if S_q is None
    s_l_interval: Interval | None
    s_bar_interval: Interval | None
    s_l_without_loops: float | None = None  # of the words outside loops and repeated passages; None: some texts were not at hand
    s_l_without_loops_interval: Interval | None = None


class Group(Record):
    """The scores of some prompts, 0 to 100. Unscored answers count in S_l and never in S_q: they are reported, not imputed."""

    items: int  # prompts
    topics: int | None = None  # prompts that differ only in requested length count as one; None: unknown
    answers: int  # all samples of these prompts
    s_l: float  # mean over prompts, in paper mode
    s_q: float | None  # mean over the prompts with a scored answer; None: no scored answer
    s_bar: float | None  # S̄ = (S_l + S_q) / 2, in paper mode; None if S_q is None
    unscored: int  # answers without a readable verdict, or not judged
    s_l_interval: Interval | None = None  # 95%, over topics; None for a single topic
    s_q_interval: Interval | None = None
    s_bar_interval: Interval | None = None
    s_q_bounds: Interval | None = None  # S_q with all unscored answers at 0 and at 100; None: none is unscored, or none is scored
    fixed: FixedScores | None = None  # None: scored without texts


class Decay(Record):
    """Degeneration in a model's answers, over the answers with a text. Means over answers, 0 to 1."""

    items: int
    repetition: float
    looped: float
    with_loop: float  # share of the answers with a loop
    unfinished: float  # share of incomplete answers: all of `endings` but "ended"
    endings: dict[str, float] = Field({}, description="share of the answers by how they end; empty: scored before they were told apart")
    switched: float  # share of the answers that change their script
    distinct: float | None = None  # distinct ÷ all n-grams of two words; None: scored before it was measured
    repetition_by_part: tuple[float, ...]  # by tenths of the text, first to last, over answers that are long enough
    looped_by_part: tuple[float, ...]
    other_script_by_part: tuple[float, ...]


class Following(Record):
    """How well a model's answers follow their writing plans. Means over the answers with a known plan, 0 to 1."""

    answers: int
    covered: float
    ordered: float
    s_l: float  # 0 to 100


class Steadiness(Record):
    """How steady a model's lengths are over several answers to one prompt (VOLTBench, arXiv 2605.01357); means over such prompts."""

    prompts: int  # with two answers and more
    answers: int  # to them
    lsd: float | None = None  # standard deviation of the lengths, in words; None: measured by a version without it
    lvc: float | None  # standard deviation of the lengths ÷ their mean, 0 is steady; None: all answers are empty
    mla: float  # 100 · max(0, 1 − |mean length − asked| ÷ asked), 100 is as long as asked
    lsd_interval: Interval | None = None  # 95%, over topics; None for a single topic
    lvc_interval: Interval | None = None
    mla_interval: Interval | None = None


class Stripped(Record):
    """Effect of not counting thoughts that were part of the text. The paper's script does not know thoughts and would count them."""

    answers: int  # answers with such thoughts
    s_l: float  # mean in paper mode, if thoughts were counted as the paper's script does


class JudgeExam(Record):
    """What an exam of the judge found (`longwriter eval judge-exam`); the whole is in the card of this digest."""

    digest: str  # first 16 hex digits of the card's SHA-256
    misled_by: tuple[str, ...]  # plants that misled the judge, and "order"
    bias: float | None  # points of S_q: the largest rise by a plant, at the upper end of its 95% interval; None: no interval
    biased_by: str  # that plant; empty: none
    drop: float | None  # points: the smallest drop by a planted fault, at the lower end of its interval; None: no interval
    unnoticed: str  # that fault
    order: float | None  # distance of the first place's share of wins from one half; None: no comparison had a winner
    deviation: float | None  # points: standard deviation of an answer's S_q between repeats; None: no repeats
    read: float  # share of the replies that could be read


class Scorecard(Group):
    """All scores of one model. Empty groups are left out."""

    by_bin: dict[str, Group]  # by requested length
    by_language: dict[str, Group]
    by_type: dict[str, Group]
    ruler: tuple[RulerPoint, ...]  # sorted by requested length
    judge: str | None  # the judge of S_q; None: not judged
    exam: JudgeExam | None = None  # of this judge; None: not examined
    reasoned: int = Field(0, description="answers whose model wrote thoughts; they are in no figure")
    stripped: Stripped | None = None  # None: every count equals that of the paper's script
    ended_by: dict[str, int] = Field({}, description="answers by how they ended (schema/finish.py), as far as known, commonest first")
    by_asked: tuple[Reach, ...] = ()  # the ruler, aggregated per requested length
    ceiling: Ceiling | None = None
    degeneration: Decay | None = None  # None: scored without texts
    adherence: Following | None = None  # None: no known plan
    steadiness: Steadiness | None = None  # None: no prompt has several answers


Scorecards = ByName[Scorecard]  # scorecard.json


def bin_of(asked: int) -> str:
    """The paper's length bin of a requested length. The last bin includes 20,000; longer requests are `over 20000`."""
    return next((name for bound, name in BINS if asked < bound), OVER)


def read_scorecards(path: Path) -> Mapping[str, Scorecard]:
    """Reads scorecard.json: a scorecard per model. Raises BadInput with the field that does not fit."""
    fix = "run the stage score again"
    found = store.read_document(path, Scorecards, fix=fix).root
    if not found:
        raise BadInput(path, "no scorecard of any model", fix=fix)
    return found


def flat(cards: Mapping[str, Scorecard]) -> dict[str, float | int]:
    """Overall scores as metrics: `student_s_l`, `student_s_bar_low`, `student_repetition`, ... A score that is None has no metric."""
    return {f"{model}_{name}": value for model, card in cards.items() for name, value in _figures(card) if value is not None}


def _figures(card: Scorecard) -> Iterator[tuple[str, float | int | None]]:
    for name in ("items", "answers", "s_l", "s_q", "s_bar", "unscored"):
        yield name, getattr(card, name)
    if card.fixed:
        yield "s_l_fixed", card.fixed.s_l
        yield "s_bar_fixed", card.fixed.s_bar
        yield "s_l_without_loops", card.fixed.s_l_without_loops
    for name in ("s_l", "s_q", "s_bar"):
        if interval := getattr(card, f"{name}_interval"):
            yield f"{name}_low", interval.low
            yield f"{name}_high", interval.high
    if card.ceiling:
        yield "longest", card.ceiling.longest
        yield "ceiling", card.ceiling.asked
    if card.degeneration:
        for name in ("repetition", "looped", "unfinished", "switched", "distinct"):
            yield name, getattr(card.degeneration, name)
    if card.steadiness:
        for name in ("lsd", "lvc", "mla"):
            yield name, getattr(card.steadiness, name)
            if interval := getattr(card.steadiness, f"{name}_interval"):
                yield f"{name}_low", interval.low
                yield f"{name}_high", interval.high
