"""Scores single answers, and summarises scored items in a scorecard (paper, section 4.1)."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from tasks.longbench.ruler import Reach, RulerPoint, ceiling, reach
from tasks.longbench.samples import PromptScores, by_prompt
from tasks.longbench.scorecard import BINS, OVER, Decay, FixedScores, Following, Group, Scorecard, Stripped, bin_of
from tasks.longbench.steadiness import steadiness
from tasks.schema.finish import Finish, finish_of
from tasks.schema.records import Adherence, BenchmarkItem, Degeneration, Ending, FixedLength, Rubric, ScoredItem, Step
from tasks.statistics import Interval, Means, intervals
from tasks.text.adherence import adherence
from tasks.text.counts import count_words, s_l
from tasks.text.degeneration import PARTS, degeneration
from tasks.text.topics import prompt_digest, topic_of
from tasks.text.unrepeated import count_without_loops
from tasks.text.words import constraint, count_fixed, s_l_fixed

_DIMENSIONS = tuple(Rubric.model_fields)


def s_q(rubric: Rubric) -> float:
    """The quality score, 0 to 100: the mean over the six dimensions d (each 1 to 5) of (d − 1) · 25 (paper, section 4.1)."""
    return fmean([(getattr(rubric, name) - 1) * 25 for name in _DIMENSIONS])


def score_item(
    item: BenchmarkItem,
    model: str,
    response: str,
    quality: float | None,
    *,
    finish_reason: str = "",
    sample: int = 0,
    plan: Sequence[Step] = (),
    reasoning: str = "",
    inline: bool = False,
    topic: str = "",
    verdicts: int | None = None,
    quality_error: float | None = None,
) -> ScoredItem:
    """Scores one answer in both modes. An empty answer has S_l 0. `quality` is S_q; None if the answer has no readable verdict.

    `reasoning`, the model's thoughts, is in no score. `inline`: the thoughts were part of the text, so the paper's script would count
    them. `topic` names the topic; empty: it is derived from the prompt without its length. `verdicts` is the number of verdicts behind
    `quality`, and `quality_error` its standard error between them.
    """
    written = count_words(response)
    return ScoredItem(
        id=item.id,
        prompt=prompt_digest(item.prompt),
        topic=topic_of(topic or item.prompt, item.length),
        model=model,
        sample=sample,
        type=item.type,
        language=item.language,
        asked=item.length,
        written=written,
        s_l=s_l(item.length, written),
        s_q=quality,
        s_q_verdicts=verdicts,
        s_q_error=quality_error,
        finish_reason=finish_reason,
        reasoned=bool(reasoning),
        with_thoughts=count_words(f"<think>\n{reasoning}\n</think>\n\n{response}") if inline else None,
        fixed=fixed_length(item.prompt, item.length, response),
        degeneration=degeneration(response, finish_reason=finish_reason),
        adherence=adherence(plan, response) if plan else None,
    )


def fixed_length(prompt: str, length: int, response: str) -> FixedLength:
    """The length score in fixed mode: words as a person counts them, against the range of lengths that the prompt accepts."""
    asked, written = constraint(prompt, length), count_fixed(response)
    once = count_without_loops(response, written=written)
    return FixedLength(
        written=written,
        least=asked.least,
        most=asked.most,
        s_l=s_l_fixed(asked, written),
        without_loops=once,
        s_l_without_loops=s_l_fixed(asked, once),
    )


def summarise(items: Sequence[ScoredItem], *, judge: str | None = None) -> Scorecard:
    """The scorecard of one model's items. Raises ValueError without items."""
    order = [name for _, name in BINS] + [OVER]
    points = tuple(RulerPoint(asked=asked, written=written) for asked, written in sorted((item.asked, item.written) for item in items))
    return Scorecard(
        judge=judge,
        **dict(_group(items)),
        by_bin=dict(sorted(_groups(items, lambda item: bin_of(item.asked)).items(), key=lambda entry: order.index(entry[0]))),
        by_language=_groups(items, lambda item: item.language),
        by_type=_groups([item for item in items if item.type], lambda item: item.type),
        reasoned=sum(item.reasoned for item in items),
        stripped=_stripped(items),
        ended_by=_ended_by([item.finish_reason for item in items]),
        ruler=points,
        by_asked=tuple(_without_loops(one, items) for one in reach(points)),
        ceiling=ceiling(points),
        degeneration=_decay([item.degeneration for item in items if item.degeneration]),
        adherence=_following([item.adherence for item in items if item.adherence]),
        steadiness=steadiness(items),
    )


