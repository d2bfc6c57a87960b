"""Render the model card: Markdown with the front matter that the hub reads."""

from pathlib import Path

from tasks.longbench.scorecard import Group
from tasks.release.card import template
from tasks.release.licences import hub_name
from tasks.release.model_facts import ModelFacts


def model_card(facts: ModelFacts, *, repo: str, licence: str, gguf: str = "") -> str:
    """The text of the card, README.md of the repository. `gguf` is the name of the GGUF file beside the weights; empty: there is none."""
    on_hub = facts.base.count("/") == 1 and not Path(facts.base).exists() and not facts.base.startswith(("/", "."))
    return template("model_card.md.j2").render(
        facts=facts,
        repo=repo,
        licence=licence,
        hub_licence=hub_name(licence),
        base_on_hub=facts.base if on_hub else "",
        groups=_groups(facts),
        gguf=gguf,
    )


def _groups(facts: ModelFacts) -> list[tuple[str, Group]]:
    """Name and scores of all prompts, and of each bin of requested lengths."""
    return [("all", facts.card), *((f"{name} words", group) for name, group in facts.card.by_bin.items())] if facts.card else []
