"""Chat templates for tests: one that marks its turns."""

TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def marked(answer: str, *, before: str = "", system: str = TURN) -> str:
    """ChatML with another way of rendering an answer, and something in front of the turns."""
    return (
        before + "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n" + answer + "{% elif m.role == 'system' %}"
        f"{system}" + "{% else %}" + TURN + "{% endif %}{% endfor %}" + PROMPT
    )


GOOD = "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}\n"
