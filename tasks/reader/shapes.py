"""Reads a row of any known kind as what the page shows: ids, lengths, prompt and texts. Nothing is counted here.

Known kinds: the pipeline's records (instructions, plans, drafts, samples, predictions, pairs, rejects, scored items), recorded answers of
other tools (evaluation/answer_rows.py) and conversations of public datasets (sources/adapters.py). Any other row is shown as JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from tasks.schema.errors import BadInput
from tasks.schema.records import Step
from tasks.sources.turns import Misfit
from tasks.text.thoughts import split_thoughts

ANSWERS = (
    "response",
    "output",
    "answer",
    "prediction",
    "completion",
    "generated_text",
    "resps",
    "samples",
    "model_output",
    "choices",
    "body",
)
PROMPTS = ("prompt", "instruction", "query", "question", "input")
IDS = ("id", "uuid", "conversation_hash", "conversation_id", "idx", "index")
TITLE = 160  # characters

Row = Mapping[str, Any]


class Part(NamedTuple):
    """One text of a row."""

    title: str  # chosen, rejected, …; empty: the row's only text
    text: str
    thoughts: str = ""
    paragraphs: tuple[str, ...] = ()  # as they were written; empty: the text is split at blank lines
    s_l: float | None = None
    s_q: float | None = None


class Shape(NamedTuple):
    """A row as the page shows it. Lengths are in words."""

    kind: str
    id: str = ""
    sample: int = 0
    model: str = ""
    language: str = ""
    type: str = ""
    reason: str = ""  # of a reject
    asked: int | None = None
    written: int | None = None  # as recorded; None: it has to be counted
    s_l: float | None = None
    s_q: float | None = None
    prompt: str = ""
    parts: tuple[Part, ...] = ()
    steps: tuple[Step, ...] = ()  # the plan
    problem: str = ""  # why the row cannot be read

    @property
    def title(self) -> str:
        """One line for the list."""
        text = self.problem or self.prompt or (self.parts[0].text if self.parts else "") or self.id
        return " ".join(text[: 4 * TITLE].split())[:TITLE]

    @property
    def whole_text(self) -> str:
        """What is searched."""
        return "\n".join([self.prompt, *(part.text for part in self.parts), *(step.point for step in self.steps)])


def shape_of(data: Row | None, *, problem: str = "", model: str = "", where: Path = Path("row"), line: int = 1) -> Shape:
    """A row as a shape. `model` names the model if the row does not. Never raises: a row that is not understood says why, and is shown as
    JSON."""
    if data is None:
        return Shape("unreadable", reason="unreadable", problem=problem)
    for kind, (fits, read) in _KINDS.items():
        if fits(data):
            try:
                return read(data)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                return _raw(data, f"looks like a {kind}, but {type(error).__name__}: {error}", model=model)
    return _of_others(data, model, where, line)


def _of_others(data: Row, model: str, where: Path, line: int) -> Shape:
    """Recorded answers of other tools, then conversations, then anything."""
    problem = ""
    if any(name in data for name in ANSWERS):
        try:
            return _answer(data, model, where, line)
        except (BadInput, KeyError, TypeError, ValueError) as error:
            problem = str(error)
    try:
        return _conversation(data, model)
    except (Misfit, KeyError, TypeError, ValueError) as error:
        known = any(name in data for name in ("messages", "conversations", "conversation", "chosen"))
        return _raw(data, problem or (str(error) if known else ""), model=model)


def _raw(data: Row, problem: str, *, model: str = "") -> Shape:
    text = orjson.dumps(data, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    prompt = next((data[name] for name in PROMPTS if isinstance(data.get(name), str)), "")
    reason = "unreadable" if problem else ""
    return Shape(
        "row", _id(data), model=_str(data, "model") or model, prompt=prompt, parts=(Part("JSON", text),), reason=reason, problem=problem
    )


def _prediction(data: Row) -> Shape:
    item = data["item"]
    steps = _steps(data.get("plan"))
    return Shape(
        "prediction",
        str(item["id"]),
        int(data.get("sample") or 0),
        _str(data, "model"),
        _str(item, "language"),
        _str(item, "type"),
        asked=_int(item, "length"),
        prompt=_str(item, "prompt"),
        parts=(Part("", str(data["response"]), _str(data, "reasoning")),),
        steps=steps,
    )


def _instruction(data: Row) -> Shape:
    return Shape("instruction", _id(data), language=_str(data, "language"), asked=_int(data, "words"), written=0, prompt=str(data["text"]))


def _plan(data: Row) -> Shape:
    return _instruction(data["instruction"])._replace(kind="plan", steps=_steps(data["steps"]))


def _draft(data: Row) -> Shape:
    paragraphs = tuple(map(str, data["paragraphs"]))
    text = "\n\n".join(paragraphs)
    return _plan(data)._replace(kind="draft", written=None, parts=(Part("", text, paragraphs=paragraphs),))


def _sample(data: Row) -> Shape:
    shape = _conversation(data, "")
    if shape.parts and (trace := _str(data, "trace")):
        shape = shape._replace(parts=(shape.parts[0]._replace(thoughts=split_thoughts(trace).reasoning),))
    return shape._replace(kind="sample", asked=_int(data, "asked_words"), written=_int(data, "written_words"))


def _pair(data: Row) -> Shape:
    chosen, rejected = data["chosen"], data["rejected"]
    parts = tuple(
        Part(title, str(side["text"]), s_l=side.get("s_l"), s_q=side.get("s_q"))
        for title, side in (("chosen", chosen), ("rejected", rejected))
    )
    prompt = _turns([(str(turn["role"]), str(turn["content"])) for turn in data["prompt"]])
    return Shape(
        "pair",
        _id(data),
        asked=_int(data, "asked"),
        written=_int(chosen, "words"),
        s_l=chosen.get("s_l"),
        s_q=chosen.get("s_q"),
        prompt=prompt,
        parts=parts,
    )


def _reject(data: Row) -> Shape:
    where = _str(data, "source")
    return Shape(
        "reject",
        _str(data, "id") or where,
        model=str(data["stage"]),
        reason=str(data["reason"]),
        written=0,
        prompt=where,
        parts=(Part("evidence", str(data["detail"])),),
    )


def _scored(data: Row) -> Shape:
    text = orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()
    return Shape(
        "scored item", _id(data), int(data.get("sample") or 0), _str(data, "model"), _str(data, "language"), _str(data, "type"),
        asked=_int(data, "asked"), written=_int(data, "written"), s_l=data["s_l"], s_q=data.get("s_q"), parts=(Part("JSON", text),),
    )  # fmt: skip


def _verdict(data: Row) -> Shape:
    text = "\n\n".join(map(str, data["replies"])) or _str(data, "problem")
    return Shape(
        "verdict",
        _id(data),
        int(data.get("sample") or 0),
        _str(data, "model"),
        written=0,
        parts=(Part("the judge's reply", text),),
        prompt=_str(data, "judge"),
    )


def _answer(data: Row, model: str, where: Path, line: int) -> Shape:
    from tasks.evaluation.answer_rows import answers_in  # imports the evaluator
    from tasks.longbench.benchmark import BenchmarkRow

    found = list(answers_in(BenchmarkRow(data, where, line)))
    row = found[0].entry.data
    prompt = next((row[name] for name in PROMPTS if isinstance(row.get(name), str)), "")
    named = found[0].model or (_str(data, "model") if isinstance(data.get("model"), str) else "") or model
    parts = tuple(
        Part("" if len(found) == 1 else f"answer {number}", one.content.text, one.content.reasoning) for number, one in enumerate(found, 1)
    )
    try:
        steps = _steps(row.get("plan"))
    except (KeyError, TypeError, ValueError):
        steps = ()
    return Shape(
        "answer",
        _id(row) or _id(data),
        _int(data, "sample") or 0,
        named,
        _str(data, "language") if len(_str(data, "language")) == 2 else "",
        _str(row, "type"),
        asked=_int(row, "length"),
        prompt=str(prompt),
        parts=parts,
        steps=steps,
    )


def _conversation(data: Row, model: str) -> Shape:
    from tasks.sources.adapters import messages_of

    messages = [(message.role, message.content) for message in messages_of(data)]
    last = next((place for place in range(len(messages) - 1, -1, -1) if messages[place][0] == "assistant"), None)
    prompt = _turns(messages if last is None else messages[:last])
    parts = () if last is None else (Part("", messages[last][1]),)
    language = _str(data, "language")
    return Shape(
        "conversation",
        _id(data),
        model=_str(data, "model") or model,
        language=language if len(language) == 2 else "",
        prompt=prompt,
        parts=parts,
    )


def _turns(turns: Sequence[tuple[str, str]]) -> str:
    """(role, text) of turns as one text; a single turn as it is."""
    return turns[0][1] if len(turns) == 1 else "\n\n".join(f"[{role}] {text}" for role, text in turns)


def _steps(value: Any) -> tuple[Step, ...]:
    return tuple(Step.model_validate_json(orjson.dumps(step)) for step in value or ())


def _id(data: Row) -> str:
    return next((str(data[name]) for name in IDS if isinstance(data.get(name), str | int)), "")


def _str(data: Row, name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _int(data: Row, name: str) -> int | None:
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _has(*names: str, **kinds: type) -> Callable[[Row], bool]:
    def fits(data: Row) -> bool:
        return all(name in data for name in names) and all(isinstance(data.get(name), kind) for name, kind in kinds.items())

    return fits


_KINDS: dict[str, tuple[Callable[[Row], bool], Callable[[Row], Shape]]] = {  # what fits a kind, and what reads it; the first that fits
    "prediction": (_has("model", item=dict, response=str), _prediction),
    "draft": (_has("steps", instruction=dict, paragraphs=list), _draft),
    "plan": (_has(instruction=dict, steps=list), _plan),
    "sample": (_has("asked_words", "written_words", "messages"), _sample),
    "pair": (_has(prompt=list, chosen=dict, rejected=dict), _pair),
    "reject": (_has("id", stage=str, reason=str, detail=str), _reject),
    "verdict": (_has("rubric", "judge", replies=list), _verdict),
    "scored item": (_has("s_l", "asked", "written", "model"), _scored),
    "instruction": (_has("words", text=str, language=str), _instruction),
}
