"""The table of chat templates in docs/training.md; `python -m tests.tasks.models.template_table` writes it again."""

from pathlib import Path

from tasks.models.chat_templates import TRL, choose, known_by_trl, look, shipped
from tasks.schema.errors import BadInput
from tests.conftest import ROOT

DOC = ROOT / "docs/training.md"
BEGIN, END = "<!-- templates: begin -->\n", "<!-- templates: end -->\n"
# What ends a turn in the families of models that TRL stores templates of. A model's own configs say it where one is trained.
ENDS = ["<|eot_id|>", "<|im_end|>", "<|endoftext|>", "<end_of_turn>", "</s>", "<|end|>", "<|return|>", "<|END_OF_TURN_TOKEN|>"]
ENDS += ["<｜end▁of▁sentence｜>", "<turn|>", "<end_of_utterance>", "<|user|>", "<|eot|>"]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def published() -> dict[str, str]:
    """The templates of models that the installed TRL stores, by their names there."""
    import trl

    folder = Path(trl.__file__).with_name("chat_templates")
    files = [path for path in sorted(folder.glob("*.jinja")) if not path.stem.endswith("_training")]
    return {path.stem: path.read_text(encoding="utf-8") for path in files}


def table() -> str:
    templates = published()
    forms = [form for template in templates.values() for form in known_by_trl(template).values()]
    looks = look([*templates.values(), *shipped().values(), *forms], TOKENS)
    lines = ["| TRL's copy of | trained with | an answer ends with | a system turn is | remark |", "|---|---|---|---|---|"]
    for name, template in templates.items():
        stops = frozenset(end for end in ENDS if end in template or (end == "</s>" and "eos_token" in template))
        try:
            form = choose(template, looks, stops, source=name)
        except BadInput as error:
            lines.append(f"| {name} | cannot be trained | | | {error.problem.partition(': ')[2]} |")
        else:
            used = "TRL's form" if form.name.startswith(TRL) else form.name
            lines.append(f"| {name} | {used} | `{form.examined.end}` | {form.examined.system} | {form.examined.note} |")
    return "\n".join(lines).replace("<|", "<\\|").replace("|>", "\\|>") + "\n"


def written() -> str:
    """As docs/training.md has it."""
    return DOC.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = DOC.read_text(encoding="utf-8").partition(BEGIN)
    DOC.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
