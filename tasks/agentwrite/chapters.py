"""write.parallel: chapters. The chapters of a text are written at the same time, each paragraph by paragraph, by the shared plan.

A request shows the plan of the whole and the text of its own chapter. Each chapter has its share of the text's words. When all chapters
are written, their seams are checked in order: the first paragraph of a chapter must not repeat or contradict the end of the chapter before
(seams.py), and no paragraph may repeat one of an earlier chapter. A paragraph that does is requested again, with all text before it.
A plan without chapters is written serially.
"""

from collections.abc import Sequence
from itertools import pairwise

from tasks.agentwrite.context import Window
from tasks.agentwrite.drafting import Drafting, Lost, all_written
from tasks.agentwrite.paragraph_checks import Earlier, Unwritable, find_fault
from tasks.agentwrite.seams import seam_fault
from tasks.endpoints.chat import Reply, user
from tasks.schema.records import Plan, Reason, Usage
from tasks.text.counts import count_words

AROUND = 2  # paragraphs at the end of the chapter before that a seam is compared with


def ranges(plan: Plan) -> list[tuple[int, int]]:
    """The chapters as ranges of steps: index of the first step, index behind the last one."""
    steps = plan.steps
    starts = [0, *(number for number, (one, other) in enumerate(pairwise(steps), 1) if one.chapter != other.chapter), len(steps)]
    return list(pairwise(starts))


class Chapters:
    """One draft with chapters that are written at the same time. `whole` is its state; it also requests what the seams need."""

    def __init__(self, whole: Drafting):
        self._whole, self._plan = whole, whole.plan

    async def paragraphs(self) -> list[str]:
        """All paragraphs. Raises Lost if one cannot be written."""
        chapters = ranges(self._plan)
        if len(chapters) < 2:
            return await self._whole.serial()
        parts = [self._whole.part(*chapter, chain=number) for number, chapter in enumerate(chapters, 1)]
        return await self._joined(await all_written(parts, self._chapter))

    async def _chapter(self, own: Drafting) -> list[str]:
        try:
            return await own.serial()
        finally:
            self._whole.count_kept(own)

    async def _joined(self, chapters: Sequence[list[str]]) -> list[str]:
        """The paragraphs of all chapters, with good seams."""
        written, openings = list(chapters[0]), [chapters[0][0]]
        for chapter in chapters[1:]:
            earlier = self._earlier(written)
            for number, paragraph in enumerate(chapter):
                starts = openings if number == 0 else None
                if self._fault(paragraph, earlier, written, starts):
                    paragraph = await self._again(count_words(paragraph), written, chapter[number + 1 : number + 2], starts)
                written.append(paragraph)
            openings.append(written[-len(chapter)])
        return written

    def _earlier(self, paragraphs: Sequence[str]) -> Earlier:
        earlier = self._whole.new_earlier()
        for paragraph in paragraphs:
            earlier.add(paragraph)
        return earlier

    def _fault(self, paragraph: str, earlier: Earlier, written: Sequence[str], openings: Sequence[str] | None) -> Unwritable | None:
        """Why a paragraph does not follow the earlier chapters, or None. `earlier` has their paragraphs, without this chapter's own.

        `openings`: the first paragraphs of the earlier chapters, if this one begins a chapter.
        """
        if openings is not None and (fault := seam_fault(paragraph, written[-AROUND:], openings)):
            return fault
        found = find_fault(Reply(paragraph, "stop", Usage(0, 0), 0.0), earlier, asked=max(1, count_words(paragraph)))
        return found if found and found.reason == Reason.REPEATED else None

    async def _again(self, words: int, written: Sequence[str], following: Sequence[str], openings: Sequence[str] | None) -> str:
        """Another version of a paragraph, with the text before it in the request. Raises Lost after write.tries bad ones."""
        place = len(written)
        whole, number = self._whole.part(0, len(self._plan.steps), chain=self._whole.chain), place + 1  # with a memory of its own
        window = await whole.fitted(Window(), written, number)
        self._whole.count_kept(whole)
        step = self._plan.steps[place].model_copy(update={"words": max(1, words)})
        prompt = whole.frame.prompt(number, step, whole.shown(window, written, step))
        earlier, name = self._earlier([*written, *following]), f"seam at paragraph {number} of {len(self._plan.steps)}"
        last: Unwritable | None = None
        for sample in range(whole.write.tries):
            request = user(prompt, sample=sample)._replace(words=step.words, urgency=float(step.words))
            fault, text = await whole.ask(name, number, request, earlier, asked=step.words)
            last = fault or (None if openings is None else seam_fault(text, written[-AROUND:], openings))
            if last is None:
                return text
        assert last
        raise Lost(last._replace(detail=f"{name}, {whole.write.tries} tries: {last.detail}"))
