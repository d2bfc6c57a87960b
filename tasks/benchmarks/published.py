"""Published figures of the benchmarks, by plug-in, each with its judge, source and certainty; shown on the cards."""

from tasks.benchmarks.interface import PublishedFigure
from tasks.longbench.published import TABLE

PAPERS_JUDGE = "gpt-4o-2024-05-13"
_IS_COT = "arXiv 2606.09709"


def _is_cot(model: str, measure: str, value: float) -> PublishedFigure:
    return PublishedFigure(model=model, measure=measure, value=value, judge="not known", source=_IS_COT, certainty="secondary")


LONGBENCH_WRITE = (
    *(
        PublishedFigure(
            model=row.model,
            measure="s_bar",
            value=row.s_bar.value,
            judge=PAPERS_JUDGE,
            source="arXiv 2408.07055",
            certainty=row.s_bar.certainty,
        )
        for row in TABLE
    ),
    _is_cot("IS-Writer-8B", "s_bar", 88.25),
    _is_cot("DeepSeek-V3.2", "s_bar", 85.17),
    _is_cot("Gemini-2.5-Flash", "s_bar", 83.67),
)
WRITINGBENCH = (
    _is_cot("IS-Writer-8B", "score", 8.60),
    _is_cot("DeepSeek-V3.2", "score", 8.60),
    PublishedFigure(
        model="LongWriter-Zero-32B",
        measure="score",
        value=8.69,
        judge="WritingBench's critic model",
        source="arXiv 2506.18841",
        certainty="secondary",
    ),
)
