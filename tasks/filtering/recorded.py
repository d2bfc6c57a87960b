"""Check a recorded answer with the rules for a teacher's paragraphs and for whole drafts, before it is taken as a training text."""

from collections.abc import Mapping

from tasks.agentwrite.paragraph_checks import Earlier, find_fault
from tasks.agentwrite.recorded import paragraphs_of
from tasks.contracts.measures import repetition
from tasks.corpus.filters import Fault
from tasks.endpoints.chat import Reply
from tasks.schema.records import Instruction, Language, Reason, Usage
from tasks.sources.adapters import messages_of
from tasks.sources.turns import Misfit
from tasks.text.cleaning import repeated
from tasks.text.counts import count_words
from tasks.text.degeneration import looped
from tasks.text.prompt_leak import leaked
from tasks.text.thoughts import split_thoughts
from tasks.text.unrepeated import count_without_loops
from tasks.text.words import count_fixed
from tasks.text.wrong_language import other_language

AGAIN = 0.1  # share of words in repeated passages, or of sentences that occur again, over which a text repeats itself


def recorded_answer(row: Mapping[str, object], adapter: str) -> str:
    """The first answer of a row, without thoughts. Raises Misfit if the row has none."""
    turns = messages_of(row, adapter)
    first = next((place for place, turn in enumerate(turns) if turn.role == "user"), len(turns))
    answer = next((turn.content for turn in turns[first:] if turn.role == "assistant"), None)
    if answer is None:
        raise Misfit("the row has no answer: a recorded teacher needs rows with a prompt and its answer")
    return split_thoughts(answer).text


def text_fault(text: str, prompt: str, language: str, *, words: int) -> Fault | None:
    """The first fault of a recorded text: the checks of a written draft, and loops and repetition in the whole text."""
    if language not in ("en", "zh"):
        return Reason.LANGUAGE, f"written in {language}"
    known: Language = "zh" if language == "zh" else "en"
    if evidence := other_language(text, known):
        return Reason.LANGUAGE, evidence
    if evidence := leaked(text, request=prompt, language=known):
        return Reason.LEAKED_PROMPT, evidence
    if fault := _repetition(text):
        return fault
    earlier = Earlier(Instruction(id="", text=prompt, language=known, words=words, source=""), "")
    for paragraph in paragraphs_of(text):
        reply = Reply(paragraph, "stop", Usage(0, 0), 0.0)
        if found := find_fault(reply, earlier, asked=max(1, count_words(paragraph))):
            return found.reason, found.detail
        earlier.add(paragraph)
    return None


def _repetition(text: str) -> Fault | None:
    if share := looped(text):
        return Reason.REPEATED, f"{share:.0%} of its words are in loops"
    written = count_fixed(text)
    if written and (share := 1 - count_without_loops(text, written=written) / written) > AGAIN:
        return Reason.REPEATED, f"{share:.0%} of its words repeat earlier passages"
    if (share := repetition(text)) > AGAIN:
        return Reason.REPEATED, f"{share:.0%} of its sentences occur before in it"
    if evidence := repeated(paragraphs_of(text)):
        return Reason.REPEATED, evidence
    return None
