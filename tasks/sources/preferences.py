"""Read a row of a published preference dataset: a prompt, a chosen answer and a rejected one.

Known forms:

- two columns of answers (`chosen` and `rejected`, …) beside a prompt: texts, one turn each, or the answer's turns;
- the same columns with whole conversations, as lists of turns or as "Human: … Assistant: …" texts, which must differ in their last
  answer alone;
- two columns in no order (`response_a` and `response_b`, …) with a verdict in a third column (`winner`, `preference`, …);
- one column with several scored or ranked answers (`completions`, `answers`, …): the best is chosen, the worst is rejected.

The prompt is read by tasks/sources/adapters.py, like that of any other row.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from tasks.schema.records import Message
from tasks.sources.adapters import ANSWERS, REQUESTS, TURNS, messages_of
from tasks.sources.turns import ANSWERED_KEYS, ROLE_KEYS, TEXT_KEYS, Misfit, decoded, is_null, kind, normal, plain, text_of

_SIDES = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("accepted", "rejected"),
    ("preferred", "dispreferred"),
    ("response_j", "response_k"),
)
_SCORES = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
    ("rating_chosen", "rating_rejected"),
    ("chosen_avg_rating", "rejected_avg_rating"),
)
_UNORDERED = (
    ("conversation_a", "conversation_b"),
    ("response_a", "response_b"),
    ("answer_a", "answer_b"),
    ("response_1", "response_2"),
    ("output_1", "output_2"),
    ("response_0", "response_1"),
    ("human_ref_a", "human_ref_b"),
)
_FIRST, _SECOND, _TIE = "first", "second", "tie"
_WINNERS: Mapping[str, str] = {
    **dict.fromkeys(("model_a", "a", "response_a", "first", "response_1"), _FIRST),
    **dict.fromkeys(("model_b", "b", "response_b", "second", "response_2"), _SECOND),
    **dict.fromkeys(("tie", "tie_(bothbad)", "both_bad", "bothbad", "both_good", "draw", "equal"), _TIE),
}
_LISTS = ("completions", "responses", "answers", "generations")
_RATINGS = ("overall_score", "score", "rating", "reward")
_HUMAN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


class TiedPreference(Misfit):
    """Neither answer of the row is better."""


class Preference(NamedTuple):
    """One preference pair, as the source has it."""

    prompt: tuple[Message, ...]  # ends with the user's turn
    chosen: str
    rejected: str


def preference_of(row: Mapping[str, object]) -> Preference:
    """The pair of a row. Raises TiedPreference if neither answer is better, and Misfit for a row that cannot be read."""
    names = {normal(name): name for name in reversed(list(row))}
    better, worse, used = _ordered(row, names)
    rest = {name: value for name, value in row.items() if name not in used}
    chosen, rejected = (_conversation(rest, names, field, value) for field, value in (better, worse))
    prompt, other = chosen[:-1], rejected[:-1]
    pairs = enumerate(zip_longest(prompt, other))
    if (place := next((place for place, (one, two) in pairs if _differs(one, two)), None)) is not None:
        raise Misfit(f"{better[0]} and {worse[0]} differ from turn {place} on; only their last answers may differ")
    if chosen[-1].content.strip() == rejected[-1].content.strip():
        raise TiedPreference(f"{better[0]} and {worse[0]} are the same text")
    return Preference(prompt, chosen[-1].content, rejected[-1].content)


_Side = tuple[str, object]  # name of the field, value


def _ordered(row: Mapping[str, object], names: Mapping[str, str]) -> tuple[_Side, _Side, set[str]]:
    """The better answer, the worse answer, and the columns that hold them."""
    for better, worse in _SIDES:
        if better in names and worse in names:
            _check_scores(row, names)
            one, two = names[better], names[worse]
            return (one, row[one]), (two, row[two]), {one, two}
    for first, second in _UNORDERED:
        if first in names and second in names and (won := _winner(row, names)):
            one, two = names[first], names[second]
            if won == _TIE:
                raise TiedPreference(f"neither {one} nor {two} is preferred")
            sides: tuple[_Side, _Side] = ((one, row[one]), (two, row[two]))
            return (*(sides if won == _FIRST else (sides[1], sides[0])), {one, two})
    for name in _LISTS:
        if name in names and isinstance(decoded(row[names[name]]), list | tuple):
            return (*_best_and_worst(names[name], decoded(row[names[name]])), {names[name]})
    raise Misfit(f"no preference: columns such as chosen and rejected are wanted; there are {', '.join(list(row)[:8])}")


def _check_scores(row: Mapping[str, object], names: Mapping[str, str]) -> None:
    """Raises TiedPreference for equal scores, Misfit if the rejected answer has the higher one."""
    for one, two in _SCORES:
        if one in names and two in names:
            better, worse = (_number(plain(row[names[name]])) for name in (one, two))
            if better is not None and worse is not None and better <= worse:
                if better == worse:
                    raise TiedPreference(f"{names[one]} and {names[two]} are equal: {better:g}")
                raise Misfit(f"{names[one]}: {better:g} is below {names[two]}, {worse:g}")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and not is_null(value) else None


def _winner(row: Mapping[str, object], names: Mapping[str, str]) -> str:
    """Which of two unordered answers is better; empty if no column says so. Raises Misfit for an unknown verdict."""

    def value(column: str) -> object:
        return plain(row[names[column]]) if column in names else None

    if not is_null(won := value("winner")):
        if isinstance(won, str) and (known := _WINNERS.get(normal(won))):
            return known
        raise Misfit(f"{names['winner']}: model_a, model_b or tie is wanted, got {kind(won)}")
    flags = [value(name) for name in ("winner_model_a", "winner_model_b", "winner_tie")]
    if flags.count(1) == 1:
        return (_FIRST, _SECOND, _TIE)[flags.index(1)]
    if isinstance(strength := value("preference_strength"), int | float):
        return _TIE if strength == 0 else _FIRST if strength < 0 else _SECOND
    if (best := value("better_response_id")) in (0, 1):
        return (_FIRST, _SECOND)[int(str(int(best)))]
    if (number := value("preference")) in (1, 2):
        return _FIRST if number == 1 else _SECOND
    if (label := value("labels")) in (0, 1):  # 1: the first is better
        return _FIRST if label == 1 else _SECOND
    return ""


def _best_and_worst(name: str, answers: object) -> tuple[_Side, _Side]:
    """The answers with the highest and the lowest score. Answers without a score are left out. Raises TiedPreference, Misfit."""
    assert isinstance(answers, Sequence)
    scored = [(score, place, answer) for place, answer in enumerate(map(plain, answers)) if (score := _score(answer)) is not None]
    if len(scored) < 2:
        raise Misfit(f"{name}: two answers with a score ({', '.join(_RATINGS)}) or a rank are wanted, got {len(scored)}")
    best, worst = max(scored, key=lambda one: one[0]), min(scored, key=lambda one: one[0])
    if best[0] == worst[0]:
        raise TiedPreference(f"{name}: all scores are {best[0]:g}")
    one, two = ((f"{name}.{place}", _answer_text(answer, f"{name}.{place}")) for _, place, answer in (best, worst))
    return one, two


def _score(answer: object) -> float | None:
    if not isinstance(answer, Mapping):
        return None
    keys = {normal(name): name for name in reversed(list(answer))}
    for sign, columns in ((1, _RATINGS), (-1, ("rank",))):
        for column in columns:
            if column in keys and (value := _number(plain(answer[keys[column]]))) is not None:
                return sign * value
    return None


def _answer_text(answer: object, where: str) -> str:
    assert isinstance(answer, Mapping)
    keys = {normal(name): name for name in reversed(list(answer))}
    key = next((keys[key] for key in (*ANSWERED_KEYS, *TEXT_KEYS) if key in keys and not is_null(answer[keys[key]])), None)
    if key is None:
        raise Misfit(f"{where}.response: missing field")
    return text_of(plain(answer[key]), f"{where}.{key}")


def _conversation(rest: Mapping[str, object], names: Mapping[str, str], field: str, value: object) -> tuple[Message, ...]:
    """The prompt and one answer. `rest`: the row without its answers."""
    value = decoded(value)
    prompts = {name for column, name in names.items() if column in (*TURNS, *REQUESTS, "input", "task") and not is_null(rest.get(name))}
    if isinstance(value, Mapping) and not set(map(normal, value)).isdisjoint(ROLE_KEYS):
        value = [value]
    if isinstance(value, str) and not prompts and _HUMAN.match(value.lstrip()):
        value = _spoken(value)
    beside = {name: given for name, given in rest.items() if normal(name) not in (*TURNS, *REQUESTS, *ANSWERS)}
    if isinstance(value, list | tuple):
        turns = messages_of({"messages": value} if not prompts else {**beside, "messages": value})
        if any(turn.role != "assistant" for turn in turns):
            return _ending(turns, field)
        value = turns[-1].content if len(turns) == 1 else None
        if value is None:
            raise Misfit(f"{field}: {len(turns)} turns of the assistant, one answer is wanted")
    text = text_of(value, field)
    return _ending((*_prompt(rest, text), Message(role="assistant", content=text)), field)


def _prompt(rest: Mapping[str, object], answer: str) -> tuple[Message, ...]:
    """The turns before the answer. A list of turns may repeat the chosen answer at its end."""
    bare = {name: value for name, value in rest.items() if normal(name) not in ANSWERS}
    turns = next((name for name in bare if normal(name) in TURNS and not is_null(bare[name])), None)
    listed = turns or next((name for name in bare if normal(name) in REQUESTS and isinstance(decoded(bare[name]), list | tuple)), None)
    if listed is None:
        return messages_of({**bare, "response": answer})[:-1]
    before = messages_of({**bare, "response": answer})
    return before[:-1] if before[-1].role == "assistant" else before


def _spoken(text: str) -> list[dict[str, str]]:
    """The turns of a text with the marks `Human:` and `Assistant:`."""
    _, *parts = _HUMAN.split(text.lstrip())
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2], strict=True)]


def _ending(turns: tuple[Message, ...], field: str) -> tuple[Message, ...]:
    if len(turns) < 2 or turns[-1].role != "assistant" or turns[-2].role != "user":
        raise Misfit(f"{field}: an answer of the assistant to the user is wanted at its end, got {' '.join(turn.role for turn in turns)}")
    return turns


def _differs(one: Message | None, two: Message | None) -> bool:
    return one is None or two is None or one.role != two.role or one.content.strip() != two.content.strip()
