"""Read the training texts of a study: the pipeline's dataset, or recorded answers of other models in files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tasks.corpus.dataset import FILE, read_dataset
from tasks.evaluation.answer_rows import RESPONSES
from tasks.evaluation.recorded import PROMPTS
from tasks.longbench.benchmark import BenchmarkRow, entries, language_of
from tasks.schema.records import Language, Message, Sample
from tasks.text.counts import count_words
from tasks.text.cutting import up_to


def within(sample: Sample, cap: int, *, over: Literal["drop", "cut"]) -> Sample | None:
    """The sample if its text has at most `cap` words. Otherwise None, or with `cut` the text up to the last sentence end within the cap.

    None also if not even one sentence fits.
    """
    if sample.written_words <= cap:
        return sample
    if over == "drop":
        return None
    *before, answer = sample.messages
    text = up_to(answer.content, cap)
    if not (words := count_words(text)):
        return None
    messages = (*before, answer.model_copy(update={"content": text}))
    return sample.model_copy(update={"messages": messages, "written_words": words, "paragraphs": text.count("\n\n") + 1})


def read_texts(path: Path) -> Iterator[Sample]:
    """The samples of a dataset folder, or one sample per row of a JSONL file, a folder of JSONL files or a glob.

    The prompt of a row is `prompt` or `instruction`, its answer `response`, `output`, `answer` or `prediction`, as in
    `longwriter eval score`. Rows with an empty answer are skipped. Raises BadInput with line and field at the first row without a
    prompt or an answer field, or with an answer in a language other than en and zh.
    """
    if (path / FILE).is_file():
        yield from (sample.model_copy(update={"trace": None}) for sample in read_dataset(path))  # an arm may cut a text, not its trace
        return
    for entry in entries(path):
        prompt, answer = entry.text(*PROMPTS), entry.text(*RESPONSES, empty=True)
        if words := count_words(answer):
            identity = hashlib.sha256(f"{prompt}\0{answer}".encode()).hexdigest()[:12]
            said = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
            yield Sample(
                id=identity,
                messages=said,
                language=_language(answer, entry),
                asked_words=None,
                written_words=words,
                paragraphs=answer.count("\n\n") + 1,
                source=f"{entry.path.name}:{entry.line}",
            )


def _language(answer: str, entry: BenchmarkRow) -> Language:
    """The language of an answer. Raises BadInput for a language other than en and zh."""
    told = language_of(answer)
    if told not in ("en", "zh"):
        raise entry.bad(next(name for name in RESPONSES if entry.has(name)), f"written in {told}; the study trains on texts in en and zh")
    return "zh" if told == "zh" else "en"
