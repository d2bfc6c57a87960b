"""`longwriter eval contradictions` and `contradiction-exam`: contradictions in recorded texts, and how well the judge finds them.

The judge is that of params.yaml with replies of at least REPLY tokens. Calls and dollars are printed before the first call; every reply is
in the journal, so an interrupted command goes on where it ended, and the same command again costs nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.endpoints.allowance import Forecast, SpendLimit
from tasks.endpoints.chat import Chat
from tasks.evaluation.judge_exam import ExamTexts, ask_judge, exam_texts
from tasks.evaluation.recorded import read_without_lengths
from tasks.judging.contradiction_card import (
    EXAMS,
    ContradictionCard,
    ContradictionReport,
    ExaminedText,
    JudgedWhole,
    card_file,
    card_of,
    figures,
    write_card,
)
from tasks.judging.contradiction_plants import SHORTEST, PlantedAnswer, plant
from tasks.judging.contradictions import (
    CONTEXT,
    PART,
    REPLY,
    JudgedText,
    JudgeReach,
    ReadText,
    by_text,
    check_read,
    judge_parts,
    prompt_digest,
    requests,
    windows,
)
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, Params
from tasks.schema.records import Draft, JudgedPart
from tasks.text.topics import topic_of
from tasks.text.words import count_fixed

PLAIN = (".txt", ".md")  # a file that is one text
OWN, PLANTED = "answer", "planted"  # names of an exam's texts


class ContradictionOptions(NamedTuple):
    """Options of both commands."""

    part: int = PART  # words
    context: int = CONTEXT  # tokens of the judge's context
    format: str | None = None
    limit: SpendLimit = SpendLimit()
    estimate: bool = False  # print the cost and stop
    out: Path | None = None  # contradictions: folder for its files; exam: folder of the cards
    texts: int = 50  # of the exam


class Reported(NamedTuple):
    """The report and the readings behind it; None and nothing if only the cost was asked for."""

    report: ContradictionReport | None
    parts: Sequence[JudgedPart]
    cost: Forecast


class ExaminedJudge(NamedTuple):
    """The card and its file; both None if only the cost was asked for."""

    card: ContradictionCard | None
    path: Path | None
    cost: Forecast


class _Text(NamedTuple):
    """What is remembered of a text."""

    words: int
    characters: int
    topic: str
    windows: int


def contradictions(source: Path, *, params: Params, options: ContradictionOptions, say: Callable[[str], None]) -> Reported:
    """Judges every text of a file or folder. `say` prints the cost before the first call.

    Raises BadInput without a judge or without a text, SpendCapReached if it may cost more than the limit, ReplyError if no part could be
    read.
    """
    judge = _judge(params, options)
    reach = _reach(judge, options)
    known: dict[tuple[str, str, int], _Text] = {}
    for one in texts_of(source, options.format):
        known[one.id, one.model, one.sample] = _Text(count_fixed(one.text), len(one.text), one.topic, len(windows(one.text, reach)))
    if not known:
        raise BadInput(source, "no texts", fix="give an evaluation's folder, drafts, recorded answers, or a .txt or .md file")
    words, count = sum(text.words for text in known.values()), sum(text.windows for text in known.values())
    say(f"looks for contradictions by {_name(judge)}\nin {len(known):,} texts, {words:,} words, {count:,} parts, from {source}")
    judged, cost = _read(lambda: texts_of(source, options.format), judge, reach, params.judge.tries, count, options, say)
    if options.estimate:
        return Reported(None, (), cost)
    report = _report(known, judged, judge=_name(judge), source=str(source), options=options)
    if options.out:
        store.write(options.out / "parts.jsonl", judged)
        store.write_json(options.out / "contradictions.json", report)
    return Reported(report, judged, cost)


def texts_of(source: Path, format: str | None) -> Iterator[JudgedText]:
    """The texts of a .txt or .md file, of drafts, of an evaluation's folder or of recorded answers, one after another.

    Raises BadInput for a row that cannot be read.
    """
    if source.suffix in PLAIN and source.is_file():
        text = source.read_text(encoding="utf-8", errors="replace")
        yield JudgedText(source.name, source.stem, 0, source.name, text)
        return
    drafts = source / "drafts.jsonl" if (source / "drafts.jsonl").is_file() else source
    if drafts.name == "drafts.jsonl":
        for draft in store.read(drafts, Draft):
            asked = draft.instruction
            yield JudgedText(asked.id, drafts.name, 0, topic_of(asked.text, asked.words), "\n\n".join(draft.paragraphs), asked.text)
        return
    for one in read_without_lengths(source, format=format):
        topic = one.topic or topic_of(one.item.prompt, one.item.length)
        yield JudgedText(one.item.id, one.model or source.name, one.sample, topic, one.response, one.item.prompt)


def contradiction_exam(answers: Path | None, *, params: Params, options: ContradictionOptions, say: Callable[[str], None]) -> ExaminedJudge:
    """Plants contradictions into recorded answers and asks the judge for them. `say` prints the cost before the first call.

    Raises BadInput without a judge or with fewer than six usable answers, SpendCapReached if it may cost more than the limit, ReplyError
    if no part could be read.
    """
    judge = _judge(params, options)
    reach = _reach(judge, options)
    found = exam_texts(answers, params, format=options.format, count=options.texts, shortest=SHORTEST)
    planted = [plant(one.text, one.item.language, place=number) for number, one in enumerate(found.texts)]
    texts = list(_exam_texts(found, planted))
    plants, count = sum(len(one.plants) for one in planted), sum(len(windows(one.text, reach)) for one in texts)
    words = sum(count_fixed(one.text) for one in found.texts)
    say(f"examines {_name(judge)}\nby {plants} contradictions in {len(planted)} answers, {words:,} words, from {found.source}")
    judged, cost = _read(lambda: iter(texts), judge, reach, params.judge.tries, count, options, say)
    if options.estimate:
        return ExaminedJudge(None, None, cost)
    card = card_of(
        list(_examined(found, planted, judged)),
        judge=_name(judge),
        source=found.source,
        part=reach.part,
        context=reach.context,
        refused=sum(len(part.replies) - (part.found is not None) for part in judged),
        calls=sum(len(part.replies) for part in judged),
    )
    return ExaminedJudge(card, write_card(options.out or EXAMS, card), cost)


def _exam_texts(found: ExamTexts, planted: Sequence[PlantedAnswer]) -> Iterator[JudgedText]:
    for number, (one, plants) in enumerate(zip(found.texts, planted, strict=True)):
        yield JudgedText(one.item.id, OWN, number, one.topic, one.text)
        yield JudgedText(one.item.id, PLANTED, number, one.topic, plants.text)


def _examined(found: ExamTexts, planted: Sequence[PlantedAnswer], judged: Iterable[JudgedPart]) -> Iterator[ExaminedText]:
    read = {(one.model, one.sample): one for one in by_text(judged)}
    for number, (one, plants) in enumerate(zip(found.texts, planted, strict=True)):
        yield ExaminedText(count_fixed(one.text), plants.plants, read[OWN, number], read[PLANTED, number])


def _read(
    texts: Callable[[], Iterator[JudgedText]],
    judge: Model,
    reach: JudgeReach,
    tries: int,
    count: int,
    options: ContradictionOptions,
    say: Callable[[str], None],
) -> tuple[list[JudgedPart], Forecast]:
    """The readings of `count` parts and their cost; none if only the cost is asked for. Raises ReplyError if no part could be read."""
    from tasks.stage import run_async

    spool, name = store.Spool(), _name(judge)

    async def work(chat: Chat) -> None:
        await judge_parts(chat, texts(), spool, reach=reach, count=count, tries=tries, judge=name, label="contradictions")

    asked = requests((one.text for one in texts()), reach)
    cost = run_async(ask_judge(judge, asked, work, limit=options.limit, estimate=options.estimate, say=say))
    judged = list(spool.records(JudgedPart))
    check_read(judged)
    return judged, cost


def _judge(params: Params, options: ContradictionOptions) -> Model:
    """The judge of params, with replies that have room for a list of quotes."""
    judge = params.models.judge
    if judge is None:
        raise BadInput("params.yaml", "null: nobody looks for contradictions", field="models.judge", fix="name a judge")
    return judge.model_copy(update={"max_tokens": max(REPLY, judge.max_tokens)})


def _reach(judge: Model, options: ContradictionOptions) -> JudgeReach:
    reach = JudgeReach(options.part, options.context, judge.max_tokens)
    if reach.room <= 0:
        problem = f"{options.context:,} tokens: the prompt and a reply of {judge.max_tokens:,} tokens leave no room for a text"
        raise BadInput("--context", problem, fix="give the judge's real context")
    return reach


def _name(judge: Model) -> str:
    return f"{judge}, prompt {prompt_digest()[:8]}"


def _report(
    known: dict[tuple[str, str, int], _Text], judged: Sequence[JudgedPart], *, judge: str, source: str, options: ContradictionOptions
) -> ContradictionReport:
    read = {(one.id, one.model, one.sample): one for one in by_text(judged)}
    models: dict[str, list[JudgedWhole]] = {}
    for key, text in known.items():
        said = read.get(key) or ReadText(*key, found=(), parts=0, unread=0)  # a text without words has no parts
        models.setdefault(key[1], []).append(JudgedWhole(said, text.words, text.characters, text.topic))
    card = card_file(EXAMS, judge)
    return ContradictionReport(
        judge=judge,
        source=source,
        part=options.part,
        context=options.context,
        exam=str(card) if card else None,
        calls=sum(len(part.replies) for part in judged),
        models={model: figures(texts) for model, texts in models.items()},
    )
