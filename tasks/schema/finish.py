"""How an answer ended. Servers use many names for the same ending; this table maps them to one vocabulary.

Sources: the OpenAI, Anthropic, Gemini, Mistral, Cohere, DeepSeek, Bedrock, watsonx and Z.ai references, and the code of vLLM, SGLang,
text-generation-inference, llama.cpp, Ollama and Inspect.
"""

import re
from enum import StrEnum


class Finish(StrEnum):
    """What ended an answer."""

    ENDED = "ended"  # by the model itself
    CUT = "cut"  # by a token limit or the context length
    FILTERED = "filtered"  # by the endpoint's content filter
    TOOLS = "tools"  # the model called a tool instead of writing
    FAILED = "failed"  # by a server error: the partial answer is not used
    UNKNOWN = "unknown"  # not stated, or not in the table: the text decides


_NAMES = {
    Finish.ENDED: "stop eos eos_token end end_turn end_of_turn end_of_text endoftext stop_sequence stop_word stop_token stop_str complete"
    " completed finish finished done normal ended stopped_eos stopped_word alternative_status_final",
    Finish.CUT: "length max_tokens max_length max_token max_output_tokens max_completion_tokens max_new_tokens max_tokens_reached"
    " model_length model_context_window_exceeded context_length context_length_exceeded context_window_exceeded token_limit length_limit"
    " limit stopped_limit truncated incomplete time_limit error_limit cut alternative_status_truncated_final",
    Finish.FILTERED: "content_filter content_filtered content_filtering filter filtered safety recitation blocklist prohibited_content spii"
    " language image_safety sensitive refusal guardrail_intervened guardrails moderation flagged error_toxic data_inspection_failed"
    " alternative_status_content_filter",
    Finish.TOOLS: "tool_calls tool_call tool_use function_call function_calls tools malformed_function_call unexpected_tool_call",
    Finish.FAILED: "error failed failure abort aborted cancelled canceled cancel user_cancel timeout network_error server_error"
    " internal_error insufficient_system_resource preempted oversize",
}
_TABLE = {name: finish for finish, names in _NAMES.items() for name in names.split()}
_PREFIX = re.compile(r"^(?:finish_?reason|stop_?reason)_+")


def finish_of(said: str | None) -> Finish:
    """Returns the ending for a server's finish reason in any case and spelling: FinishReason.MAX_TOKENS, "end-turn", "Stop"."""
    name = re.sub(r"[^a-z0-9]+", "_", (said or "")[:80].strip().lower()).strip("_")
    return _TABLE.get(_PREFIX.sub("", name), Finish.UNKNOWN)
