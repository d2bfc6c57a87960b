"""Ask the selector about a prompt that passed the rules: does it need a long answer, how long, and of which kind?"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.endpoints.chat import Chat, user, why_empty
from tasks.prompts import fill
from tasks.schema.errors import ReplyError

TRIES = 2

Topic = Literal["fiction", "essay", "academic", "report", "guide", "business", "letter", "script", "other"]


class Choice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    needs_long_answer: bool
    words: int | None = Field(ge=1)  # length of a good answer; None if the selector cannot estimate it
    topic: Topic  # used to balance the draw


async def choose(chat: Chat, instruction: str) -> Choice:
    """The selector's choice. An unreadable reply is requested once more. Raises ReplyError with the last unreadable reply."""
    prompt, problem = fill("select", instruction=instruction), ""
    for sample in range(TRIES):
        reply = await chat(user(prompt, sample=sample, schema=Choice.model_json_schema()))
        said = reply.text.strip()
        try:
            return Choice.model_validate_json(said[said.find("{") : said.rfind("}") + 1])  # ignore text around the JSON object
        except ValidationError:
            problem = f"was: {said[:120]!r}" if said else f"had {why_empty(reply)}"
    raise ReplyError(f"no choice in {TRIES} replies, the last {problem}")
