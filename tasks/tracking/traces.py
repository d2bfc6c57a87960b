"""Records the requests and replies of a sample as an MLflow trace: one span per exchange."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tasks.endpoints.chat import Reply
from tasks.schema.records import Message, Record, Usage
from tasks.tracking.client import experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient

NANO = 1_000_000_000


class Exchange(NamedTuple):
    """One request of a sample and its result."""

    name: str  # "paragraph 3 of 12", "plan"
    request: Sequence[Message]
    sample: int
    reply: Reply | None
    fault: str | None  # why the reply was not taken
    seconds: float


class Trace(Record):
    """A complete sample: the instruction, the text, and every exchange in order."""

    name: str
    asked: str
    answered: str
    exchanges: tuple[Exchange, ...]
    ended: float  # seconds since the epoch


def record_trace(client: "MlflowClient", trace: Trace, *, stage: str, run_id: str) -> str:
    """Records the trace in the experiment, tagged with the stage and linked to its run; returns its id. Raises MlflowException on failure.

    The spans follow each other, and the last one ends with the sample. MLflow's exporter must be synchronous
    (MLFLOW_ENABLE_ASYNC_TRACE_LOGGING=false). It hides its errors, so the trace is read back to detect them.
    """
    from mlflow.entities import SpanType
    from mlflow.tracing.constant import TraceMetadataKey

    import mlflow

    start = trace.ended - sum(exchange.seconds for exchange in trace.exchanges)
    root = mlflow.start_span_no_context(
        trace.name,
        span_type=SpanType.CHAIN,
        inputs=trace.asked,
        tags={"stage": stage},
        metadata={TraceMetadataKey.SOURCE_RUN: run_id},
        experiment_id=experiment(client),
        start_time_ns=int(start * NANO),
    )
    for exchange in trace.exchanges:
        _record_exchange(root, exchange, start=start)
        start += exchange.seconds
    root.end(outputs=trace.answered, end_time_ns=int(trace.ended * NANO))
    client.get_trace(root.trace_id, display=False)
    return str(root.trace_id)


def _record_exchange(root: object, exchange: Exchange, *, start: float) -> None:
    """A chat span in the format that MLflow shows as a conversation. A fault becomes the span's error."""
    from mlflow.entities import SpanStatus, SpanStatusCode, SpanType

    import mlflow

    span = mlflow.start_span_no_context(
        exchange.name,
        span_type=SpanType.CHAT_MODEL,
        parent_span=root,
        inputs={"messages": [message.model_dump() for message in exchange.request]},
        start_time_ns=int(start * NANO),
    )
    span.set_attributes(_attributes(exchange))
    status = SpanStatus(SpanStatusCode.ERROR, exchange.fault) if exchange.fault else SpanStatus(SpanStatusCode.OK)
    span.end(outputs=_choices(exchange.reply), status=status, end_time_ns=int((start + exchange.seconds) * NANO))


def _choices(reply: Reply | None) -> dict[str, object] | None:
    if reply is None:
        return None
    message = {"role": "assistant", "content": reply.text} | ({"reasoning_content": reply.reasoning} if reply.reasoning else {})
    return {"choices": [{"message": message, "finish_reason": reply.finish_reason}]}


def _attributes(exchange: Exchange) -> dict[str, object]:
    from mlflow.tracing.constant import SpanAttributeKey

    found: dict[str, object] = {"sample": exchange.sample}
    if exchange.fault:
        found["fault"] = exchange.fault
    if exchange.reply:
        found |= {"finish_reason": exchange.reply.finish_reason, SpanAttributeKey.CHAT_USAGE: _usage(exchange.reply.usage)}
    return found


def _usage(usage: Usage) -> dict[str, int]:
    from mlflow.tracing.constant import TokenUsageKey

    return {
        TokenUsageKey.INPUT_TOKENS: usage.prompt,
        TokenUsageKey.OUTPUT_TOKENS: usage.completion,
        TokenUsageKey.TOTAL_TOKENS: usage.prompt + usage.completion,
        TokenUsageKey.CACHE_READ_INPUT_TOKENS: usage.cached,
    }
