"""`longwriter write`: AgentWrite on one instruction, shown while it is written, then saved.

Plan and paragraphs are the requests that the stages plan and write send. Each paid reply is in the journal, so after a kill the same
command shows what was written and goes on from there.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from rich.console import Console

from tasks import store
from tasks.agentwrite.estimate import EndpointPace, estimate_one
from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.agentwrite.planner import make_plan
from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import Chat
from tasks.endpoints.ledger import RoleTotals
from tasks.endpoints.roles import open_role
from tasks.interactive.chosen_model import ChosenModel
from tasks.interactive.documents import Chapter, Document, save, title_of
from tasks.interactive.draft_screen import DraftScreen
from tasks.progress import span
from tasks.schema.errors import BadInput, ReplyError
from tasks.schema.params import Params
from tasks.schema.records import Draft, Instruction, Language, Plan
from tasks.schema.settings import settings
from tasks.text.counts import count_words, s_l
from tasks.text.languages import language_of
from tasks.text.length_requests import parse_length_request

SLUG = 40  # characters of a prompt in the name of its file
ASSUMED = EndpointPace(1.0, 50.0, "assumed")


class Written(NamedTuple):
    """What was written and what it took. `dollars` is None without a price for the model."""

    draft: Draft
    plan: Plan
    account: RoleTotals
    dollars: float | None
    seconds: float

    @property
    def words(self) -> int:
        return sum(map(count_words, self.draft.paragraphs))

    @property
    def document(self) -> Document:
        """The text with its chapters, if the plan has some."""
        asked, text = self.draft.instruction, "\n\n".join(self.draft.paragraphs)
        chapters = [Chapter("", text)]
        if self.plan.chapters:
            chapters = [Chapter(head.point, self._chapter(number)) for number, head in enumerate(self.plan.chapters, 1)]
        return Document(title_of(asked.text, text), asked.language, chapters)

    def _chapter(self, number: int) -> str:
        pairs = zip(self.draft.steps, self.draft.paragraphs, strict=True)
        return "\n\n".join(paragraph for step, paragraph in pairs if step.chapter == number)


def instruction_of(text: str, *, words: int | None) -> Instruction:
    """The instruction with its length and language. Raises BadInput for a prompt without a length, and for other languages."""
    text = text.strip()
    if not text:
        raise BadInput("instruction", "is empty", fix='say what to write: longwriter write "A 2,000-word guide to sourdough"')
    request = parse_length_request(text)
    asked = words or request.target
    if not asked:
        raise BadInput("instruction", "names no length", fix="name one in it, such as `a 2,000-word guide`, or add --words 2000")
    language = language_of(text)
    if language not in get_args(Language):
        problem = f"its language is {language}; AgentWrite's prompts are in {' and '.join(get_args(Language))}"
        raise BadInput("instruction", problem, fix="write the instruction in one of them")
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    given: dict[str, object] = {"id": digest, "text": text, "language": language, "words": asked, "source": "command line"}
    if request.target == asked:
        given["length_kind"] = request.kind
    return Instruction.model_validate(given)


def path_for(text: str) -> Path:
    """A Markdown file in this folder, named by the prompt's first words, that is not there yet."""
    letters = "".join(sign if sign.isalnum() else "-" for sign in text.lower())
    slug = "-".join(filter(None, letters.split("-")))[:SLUG].strip("-") or "text"
    path, number = Path(f"{slug}.md"), 1
    while path.exists():
        number += 1
        path = Path(f"{slug}-{number}.md")
    return path


def expected_cost(instruction: Instruction, chosen: ChosenModel, params: Params) -> str:
    """The expected cost in dollars; empty without a price."""
    price = settings().prices.get(chosen.model.name)
    if price is None:
        return ""
    work = estimate_one(instruction, plan=params.plan, write=params.write.text_only, pace=ASSUMED, max_tokens=chosen.model.max_tokens)
    return f"${work.dollars(price, cache=True):.4f}"


async def write_text(
    instruction: Instruction, chosen: ChosenModel, params: Params, *, console: Console, take: int, partial: Path, expected: str
) -> Written:
    """Plan and write. What is written when it fails or is interrupted goes to `partial`.

    Raises ReplyError if there is no usable plan or paragraph, and the errors of endpoints.
    """
    model = chosen.model
    if take > 1:  # another identity, so that the journal's replies to the first take are not used
        model = model.model_copy(update={"revision": f"{model.revision} take {take}".strip()})
    priced = model.name in settings().prices
    async with open_role(chosen.role, model, checkpoint=chosen.checkpoint, url=chosen.url, transport="direct") as chat:
        screen = DraftScreen(console, asked=instruction.words, account=lambda: chat.account, expected=expected, priced=priced)
        try:
            with screen:
                plan = await _planned(chat, instruction, params)
                screen.planned(plan)
                draft = await write_draft(
                    chat,
                    plan,
                    write=params.write.text_only,
                    bounds=params.plan.paragraph_words,
                    see=screen.see,
                    max_tokens=model.max_tokens,
                )
                if isinstance(draft, Unwritable):
                    fix = f"try --take {take + 1} or another model, or raise write.tries"
                    raise ReplyError(f"{draft.detail}; no reply was usable; fix: {fix}")
                screen.finished(draft.paragraphs)
        except BaseException:
            _keep(screen.paragraphs, partial)
            raise
        return Written(draft, plan, chat.account, chat.account.dollars if priced else None, screen.seconds)


async def _planned(chat: Chat, instruction: Instruction, params: Params) -> Plan:
    try:
        return await make_plan(chat, instruction, plan=params.plan)
    except ReplyError as error:
        fix = "try --take 2 for other samples, or another model; small models need plan.format bounded (--profile smollm2)"
        raise type(error)(f"no usable plan: {error}; {fix}") from None


def _keep(paragraphs: dict[int, str], partial: Path) -> None:
    """Save the paragraphs from the first one on, as far as there is no gap."""
    whole: list[str] = []
    while len(whole) + 1 in paragraphs:
        whole.append(paragraphs[len(whole) + 1])
    if whole:
        store.write_text(partial, "\n\n".join(whole) + "\n")
        print(f"{len(whole)} paragraphs so far are in {partial}; the same command goes on from there", file=sys.stderr, flush=True)


def save_all(written: Written, paths: Sequence[Path]) -> None:
    """Write every file."""
    for path in paths:
        save(written.document, path)


def closing(written: Written, paths: Sequence[Path]) -> str:
    """The last line: words against the asked ones, calls, cost, files."""
    asked, account = written.draft.instruction.words, written.account
    paid = f"{account.calls} calls paid" + (f", {account.replayed} from the journal" if account.replayed else "")
    dollars = "" if written.dollars is None else f", ${written.dollars:.4f}"
    score = s_l(asked, written.words)
    return (
        f"{written.words:,} words of {asked:,} (S_l {score:.1f}); {paid}{dollars}; {span(written.seconds)}\n"
        f"saved: {', '.join(map(str, paths))}"
    )


def record(written: Written, paths: Sequence[Path]) -> dict[str, object]:
    """The text and the figures as plain data."""
    asked, account = written.draft.instruction, written.account
    return {
        "title": written.document.title,
        "text": written.document.text,
        "asked": asked.words,
        "words": written.words,
        "s_l": s_l(asked.words, written.words),
        "plan": [step.model_dump() for step in written.plan.steps],
        "files": [str(path) for path in paths],
        "calls": account.calls,
        "from_journal": account.replayed,
        "dollars": written.dollars,
        "seconds": round(written.seconds, 2),
    }
