"""From scored items to a scorecard: S_l, S_q and S̄ overall, by length bin, by language and by type (paper, section 4.1).

In two modes side by side: `s_l` and `s_bar` are the paper's, with its word count and every length read as "exactly"; `fixed` holds the
same scores with words as a person counts them and lengths as they were meant (words.py). No figure mixes the two.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean

from tasks import store
from tasks.longbench.adherence import adherence
from tasks.longbench.degeneration import PARTS, degeneration
from tasks.longbench.intervals import Interval, Means, intervals
from tasks.longbench.length import count_words, s_l
from tasks.longbench.ruler import Ceiling, Point, Reach, ceiling, reach
from tasks.longbench.samples import PromptScores, by_prompt
from tasks.longbench.words import constraint, count_fixed, s_l_fixed
from tasks.schema.errors import BadInput
from tasks.schema.records import Adherence, BenchmarkItem, Degeneration, FixedLength, Record, Rubric, ScoredItem, Step

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
    answers: int  # to them, as many to each as were drawn
    s_l: float  # mean S_l over all prompts, as all means; in paper mode
    s_q: float | None  # mean S_q over the prompts with a scored answer; None: there is none
    s_bar: float | None  # S̄ = (S_l + S_q) / 2; None where S_q is; in paper mode
    unscored: int  # answers without a readable verdict, or not judged at all
    s_l_interval: Interval | None = None  # 95%, by the bootstrap over prompts; None: one prompt alone has none
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
    unfinished: float
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


class Scorecard(Group):
    """All scores of one model. Groups that hold no item are left out."""

    by_bin: dict[str, Group]  # of the asked length
    by_language: dict[str, Group]
    by_type: dict[str, Group]
    ruler: tuple[Point, ...]  # by asked length
    judge: str | None  # who gave S_q; None: nobody
    by_asked: tuple[Reach, ...] = ()  # the ruler, summed up for each asked length
    ceiling: Ceiling | None = None
    degeneration: Decay | None = None  # None: the texts were not at hand
    adherence: Following | None = None  # None: no plan is known


def s_q(rubric: Rubric) -> float:
    """The quality score, 0 to 100: the mean over the six dimensions d (each 1 to 5) of (d − 1) · 25 (paper, section 4.1)."""
    return mean((score - 1) * 25 for score in rubric.model_dump().values())


def score_item(
    item: BenchmarkItem,
    model: str,
    response: str,
    quality: float | None,
    *,
    finish_reason: str = "",
    sample: int = 0,
    plan: Sequence[Step] = (),
) -> ScoredItem:
    """One answer, scored in both modes. An empty answer has S_l 0; `quality` is S_q, None where nobody could score it."""
    written = count_words(response)
    return ScoredItem(
        id=item.id,
        model=model,
        sample=sample,
        type=item.type,
        language=item.language,
        asked=item.length,
        written=written,
        s_l=s_l(item.length, written),
        s_q=quality,
        fixed=fixed_length(item.prompt, item.length, response),
        degeneration=degeneration(response, finish_reason=finish_reason),
        adherence=adherence(plan, response) if plan else None,
    )


def fixed_length(prompt: str, length: int, response: str) -> FixedLength:
    """The length score in fixed mode: words as a person counts them, against what the prompt is content with."""
    asked, written = constraint(prompt, length), count_fixed(response)
    return FixedLength(written=written, least=asked.least, most=asked.most, s_l=s_l_fixed(asked, written))


def bin_of(asked: int) -> str:
    """The paper's length bin of an asked length; the last one is closed, and what asks for more is `over 20000`."""
    return next((name for bound, name in BINS if asked < bound), OVER)


def summarise(items: Sequence[ScoredItem], *, judge: str | None = None) -> Scorecard:
    """The scorecard of one model's items. Raises ValueError if there is none: a mean over nothing is no score."""
    order = [name for _, name in BINS] + [OVER]
    points = tuple(Point(asked=asked, written=written) for asked, written in sorted((item.asked, item.written) for item in items))
    return Scorecard(
        judge=judge,
        **dict(_group(items)),
        by_bin=dict(sorted(_groups(items, lambda item: bin_of(item.asked)).items(), key=lambda entry: order.index(entry[0]))),
        by_language=_groups(items, lambda item: item.language),
        by_type=_groups([item for item in items if item.type], lambda item: item.type),
        ruler=points,
        by_asked=tuple(reach(points)),
        ceiling=ceiling(points),
        degeneration=_decay([item.degeneration for item in items if item.degeneration]),
        adherence=_following([item.adherence for item in items if item.adherence]),
    )


