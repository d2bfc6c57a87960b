"""How a model's setting for thoughts is sent: all fields that servers know for it, without those that the endpoint refused.

reasoning_effort is OpenAI's, and vLLM and llama.cpp take it too. chat_template_kwargs switches the thoughts of templates such as Qwen3's
on or off, behind vLLM, SGLang and llama.cpp. A budget is `thinking` at Anthropic's API and gateways like it, `reasoning` at OpenRouter,
thinking_token_budget at vLLM, and thinking_budget in SGLang's templates. An endpoint that knows none of a setting's fields refuses the
first request, and the run stops: without them, the replies would be another model's.
"""

from collections.abc import Sequence

from tasks.schema.records import Reasoning, ThinkingBudget

TEMPLATE = "chat_template_kwargs"


def fields(reasoning: Reasoning | None, refused: Sequence[str] = ()) -> dict[str, object]:
    """The fields of a request's JSON; empty without a setting."""
    if reasoning is None:
        return {}
    if isinstance(reasoning, ThinkingBudget):
        tokens = reasoning.budget
        all_fields: dict[str, object] = {
            "thinking": {"type": "enabled", "budget_tokens": tokens},
            "reasoning": {"max_tokens": tokens},
            "thinking_token_budget": tokens,
            TEMPLATE: {"enable_thinking": True, "thinking_budget": tokens},
        }
    else:
        all_fields = {"reasoning_effort": reasoning, TEMPLATE: {"enable_thinking": reasoning != "none"}}
    return {name: value for name, value in all_fields.items() if name not in refused}


def most(reasoning: Reasoning | None, max_tokens: int) -> int:
    """The thoughts' tokens that a call is expected to take at most: the budget; for an effort, all that max_tokens leaves."""
    if reasoning is None or reasoning == "none":
        return 0
    return reasoning.budget if isinstance(reasoning, ThinkingBudget) else max_tokens


def shown(reasoning: Reasoning | None) -> str:
    """The setting as it is written in params.yaml."""
    if reasoning is None:
        return "null"
    return f"{{budget: {reasoning.budget}}}" if isinstance(reasoning, ThinkingBudget) else reasoning
