"""predict.stop_early and serve.stop_early: an answer that is stopped while it comes is asked for again.

The last one is read to its end, so every prompt has an answer. It is part of the result, because fewer answers loop.
"""

from typing import NamedTuple

from tasks.endpoints.chat import Chat, Reply, Request
from tasks.text.live_checks import Watch

STOPS = 2  # answers to one prompt that may be stopped
DRAWS = 1000  # sample indices between these answers


class WholeReply(NamedTuple):
    """An answer that was not stopped, and what all answers to its prompt took."""

    reply: Reply
    tokens: int  # completion tokens, stopped answers included
    seconds: float  # stopped answers included
    stopped: int  # answers


async def whole_reply(chat: Chat, request: Request, watch: Watch) -> WholeReply:
    """Sends a request until its answer is not stopped, at most STOPS + 1 times. The last answer is not watched. Raises as `chat`."""
    tokens, seconds = 0, 0.0
    for number in range(STOPS + 1):
        again = request._replace(sample=request.sample + number * DRAWS, watch=watch if number < STOPS else None)
        reply = await chat(again)
        tokens, seconds = tokens + reply.usage.completion, seconds + reply.seconds
        if not reply.stopped:
            break
    return WholeReply(reply, tokens, seconds, number)
