"""cap: pack the texts of the length-limit study that have at most `cap` words (paper, section 2).

Each cap is an arm of the study: the same base model and data, without longer outputs or with longer outputs cut. All arms share one
tokenizer; for the base `tiny` it is trained on all texts. Template, targets and packing are those of the stage pack.
"""

from collections.abc import Iterator
from pathlib import Path

from tasks import stage, store
from tasks.pack import tokenize, tokenizer_for
from tasks.schema.errors import BadInput
from tasks.schema.params import Base, Pack, Study
from tasks.schema.records import Reject, Sample
from tasks.study.texts import read_texts, within
from tasks.training.conversations import Encoder
from tasks.training.packing import Samples, write_packs


def run(texts: Path, cap: int, out: Path, *, base: Base, pack: Pack, study: Study) -> stage.Metrics:
    """`cap`: words by the paper's count. Raises BadInput if no text remains."""
    chat = tokenizer_for(read_texts(texts), base=base, pack=pack)
    chat.save(out / "tokenizer")
    encoder = Encoder(chat.tokenizer)
    total, cut, rejects, scratch = 0, 0, list[Reject](), out / ".samples.arrow"

    def capped() -> Iterator[tuple[bool, Sample]]:
        nonlocal total, cut
        for sample in read_texts(texts):
            total += 1
            if left := within(sample, cap, over=study.over):
                cut += left is not sample
                yield False, left

    kept = tokenize(capped(), encoder, Samples(scratch), rejects, context=pack.context)
    stage.check_reject_rate(rejects, of=len(kept.words) + len(rejects), at_most=pack.max_rejects)
    if not kept.words:
        raise BadInput(
            texts, f"none of its {total} texts has at most {cap} words and {pack.context} tokens", fix="raise the cap in study.caps"
        )
    store.write(out / "rejects.jsonl", rejects)
    packed = write_packs(kept.samples, kept.samples.close(), range(len(kept.words)), out / "packs" / f"cap-{cap}", context=pack.context)
    scratch.unlink()
    over = total - len(kept.words) - len(rejects)
    return {
        "texts": total,
        "over_cap": over,
        "cut": cut,
        "rejects": len(rejects),
        "samples": len(kept.words),
        "longest": max(kept.words),
        **packed._asdict(),
    }


if __name__ == "__main__":
    stage.main(
        "TEXTS CAP OUT",
        lambda params: (
            lambda texts, cap, out: run(texts, stage.whole_number(cap), out, base=params.base, pack=params.pack, study=params.study)
        ),
    )
