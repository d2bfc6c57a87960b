"""serve: serve the promoted alias once, and check that it writes a long answer and ends it by itself (`serve.words` drives the cost).

It tests what users of the alias get: the registry's files with their chat template, compared with the digest of the training, and the
candidate's decoding settings. Journal and LONGWRITER_CANDIDATE_URL are not used, because they would test something else. A champion that
fails is rolled back and the stage fails. A challenger that fails is only recorded, because nobody uses it yet.
"""

import hashlib
from functools import partial
from pathlib import Path

from tasks import stage, store
from tasks.endpoints.chat import Reply, user, why_empty
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.roles import endpoint_of
from tasks.prompts import fill
from tasks.schema.errors import BadInput, EndpointError, GateFailed, ReplyError, ServerError
from tasks.schema.finish import Finish
from tasks.schema.params import Model, Serve
from tasks.schema.records import Decoding, Served, TokenizerConfig
from tasks.schema.settings import settings
from tasks.store import folder_digest
from tasks.text.counts import s_l
from tasks.text.endings import ended
from tasks.text.words import count_fixed
from tasks.tracking import registry
from tasks.tracking.client import answering
from tasks.tracking.gate import Promoted
from tasks.tracking.rollback import roll_back, tag

TEMPLATE = "chat_template.jinja"
AGAIN = "dvc repro --force --single-item promote"


def run(promoted: Path, out: Path, *, seed: int, serve: Serve, candidate_model: Model) -> stage.Metrics:
    decided = store.read_document(promoted, Promoted)
    with answering():
        folder = _checkpoint(decided, promoted)
    try:
        template = _template(folder)
        reply = stage.run_async(_answer(folder, candidate_model, words=serve.words, seed=seed))
    except (BadInput, EndpointError, ServerError, ReplyError) as error:
        _failed(decided, str(error))
        raise
    written = count_fixed(reply.text)
    length = s_l(serve.words, written)
    not_ended = _problem(reply, candidate_model)
    served = Served(
        version=decided.version,
        alias=decided.alias,
        asked=serve.words,
        written=written,
        s_l=length,
        tokens=reply.usage.completion,
        seconds=reply.seconds,
        finish_reason=reply.finish_reason,
        problem=not_ended or _off_length(serve, written, length),
        template=template,
        decoding=Decoding(**candidate_model.model_dump(), seed=seed, checkpoint=folder_digest(folder)),
    )
    if served.problem:
        _failed(decided, served.problem)
    else:
        tag(
            decided.version,
            {"served": f"{served.written} of {served.asked} words (S_l {length:.0f}) in {served.seconds:.1f} s, ended by itself"},
        )
    store.write_json(out / "served.json", served)
    (out / "answer.txt").write_text(reply.text, encoding="utf-8")
    return {"asked": served.asked, "written": written, "s_l": length, "tokens": served.tokens, "ended_by_itself": int(not_ended is None)}


async def _answer(folder: Path, model: Model, *, words: int, seed: int) -> Reply:
    own, prompt = settings(), fill("long_request", words=str(words))
    async with endpoint_of("candidate", model, checkpoint=folder, url="") as there:
        client = openai_chat("candidate", there.url, model, own, name=there.name, seed=seed, api_key=there.api_key, up=there.up)
        async with client as chat:
            return await chat(user(prompt))


def _checkpoint(decided: Promoted, path: Path) -> Path:
    """The alias's files. Raises BadInput if the alias has moved meanwhile, or if the files are not the trained checkpoint."""
    version = registry.aliased(decided.alias)
    if version is None or version.number != decided.version:
        there = f"version {version.number}" if version else "no version"
        problem = f"it made version {decided.version} the {decided.alias}, and the alias points to {there} now"
        raise BadInput(path, problem, fix=f"decide again: `{AGAIN}`")
    if (trained := registry.trained_digest(decided.training_run)) != version.tags[registry.DIGEST]:
        raise BadInput(path, f"version {version.number} is not the checkpoint of its training run ({trained})", fix=f"`{AGAIN}`")
    return registry.fetch(registry.address(decided.alias))


def _template(folder: Path) -> str:
    """SHA-256 of the chat template. Raises BadInput if there is none, because a server would use a default."""
    path = folder / TEMPLATE
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    config = folder / "tokenizer_config.json"
    written = store.read_document(config, TokenizerConfig).chat_template if config.is_file() else None
    if not isinstance(written, str):
        raise BadInput(path, "no chat template in the checkpoint", fix="save the tokenizer with the model, and promote again")
    return hashlib.sha256(written.encode()).hexdigest()


def _problem(reply: Reply, model: Model) -> str | None:
    if reply.finish is Finish.CUT:
        return f"it did not end by itself within models.candidate.max_tokens ({model.max_tokens})"
    if not reply.text.strip():
        return f"it answered nothing: {why_empty(reply)}"
    if not ended(reply.text, finish_reason=reply.finish_reason):
        return f"it ended by {reply.finish_reason or 'no finish reason'}, not by itself"
    return None


def _off_length(serve: Serve, written: int, length: float) -> str | None:
    if length >= serve.min_s_l:
        return None
    return f"it wrote {written} words of {serve.words}: S_l {length:.1f}, under serve.min_s_l ({serve.min_s_l:g})"


def _failed(decided: Promoted, problem: str) -> None:
    """Record that the version failed. Rolls back a champion and raises GateFailed."""
    said = {"served": f"failed: {problem}"}
    with answering():
        if decided.alias == "challenger":
            return tag(decided.version, said)
        rollback = roll_back(f"served, it failed: {problem}", to_nobody=True, tags=said)
    now = f"version {rollback.champion} is champion again" if rollback.champion else "nobody is champion, as there was none before it"
    raise GateFailed(
        f"serve: version {decided.version} as champion: {problem}; {now}; "
        f"correct it, then `longwriter models allow {decided.version}` and `{AGAIN}`"
    ) from None


if __name__ == "__main__":
    stage.main("PROMOTED OUT", lambda params: partial(run, seed=params.seed, serve=params.serve, candidate_model=params.models.candidate))