def _without_loops(reached: Reach, items: Sequence[ScoredItem]) -> Reach:
    """The same asked length, with the words outside loops and repeated passages, where all its texts were at hand."""
    own = [item for item in items if item.asked == reached.asked]
    if not _all_without_loops(own):
        return reached
    found = [item.fixed for item in own if item.fixed]
    words, scores = [one.without_loops or 0 for one in found], [one.s_l_without_loops or 0.0 for one in found]
    return reached.model_copy(update={"mean_without_loops": fmean(words), "s_l_without_loops": fmean(scores)})


def _stripped(items: Sequence[ScoredItem]) -> Stripped | None:
    """The effect of not counting inline thoughts, against the paper's script. None if no count changed."""
    found = [item for item in items if item.with_thoughts not in (None, item.written)]
    if not found:
        return None
    as_official = [
        item if item.with_thoughts is None else item.model_copy(update={"s_l": s_l(item.asked, item.with_thoughts)}) for item in items
    ]
    lengths = [prompt.s_l for prompt in by_prompt(as_official, mode="paper") if prompt.s_l is not None]
    return Stripped(answers=len(found), s_l=fmean(lengths))


def _ended_by(reasons: Sequence[str]) -> dict[str, int]:
    """Number of answers by ending, most frequent first; empty if no ending is known. A reason missing from the table keeps its own name."""
    if not any(reasons):
        return {}
    named = [finish if (finish := finish_of(reason)) is not Finish.UNKNOWN else reason or finish for reason in reasons]
    return dict(Counter(str(name) for name in named).most_common())


def mean_s_l(items: Iterable[ScoredItem], *, over: float) -> float | None:
    """Mean S_l of the items that ask for more than `over` words; None without such items."""
    found = [item.s_l for item in items if item.asked > over]
    return fmean(found) if found else None


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
        topics=len({prompt.cluster for prompt in prompts}),
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


class _Mean(NamedTuple):
    """Mean S_l, mean S_q and all intervals."""

    s_l: float
    s_q: float | None
    found: Means


def _means(prompts: Sequence[PromptScores]) -> _Mean:
    lengths = [prompt.s_l for prompt in prompts if prompt.s_l is not None]
    qualities = [prompt.s_q for prompt in prompts]
    scored = [quality for quality in qualities if quality is not None]
    found = intervals(lengths, qualities, [prompt.cluster for prompt in prompts])
    return _Mean(fmean(lengths), fmean(scored) if scored else None, found)


def _fixed(items: Sequence[ScoredItem]) -> FixedScores | None:
    if any(item.fixed is None for item in items):
        return None
    length, quality, found = _means(by_prompt(items, mode="fixed"))
    both = None if quality is None else (length + quality) / 2
    once = _means(by_prompt(items, mode="without_loops")) if _all_without_loops(items) else None
    return FixedScores(
        s_l=length,
        s_bar=both,
        s_l_interval=found.s_l,
        s_bar_interval=found.s_bar,
        s_l_without_loops=once.s_l if once else None,
        s_l_without_loops_interval=once.found.s_l if once else None,
    )


def _all_without_loops(items: Sequence[ScoredItem]) -> bool:
    return all(item.fixed and item.fixed.s_l_without_loops is not None for item in items)


def _bounds(prompts: Sequence[PromptScores]) -> Interval:
    return Interval(low=fmean(prompt.s_q_least for prompt in prompts), high=fmean(prompt.s_q_most for prompt in prompts))


def _following(found: Sequence[Adherence]) -> Following | None:
    if not found:
        return None
    covered, ordered, length = (fmean(getattr(one, name) for one in found) for name in ("covered", "ordered", "s_l"))
    return Following(answers=len(found), covered=covered, ordered=ordered, s_l=length)


def _decay(found: Sequence[Degeneration]) -> Decay | None:
    if not found:
        return None
    return Decay(
        items=len(found),
        repetition=fmean(one.repetition for one in found),
        looped=fmean(one.looped for one in found),
        with_loop=fmean(one.looped > 0 for one in found),
        unfinished=fmean(one.unfinished for one in found),
        endings=_endings([one.ending for one in found if one.ending]),
        switched=fmean(one.switches > 0 for one in found),
        distinct=fmean(known) if (known := [one.distinct for one in found if one.distinct is not None]) else None,
        repetition_by_part=_by_part([one.repetition_by_part for one in found]),
        looped_by_part=_by_part([one.looped_by_part for one in found]),
        other_script_by_part=_by_part([one.other_script_by_part for one in found]),
    )


def _endings(found: Sequence[Ending]) -> dict[str, float]:
    """The share of each ending that occurs, most frequent first."""
    return {cause: count / len(found) for cause, count in Counter(found).most_common()}


def _by_part(found: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    parts = [one for one in found if len(one) == PARTS]
    return tuple(fmean(part) for part in zip(*parts, strict=True))
