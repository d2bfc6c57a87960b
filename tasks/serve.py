"""serve: serve the promoted version once, and check that it writes a long answer and ends it by itself (`serve.words` drives the cost).

A version that passed the gate becomes champion here, after the check, so that no champion is one that cannot be served. The check is of
what users get: the registry's files with their chat template, compared with the digest of the training, and the candidate's decoding
settings. Journal and LONGWRITER_CANDIDATE_URL are not used, because they would test something else. A version that fails does not become
champion, or is rolled back if it is champion already, and the stage fails. A challenger that fails is only recorded.
"""

import hashlib
from functools import partial
from pathlib import Path

from tasks import stage, store
from tasks.endpoints.chat import Reply, user, why_empty
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.roles import endpoint_of
from tasks.endpoints.whole_answers import WholeReply, whole_reply
from tasks.prompts import fill
from tasks.schema.errors import BadInput, EndpointError, GateFailed, ReplyError, ServerError
from tasks.schema.finish import Finish
from tasks.schema.params import Model, Serve
from tasks.schema.records import Decoding, Served, TokenizerConfig
from tasks.schema.settings import settings
from tasks.store import folder_digest
from tasks.text.counts import s_l
from tasks.text.endings import ended
from tasks.text.live_checks import Watch
from tasks.text.words import count_fixed
from tasks.tracking import registry
from tasks.tracking.client import answering, names
from tasks.tracking.gate import Promoted
from tasks.tracking.outside import contradiction
from tasks.tracking.rollback import refuse, tag

TEMPLATE = "chat_template.jinja"
AGAIN = "dvc repro --force --single-item promote"


def run(promoted: Path, out: Path, *, seed: int, serve: Serve, candidate_model: Model) -> stage.Metrics:
    decided = store.read_document(promoted, Promoted)
    with answering():
        folder = _checkpoint(decided, promoted)
    try:
        template = _template(folder)
        reply, tokens, seconds, stopped = stage.run_async(_answer(folder, candidate_model, serve=serve, seed=seed))
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
        tokens=tokens,
        seconds=seconds,
        stopped=stopped,
        finish_reason=reply.finish_reason,
        problem=not_ended or _off_length(serve, written, length),
        template=template,
        decoding=Decoding(**candidate_model.model_dump(), seed=seed, checkpoint=folder_digest(folder)),
    )
    if served.problem:
        _failed(decided, served.problem)
    else:
        _passed(decided, f"{written} of {serve.words} words (S_l {length:.0f}) in {reply.seconds:.1f} s, ended by itself")
    store.write_json(out / "served.json", served)
    (out / "answer.txt").write_text(reply.text, encoding="utf-8")
    return {"asked": served.asked, "written": written, "s_l": length, "tokens": served.tokens, "ended_by_itself": int(not_ended is None)}


async def _answer(folder: Path, model: Model, *, serve: Serve, seed: int) -> WholeReply:
    own, prompt = settings(), fill("long_request", words=str(serve.words))
    async with endpoint_of("candidate", model, checkpoint=folder, url="") as there:
        client = openai_chat("candidate", there.url, model, own, name=there.name, seed=seed, api_key=there.api_key, up=there.up)
        async with client as chat:
            if serve.stop_early:
                return await whole_reply(chat, user(prompt), Watch("en", serve.words))
            reply = await chat(user(prompt))
            return WholeReply(reply, reply.usage.completion, reply.seconds, 0)


def _checkpoint(decided: Promoted, path: Path) -> Path:
    """The version's files. Raises BadInput if the decision is not true any more, or if the files are not the trained checkpoint."""
    if problem := contradiction(decided):
        raise BadInput(path, f"its decision on version {decided.version} is outdated: {problem}", fix=f"decide again: `{AGAIN}`")
    if (trained := registry.trained_digest(decided.training_run)) != decided.checkpoint_digest:
        raise BadInput(path, f"version {decided.version} is not the checkpoint of its training run ({trained})", fix=f"`{AGAIN}`")
    return registry.fetch(registry.numbered(decided.version))


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


def _passed(decided: Promoted, said: str) -> None:
    """Record that the version was served. One that passed the gate becomes champion."""
    with answering():
        if decided.alias == "challenger":
            return tag(decided.version, {"served": said})
        registry.make_champion(decided.version, tags={"served": said})
    print(f"version {decided.version} is champion", flush=True)


def _failed(decided: Promoted, problem: str) -> None:
    """Record that the version failed. Raises GateFailed unless it is only a challenger."""
    said = {"served": f"failed: {problem}"}
    with answering():
        if decided.alias == "challenger":
            return tag(decided.version, said)
        rollback = refuse(decided.version, f"served, it failed: {problem}", tags=said)
        champion = registry.holders().get(names().aliases.champion)
    now = f"version {champion} is champion{' again' if rollback else ''}" if champion else "nobody is champion"
    raise GateFailed(
        f"serve: version {decided.version}: {problem}; {now}; correct it, then `longwriter models allow {decided.version}` and `{AGAIN}`"
    ) from None


if __name__ == "__main__":
    stage.main("PROMOTED OUT", lambda params: partial(run, seed=params.seed, serve=params.serve, candidate_model=params.models.candidate))
