"""Which requests repeat a prompt that is scored on, and which are nearly another request of the same data: as evidence, or None."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tasks.corpus.contamination import Prompts
from tasks.corpus.duplicates import near_duplicates, shingled, tokens_of
from tasks.schema.params import Collect
from tasks.sources import reading

NEAR = 0.8  # Jaccard similarity of shingles
Scored = Callable[[str, str], str | None]  # from a request and its language to the benchmark prompt that it repeats


def scored_on(benchmark: Path, folder: Path, collect: Collect) -> Scored:
    """Knows every prompt of the benchmark and of `collect.decontaminate`. Raises BadInput for one that cannot be read."""
    texts = [ask.text for ask in reading.asks_of(reading.plain(benchmark))]
    return repeats([*texts, *(ask.text for entry in collect.decontaminate for ask in reading.asks(entry, folder))])


def repeats(prompts: Sequence[str]) -> Scored:
    known = Prompts(prompts)

    def repeated(request: str, language: str) -> str | None:
        match = known.match(shingled(request, language), tokens_of(request))
        return f"{match.share:.0%} of benchmark prompt {match.id}" if match else None

    return repeated


def near_copies(requests: Sequence[tuple[str, str]]) -> dict[int, tuple[int, float]]:
    """Of requests and their languages the places of those that are an earlier one, or nearly, with its place and their similarity."""
    texts = [shingled(text, language) for text, language in requests]
    first = {text.id: place for place, text in reversed(list(enumerate(texts)))}
    copies = {place: (first[text.id], 1.0) for place, text in enumerate(texts) if first[text.id] != place}
    near = near_duplicates([texts[place] for place in sorted(first.values())], threshold=NEAR)
    return copies | {first[id]: (first[match.id], match.similarity) for id, match in near.items()}
