"""A candidate model that answers through AgentWrite: it plans, then writes paragraph by paragraph, as the teacher does (paper, section 3).

The paper evaluates GPT-4o with AgentWrite in this way. The plans are known, so the answers are also scored for following them.
"""

from collections.abc import Iterable

from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.agentwrite.planner import make_plan
from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import Chat, Reply, Request
from tasks.longbench.answers import Method, WholeAnswer
from tasks.schema.errors import BadInput, ReplyError
from tasks.schema.params import PlanSection, Write
from tasks.schema.records import BenchmarkItem, Instruction, Language, Reason

DRAWS = 1000  # sample indices reserved for the tries of one answer


def check_languages(items: Iterable[BenchmarkItem]) -> None:
    """Raises BadInput for an item in a language other than en and zh, the languages of AgentWrite's prompts."""
    if other := next((item for item in items if item.language not in ("en", "zh")), None):
        problem = f"item {other.id} is in {other.language}; AgentWrite plans and writes in en and zh"
        raise BadInput("benchmark", problem, fix="leave --agentwrite out, or use prompts in en and zh")


def through_agentwrite(plan: PlanSection, write: Write, *, max_tokens: int) -> Method:
    """Returns a method that plans, then writes. If no plan or a paragraph is not usable, the answer is empty and its `problem` says why.

    `max_tokens`: the candidate's limit. In mode `direct` it limits how much text one call asks for.
    """

    async def method(chat: Chat, item: BenchmarkItem, sample: int) -> WholeAnswer:
        counted = _Counted(chat, sample)
        language: Language = "zh" if item.language == "zh" else "en"
        asked = Instruction(id=item.id, text=item.prompt, language=language, words=item.length, source=f"benchmark:{item.id}")
        try:
            planned = await make_plan(counted, asked, plan=plan)
        except ReplyError as error:
            return WholeAnswer("", str(Reason.BAD_PLAN), counted.tokens, counted.seconds, problem=f"without a plan: {error}"[:200])
        draft = await write_draft(counted, planned, write=write, bounds=plan.paragraph_words, max_tokens=max_tokens)
        if isinstance(draft, Unwritable):
            return WholeAnswer("", str(draft.reason), counted.tokens, counted.seconds, planned.steps, problem=draft.detail)
        return WholeAnswer("\n\n".join(draft.paragraphs), "stop", counted.tokens, counted.seconds, planned.steps)

    return method


class _Counted:
    """A Chat that sums tokens and seconds of its replies. Each sample of an answer uses its own sample indices."""

    def __init__(self, chat: Chat, sample: int):
        self._chat, self._first = chat, sample * DRAWS
        self.tokens, self.seconds = 0, 0.0

    async def __call__(self, request: Request) -> Reply:
        reply = await self._chat(request._replace(sample=self._first + request.sample))
        self.tokens += reply.usage.completion
        self.seconds += reply.seconds
        return reply
