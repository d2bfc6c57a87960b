"""Push a version of the model registry to the hub: its files by digest, and a card made from lineage and scorecard."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.checkpoints import refuse_pickles
from tasks.release import hub
from tasks.release.licences import base_licence, licence_text
from tasks.release.model_card import model_card
from tasks.release.model_facts import ModelFacts, gather
from tasks.schema.errors import BadInput
from tasks.tracking import checkpoint, registry

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = "README.md"


def prepare(
    api: "HfApi", number: str, repo: str, *, licence: str = "", gguf: Path | None = None, public: bool = False, direct: bool = False
) -> hub.PreparedPush:
    """Check everything that can be checked before anything is sent. An empty licence is the base model's.

    Raises BadInput for an invalid name, files that are not the registered ones, a pickle, an unknown licence, a public repository without
    `public`, and a GGUF file that is not the checked export of this version. Raises StorageError if the hub refuses.
    """
    to = hub.target(api, repo, "model", public=public, direct=direct)
    facts = gather(number)
    exported = _checked(gguf, facts) if gguf else ()
    named = licence or base_licence(facts.base, facts.base_revision, api=api)
    folder = registry.fetch(registry.numbered(number))
    files = checkpoint.files(folder)
    if checkpoint.digest(folder) != facts.digest:
        raise BadInput(folder, f"the files are not those of version {number}", fix="remove the folder and run again; it is fetched again")
    text = licence_text(facts.base) if facts.base and not licence else None
    card = model_card(facts, repo=to.repo, licence=named, gguf=gguf.name if gguf else "")
    uploads = (
        hub.HubFile(CARD, card.encode()),
        *((hub.HubFile("LICENSE", text),) if text else ()),
        *(hub.HubFile(path.relative_to(folder).as_posix(), path) for path in files),
        *exported,
    )
    title = f"Version {number} of {facts.name}, checkpoint {facts.digest[:12]}"
    return hub.PreparedPush(to, uploads, hub.plan(api, to, uploads, title=title), _description(facts))


def _description(facts: ModelFacts) -> str:
    scored = facts.card
    scores = "not evaluated" if scored is None else f"S_l {scored.s_l:.1f} {scored.s_l_interval or ''}".rstrip()
    if scored and scored.s_bar is not None:
        scores += f", S̄ {scored.s_bar:.1f} {scored.s_bar_interval or ''}".rstrip()
    return f"{facts.name} version {facts.version.number} ({facts.model}), checkpoint SHA-256 {facts.digest}; {scores}. The card says more."


def _checked(gguf: Path, facts: ModelFacts) -> tuple[hub.HubFile, ...]:
    """The GGUF file, if it is the export that was compared with this version's safetensors."""
    if not gguf.is_file():
        raise BadInput(gguf, "no such file", fix=f"`longwriter models export {facts.version.number} {gguf}` writes it")
    refuse_pickles(gguf.parent, [gguf.name])
    if checkpoint.sha256(gguf) != facts.version.tags.get(registry.GGUF):
        problem = f"its SHA-256 is not that of the checked export of version {facts.version.number}"
        raise BadInput(gguf, problem, fix=f"`longwriter models export {facts.version.number} FILE` writes and checks a file; push that one")
    return (hub.HubFile(gguf.name, gguf),)
