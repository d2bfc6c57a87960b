"""Predict which thresholds a small set of prompts cannot reach, all at once, before any paid call."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tasks.schema.errors import BadInput
from tasks.schema.params import Params
from tasks.sources.files import files_of
from tasks.sources.reading import raw_prompts_of
from tasks.text.languages import language_of
from tasks.text.length_requests import parse_length_request

SMALL = 4 * 2**20  # bytes of all local sources; larger sources are not read here


def refusals(params: Params) -> list[str]:
    """One line, with the key in params.yaml, per threshold that these prompts cannot reach. Empty for large or remote sources.

    The number of usable prompts is an upper bound: later stages may reject more.
    """
    collect = params.collect
    if any(entry.place != "local" for entry in collect.sources):
        return []
    files = [file for entry in collect.sources for file in files_of(entry, Path(collect.folder))]
    if sum(file.nbytes for file in files) > SMALL:
        return []
    try:
        texts = [ask.text for file in files for ask in raw_prompts_of(file)]
    except BadInput:
        return []  # collect reports unreadable rows and allows collect.max_malformed of them
    return list(_refusals(texts, params))


def _refusals(texts: list[str], params: Params) -> Iterator[str]:
    words = params.collect.words
    asked = [parse_length_request(text).target for text in texts]
    recorded = params.collect.recorded  # the prompts get a new length request
    fits = [text for text, target in zip(texts, asked, strict=True) if recorded or target is None or target in words]
    outside = len(texts) - len(fits)
    if outside and len(fits) < max(
        params.validate_instructions.min_rows, params.validate_drafts.min_rows, params.validate_dataset.min_rows
    ):
        yield f"collect.words: {outside} of {len(texts)} prompts ask for a length outside {words.min} to {words.max} words; widen it"
    for key, least in (
        ("validate_instructions.min_rows", params.validate_instructions.min_rows),
        ("validate_drafts.min_rows", params.validate_drafts.min_rows),
        ("validate_dataset.min_rows", params.validate_dataset.min_rows),
    ):
        if len(fits) < least:
            yield f"{key}: {least:,}, but at most {len(fits)} prompts are fit; lower it or bring more prompts"
    languages = Counter(language_of(text) for text in fits)
    if kept := [count for language, count in languages.items() if language in params.collect.languages]:
        share = min(kept) / sum(kept)
        for key, floor in (
            ("validate_instructions.min_language_share", params.validate_instructions.min_language_share),
            ("validate_dataset.min_language_share", params.validate_dataset.min_language_share),
        ):
            if share < floor:
                yield f"{key}: {floor:g}, but the rarer language has {share:.2f} of the prompts; lower it or bring more"
