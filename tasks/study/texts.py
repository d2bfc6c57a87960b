"""The texts that a study trains on: the pipeline's dataset, or recorded answers of other models, given as files."""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tasks.corpus.dataset import FILE, read_dataset
from tasks.evaluation.answer_rows import RESPONSES
from tasks.evaluation.recorded import PROMPTS
from tasks.longbench.benchmark import Entry, entries, language_of
from tasks.schema.records import Language, Message, Sample
from tasks.text.counts import count_words

ENDS = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？…]+[”’」』）]*|\n")  # of sentences and of lines


def within(sample: Sample, cap: int, *, over: Literal["drop", "cut"]) -> Sample | None:
    """The sample if its text has at most `cap` words; else None, or with `cut` what ends behind the last sentence within them."""
    if sample.written_words <= cap:
        return sample
    if over == "drop":
        return None
    *before, answer = sample.messages
    ends = [found.end() for found in ENDS.finditer(answer.content)]
    last = bisect_right(ends, cap, key=lambda end: count_words(answer.content[:end]))
    text = answer.content[: ends[last - 1]].rstrip() if last else ""
    if not (words := count_words(text)):
        return None
    messages = (*before, answer.model_copy(update={"content": text}))
    return sample.model_copy(update={"messages": messages, "written_words": words, "paragraphs": text.count("\n\n") + 1})


def read_texts(path: Path) -> Iterator[Sample]:
    """The samples of a dataset's folder; else a sample of each row of a JSONL file, a folder of them or a glob, that has an answer.

    A row's prompt is `prompt` or `instruction`, its answer `response`, `output`, `answer` or `prediction`, as in `longwriter eval score`;
    rows with a blank answer are no texts. Raises BadInput with the line and the field of the first row that lacks one.
    """
    if (path / FILE).is_file():
        yield from read_dataset(path)
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


def _language(answer: str, entry: Entry) -> Language:
    """Raises BadInput for a language that is not trained on."""
    told = language_of(answer)
    if told not in ("en", "zh"):
        raise entry.bad(next(name for name in RESPONSES if entry.has(name)), f"written in {told}; the study trains on texts in en and zh")
    return "zh" if told == "zh" else "en"
