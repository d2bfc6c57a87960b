"""A scorecard: what is said of one model's answers, overall and by group, and how it is read back.

In two modes side by side: `s_l` and `s_bar` are the paper's, with its word count and every length read as "exactly"; `fixed` holds the
same scores with words as a person counts them and lengths as they were meant (words.py). No figure mixes the two.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from tasks import store
from tasks.longbench.ruler import Ceiling, Point, Reach
from tasks.schema.errors import BadInput
from tasks.schema.records import ByName, Record
from tasks.statistics import Interval

# Upper bounds in words, each open but the last of the paper's: one of its items asks for 20,000. LongWrite-Ruler asks for 30,000.
BINS = ((500, "[0,500)"), (2000, "[500,2000)"), (4000, "[2000,4000)"), (20001, "[4000,20000]"))
OVER = "over 20000"


class FixedScores(Record):
    """S_l and S̄ in fixed mode, 0 to 100. S_q is the same in both modes."""

    s_l: float
    s_bar: float | None  # None where S_q is
    s_l_interval: Interval | None
    s_bar_interval: Interval | None


class Group(Record):
    """The scores of some prompts, 0 to 100. Unscored answers count in S_l and never in S_q: they are shown, not imputed."""

    items: int  # prompts
    topics: int | None = None  # prompts that differ by their asked length alone count as one; None: not known
    answers: int  # to them, as many to each as were drawn
    s_l: float  # mean S_l over all prompts, as all means; in paper mode
    s_q: float | None  # mean S_q over the prompts with a scored answer; None: there is none
    s_bar: float | None  # S̄ = (S_l + S_q) / 2; None where S_q is; in paper mode
    unscored: int  # answers without a readable verdict, or not judged at all
    s_l_interval: Interval | None = None  # 95%, over topics; None: one topic alone has none
    s_q_interval: Interval | None = None
    s_bar_interval: Interval | None = None
    s_q_bounds: Interval | None = None  # S_q if all unscored answers had 0, and if all had 100; None: none is unscored, or none is scored
    fixed: FixedScores | None = None  # None: the texts were not at hand


class Decay(Record):
    """Degeneration over a model's answers, of all as far as the texts were at hand; means over answers, from 0 to 1."""

    items: int
    repetition: float
    looped: float
    with_loop: float  # share of the answers
    unfinished: float  # share that is not the whole: `endings` without "ended"
    endings: dict[str, float] = Field({}, description="share of the answers by how they end; empty: scored before they were told apart")
    switched: float  # share of the answers that change their script
    repetition_by_part: tuple[float, ...]  # by tenths of the text, first to last, over the answers that are long enough
    looped_by_part: tuple[float, ...]
    other_script_by_part: tuple[float, ...]


class Following(Record):
    """How a model's answers follow the plans that they were written by; means over the answers whose plan is known, from 0 to 1."""

    answers: int
    covered: float
    ordered: float
    s_l: float  # 0 to 100


class Stripped(Record):
    """Thoughts that stood in the texts are not counted; the paper's script, which knows no thoughts, would count them."""

    answers: int  # with such thoughts
    s_l: float  # in paper mode, as the paper's script would score all answers


class Scorecard(Group):
    """All scores of one model. Groups that hold no item are left out."""

    by_bin: dict[str, Group]  # of the asked length
    by_language: dict[str, Group]
    by_type: dict[str, Group]
    ruler: tuple[Point, ...]  # by asked length
    judge: str | None  # who gave S_q; None: nobody
    reasoned: int = Field(0, description="answers whose model wrote thoughts; they are in no figure")
    stripped: Stripped | None = None  # None: no count differs from that of the paper's script
    ended_by: dict[str, int] = Field({}, description="answers by how they ended (schema/finish.py), as far as known, commonest first")
    by_asked: tuple[Reach, ...] = ()  # the ruler, summed up for each asked length
    ceiling: Ceiling | None = None
    degeneration: Decay | None = None  # None: the texts were not at hand
    adherence: Following | None = None  # None: no plan is known


Scorecards = ByName[Scorecard]  # scorecard.json


def bin_of(asked: int) -> str:
    """The paper's length bin of an asked length; the last one is closed, and what asks for more is `over 20000`."""
    return next((name for bound, name in BINS if asked < bound), OVER)


def read_scorecards(path: Path) -> Mapping[str, Scorecard]:
    """scorecard.json: a scorecard per model. Raises BadInput that names the field that does not fit."""
    fix = "run the stage score again"
    found = store.read_document(path, Scorecards, fix=fix).root
    if not found:
        raise BadInput(path, "no scorecard of any model", fix=fix)
    return found


def flat(cards: Mapping[str, Scorecard]) -> dict[str, float | int]:
    """The overall scores as metrics: `student_s_l`, `student_s_bar_low`, `student_repetition`, ...; what is unscored has no metric."""
    return {f"{model}_{name}": value for model, card in cards.items() for name, value in _figures(card) if value is not None}


def _figures(card: Scorecard) -> Iterator[tuple[str, float | int | None]]:
    for name in ("items", "answers", "s_l", "s_q", "s_bar", "unscored"):
        yield name, getattr(card, name)
    if card.fixed:
        yield "s_l_fixed", card.fixed.s_l
        yield "s_bar_fixed", card.fixed.s_bar
    for name in ("s_l", "s_q", "s_bar"):
        if interval := getattr(card, f"{name}_interval"):
            yield f"{name}_low", interval.low
            yield f"{name}_high", interval.high
    if card.ceiling:
        yield "longest", card.ceiling.longest
        yield "ceiling", card.ceiling.asked
    if card.degeneration:
        for name in ("repetition", "looped", "unfinished", "switched"):
            yield name, getattr(card.degeneration, name)