def mean_s_l(items: Iterable[ScoredItem], *, over: float) -> float | None:
    """Mean S_l of the items that ask for more than `over` words; None if none does."""
    found = [item.s_l for item in items if item.asked > over]
    return mean(found) if found else None


def read_scorecards(path: Path) -> dict[str, Scorecard]:
    """scorecard.json: a scorecard per model. Raises BadInput that names the field that does not fit."""
    document = store.read_json(path)
    if not isinstance(document, dict) or not document:
        raise BadInput(path, "not an object of scorecards by model", mend="run the stage score again")
    return {model: store.parse(card, Scorecard, path=path, line=None) for model, card in document.items()}


def _groups(items: Iterable[ScoredItem], key: Callable[[ScoredItem], str]) -> dict[str, Group]:
    members: dict[str, list[ScoredItem]] = {}
    for item in items:
        members.setdefault(key(item), []).append(item)
    return {name: _group(members[name]) for name in sorted(members)}


def _group(items: Sequence[ScoredItem]) -> Group:
    if not items:
        raise ValueError("no items to summarise")
    prompts = by_prompt(items, mode="paper")
    length, quality, found = _means(prompts)
    unscored = sum(prompt.unscored for prompt in prompts)
    return Group(
        items=len(prompts),
        answers=len(items),
        s_l=length,
        s_q=quality,
        s_bar=None if quality is None else (length + quality) / 2,
        unscored=unscored,
        s_l_interval=found.s_l,
        s_q_interval=found.s_q,
        s_bar_interval=found.s_bar,
        s_q_bounds=_bounds(prompts) if quality is not None and unscored else None,
        fixed=_fixed(items),
    )


def _means(prompts: Sequence[PromptScores]) -> tuple[float, float | None, Means]:
    """Mean S_l, mean S_q and all intervals."""
    lengths = [prompt.s_l for prompt in prompts if prompt.s_l is not None]
    qualities = [prompt.s_q for prompt in prompts]
    scored = [quality for quality in qualities if quality is not None]
    return mean(lengths), mean(scored) if scored else None, intervals(lengths, qualities)


def _fixed(items: Sequence[ScoredItem]) -> FixedScores | None:
    if any(item.fixed is None for item in items):
        return None
    length, quality, found = _means(by_prompt(items, mode="fixed"))
    both = None if quality is None else (length + quality) / 2
    return FixedScores(s_l=length, s_bar=both, s_l_interval=found.s_l, s_bar_interval=found.s_bar)


def _bounds(prompts: Sequence[PromptScores]) -> Interval:
    return Interval(low=mean(prompt.s_q_least for prompt in prompts), high=mean(prompt.s_q_most for prompt in prompts))


def _following(found: Sequence[Adherence]) -> Following | None:
    if not found:
        return None
    covered, ordered, length = (mean(getattr(one, name) for one in found) for name in ("covered", "ordered", "s_l"))
    return Following(answers=len(found), covered=covered, ordered=ordered, s_l=length)


def _decay(found: Sequence[Degeneration]) -> Decay | None:
    if not found:
        return None
    return Decay(
        items=len(found),
        repetition=mean(one.repetition for one in found),
        looped=mean(one.looped for one in found),
        with_loop=mean(one.looped > 0 for one in found),
        unfinished=mean(one.unfinished for one in found),
        switched=mean(one.switches > 0 for one in found),
        repetition_by_part=_by_part([one.repetition_by_part for one in found]),
        looped_by_part=_by_part([one.looped_by_part for one in found]),
        other_script_by_part=_by_part([one.other_script_by_part for one in found]),
    )


def _by_part(found: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    parts = [one for one in found if len(one) == PARTS]
    return tuple(mean(part) for part in zip(*parts, strict=True))


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
