"""Exceptions for one failed try of a request, by cause. retrying.py decides what follows."""

from tasks.endpoints.chat import Reply


class TryFailed(Exception):
    """This try failed; another one may succeed. `retry_after`: seconds to wait as the endpoint says; None if it does not say."""

    def __init__(self, problem: str, *, retry_after: float | None = None):
        super().__init__(problem)
        self.retry_after = retry_after


class EndpointRefused(TryFailed):
    """The endpoint accepts no requests for the moment: 429, 503, 529."""


class EndpointAway(EndpointRefused):
    """No connection to a server that was reachable before. It is no sign of overload: a server that is back takes as many as before."""


class Unreachable(TryFailed):
    """No connection to a server that was never reached before."""


class Unusable(TryFailed):
    """A reply with content that is not text, or over the size limit. It may be charged, so the request is repeated once at most."""


class Rejected(Exception):
    """The endpoint will not answer this request, however often it is sent.

    `advice`: what to do if the cause may concern every request (a wrong key, an empty account); empty: only this request is at fault.
    """

    def __init__(self, problem: str, *, advice: str = ""):
        super().__init__(problem)
        self.advice = advice


class Filtered(Exception):
    """The endpoint's content filter refused the request and would refuse it again. `reply` is empty, costs nothing and is not recorded."""

    def __init__(self, reply: Reply):
        super().__init__(reply.finish_reason)
        self.reply = reply


class Rewritten(Exception):
    """Send the request again at once: the endpoint wants another form (dialect.py), or its batch is not there (batching.py)."""
