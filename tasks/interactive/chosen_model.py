"""The model that a person names on the command line: a URL, a folder, a package of weights, a registry alias, or params.yaml's teacher."""

from pathlib import Path
from typing import NamedTuple

from tasks.endpoints.roles import only_model
from tasks.evaluation.evaluate import resolve
from tasks.schema.params import PAPERS, PROFILES, Model, Params, load
from tasks.schema.redaction import split_url
from tasks.schema.settings import Role, settings
from tasks.schema.standins import context_of, is_stand_in
from tasks.schema.urls import Url

PARAMS = Path("params.yaml")
CHAMPION = "models:/longwriter@champion"
ANSWER = 16_384  # tokens of an answer at a URL, about 12,000 words; a server with a smaller context refuses more than it has
PROMPT = 2_048  # tokens of a local model's context that an answer leaves for the conversation


class ChosenModel(NamedTuple):
    """A model and where it answers. `url` and `checkpoint` are None for params.yaml's teacher: the settings name its endpoint."""

    shown: str  # for people
    role: Role  # names the variables of its URL and key
    model: Model
    url: Url | None = None
    checkpoint: Path | None = None


def params_for(given: str, profile: str) -> Params:
    """The profile that is named; else the profile of the same name as a package of weights; else params.yaml; else the paper's values.

    Raises BadParams for an unknown profile.
    """
    own = PROFILES / f"{given}.yaml"
    if profile or (given and own.is_file()):
        return load(PROFILES / f"{profile}.yaml" if profile else own)
    return load(PARAMS if PARAMS.is_file() else PAPERS)


async def choose(given: str, params: Params, *, name: str = "", temperature: float | None = None) -> ChosenModel:
    """The model to use. Without `given`, the teacher of `params`. `name` is the model's name at a URL that serves several.

    Raises BadInput for what is no model, BadSettings for a URL with several models and no name, EndpointError if nobody answers there.
    """
    teacher = params.models.teacher
    if temperature is not None:
        teacher = teacher.model_copy(update={"temperature": temperature})
    if not given:
        at = settings().url("teacher")
        return ChosenModel(f"{teacher.name} at {at}" if at else teacher.name, "teacher", teacher)
    who = resolve(split_url(given))
    if who.url:
        served = await _served(who.url, name)
        model = teacher.model_copy(update={"name": served, "revision": ""})
        return ChosenModel(f"{served} at {who.url}", "candidate", model, url=who.url)
    tokens = teacher.max_tokens
    if who.checkpoint and (context := context_of(who.checkpoint)):
        tokens = min(tokens, max(1, context // 2))  # the prompt needs room too
    model = teacher.model_copy(update={"name": who.name, "revision": "", "max_tokens": tokens})
    return ChosenModel(str(given), "candidate", model, checkpoint=who.checkpoint)


async def choose_candidate(
    given: str, params: Params, *, name: str = "", temperature: float | None = None, max_tokens: int | None = None
) -> ChosenModel:
    """The model to talk to. Without `given`, the one at LONGWRITER_CANDIDATE_URL, else the registry's champion. Raises as `choose`."""
    who = resolve(split_url(given or settings().url("candidate") or CHAMPION))
    if who.url:
        served = await _served(who.url, name)
        shown, tokens = f"{served} at {who.url}", ANSWER
    else:
        served, shown = who.name, given or CHAMPION
        context = (who.checkpoint and context_of(who.checkpoint)) or 2 * ANSWER
        tokens = min(2 * ANSWER, max(context // 2, context - PROMPT))
    drawn = {"temperature": params.models.candidate.temperature if temperature is None else temperature}
    model = params.models.candidate.model_copy(update={"name": served, "revision": "", "max_tokens": max_tokens or tokens, **drawn})
    return ChosenModel(shown, "candidate", model, url=who.url, checkpoint=who.checkpoint)


async def _served(url: Url, name: str) -> str:
    """The model's name at a URL: the given one, else the only one that the server has."""
    return name or await only_model(url, settings().api_key("candidate"))


def stand_in_warning(chosen: ChosenModel) -> str:
    """One line if a stand-in answers by rules; empty for a language model."""
    if chosen.url or chosen.checkpoint or not is_stand_in(chosen.model) or settings().url(chosen.role):
        return ""
    return f"{chosen.model.name} is a stand-in that answers by rules, not a language model; name one, for example smollm2"
