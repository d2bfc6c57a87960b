"""An evaluation's items as MLflow GenAI results: a trace per answer with its scores as assessments, which MLflow compares row by row.

A row's request is the prompt's identity (id, sample, asked words, type, language), which is the same for every version, so that MLflow's
evaluation view puts two versions side by side. The answers themselves are not copied: the row names the file and the row with the text.
All spans go in one request, and each trace in one more with its assessments.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tasks.schema.records import ScoredItem
from tasks.tracking.client import connect, uri

if TYPE_CHECKING:
    from mlflow.entities import Assessment, Span, TraceInfo
    from mlflow.tracing.client import TracingClient

NAME = "evaluated answer"  # of every trace
THREADS = 8  # requests to a server at a time; the embedded store takes one writer
BATCH = 500  # spans per request
TRIES = 3  # of asking a server for its version


def record_items(items: Iterable[ScoredItem], *, experiment: str, run_id: str, judge: str | None, texts: str) -> int:
    """Records the answers of one model; returns their number. `texts` is the file with the answers, by id and sample.

    An answer that is recorded again keeps its trace. Raises MlflowException on failure.
    """
    from mlflow.tracing.client import TracingClient

    client, now = TracingClient(uri()), int(time.time() * 1000)
    found = [(_info(item, experiment, run_id, judge, texts, now), item) for item in items]
    with ThreadPoolExecutor(THREADS if uri().startswith("http") else 1, thread_name_prefix="items") as pool:
        list(pool.map(client.start_trace, (info for info, _ in found)))
    spans = [_span(info.trace_id, item, texts, now) for info, item in found]
    for start in range(0, len(spans), BATCH):
        _log_spans(client, experiment, spans[start : start + BATCH])
    return len(found)


def _log_spans(client: "TracingClient", experiment: str, spans: list["Span"]) -> None:
    """Send spans. MLflow's client asks a server for its version before, once and for 3 s, and remembers if there was no reply."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.rest_store import RestStore

    for left in reversed(range(TRIES)):
        try:
            client.log_spans(experiment, spans)
            return
        except NotImplementedError as error:
            if not left:
                raise MlflowException(str(error)) from None
            connect().search_experiments(max_results=1)  # waits for a server that is away for a moment
            RestStore._get_server_version.cache_clear()


def _info(item: ScoredItem, experiment: str, run_id: str, judge: str | None, texts: str, now: int) -> "TraceInfo":
    from mlflow.entities import TraceInfo, TraceLocation, TraceState
    from mlflow.tracing.constant import TraceMetadataKey, TraceTagKey

    identity = hashlib.sha256(f"{run_id} {item.model} {item.id} {item.sample}".encode()).hexdigest()[:32]
    return TraceInfo(
        trace_id=f"tr-{identity}",
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=now,
        execution_duration=0,
        state=TraceState.OK,
        request_preview=json.dumps(_request(item), ensure_ascii=False),
        response_preview=json.dumps(_response(item, texts), ensure_ascii=False),
        client_request_id=f"{item.id} {item.sample}",
        trace_metadata={TraceMetadataKey.SOURCE_RUN: run_id},
        tags={TraceTagKey.TRACE_NAME: NAME, "model": item.model, "item": item.id, "texts": texts},
        assessments=list(_assessments(item, run_id, judge)),
    )


def _request(item: ScoredItem) -> dict[str, str | int]:
    return {"id": item.id, "sample": item.sample, "asked": item.asked, "type": item.type, "language": item.language}


def _response(item: ScoredItem, texts: str) -> dict[str, str | int]:
    return {"written": item.written, "text": f"{texts}: id {item.id}, sample {item.sample}, model {item.model}"}


def _assessments(item: ScoredItem, run_id: str, judge: str | None) -> Iterator["Assessment"]:
    """The scores of an answer, 0 to 100; an unscored quality is no assessment."""
    from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback
    from mlflow.tracing.constant import AssessmentMetadataKey

    code = AssessmentSource(AssessmentSourceType.CODE, "tasks.longbench")
    graded = AssessmentSource(AssessmentSourceType.LLM_JUDGE, judge or "unknown")
    whole = None if item.s_q is None else (item.s_l + item.s_q) / 2
    scores = {"s_l": (item.s_l, code), "s_q": (item.s_q, graded), "s_bar": (whole, graded)}
    if item.degeneration:
        scores["repetition"] = (item.degeneration.repetition, code)
    for name, (value, source) in scores.items():
        if value is not None:
            yield Feedback(name=name, value=float(value), source=source, metadata={AssessmentMetadataKey.SOURCE_RUN_ID: run_id})


def _span(trace_id: str, item: ScoredItem, texts: str, now: int) -> "Span":
    from mlflow.entities import Span, SpanType
    from mlflow.tracing.constant import SpanAttributeKey

    attributes = {
        SpanAttributeKey.REQUEST_ID: trace_id,
        SpanAttributeKey.SPAN_TYPE: SpanType.CHAIN,
        SpanAttributeKey.INPUTS: _request(item),
        SpanAttributeKey.OUTPUTS: _response(item, texts),
    }
    return Span.from_dict(
        {
            "name": NAME,
            "trace_id": trace_id,
            "span_id": trace_id.removeprefix("tr-")[:16],
            "parent_span_id": None,
            "start_time_unix_nano": now * 1_000_000,
            "end_time_unix_nano": now * 1_000_000,
            "status": {"code": "OK", "message": ""},
            "attributes": {key: json.dumps(value, ensure_ascii=False) for key, value in attributes.items()},
            "events": [],
        }
    )
