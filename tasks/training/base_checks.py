"""Check whether the base model can be fine-tuned: files, tokenizer, chat template, vocabulary. For doctor, runs and training plans."""

from collections.abc import Iterator

from tasks.models.local import is_at_hand
from tasks.models.packages import KNOWN
from tasks.schema import standins
from tasks.schema.checks import Check, attempt
from tasks.schema.params import Base, Params


def base(params: Params, *, fetch: bool = True) -> Iterator[Check]:
    """Check the base model: its files, tokenizer, chat template and vocabulary.

    Without `fetch` a hub model is checked only if this machine's cache has it.
    """
    given = params.base
    if given.model == standins.TINY:
        yield Check(name="base", status="ok", detail="tiny, made on the spot")
        return
    if not fetch and not _at_hand(given):
        yield Check(name="base", status="warning", detail=f"{given.model} is not on this machine: its chat template is not examined")
        return
    yield from attempt("base", lambda: _base(given, traced=params.assemble.chosen.form == "interleaved"))


def _base(given: Base, *, traced: bool) -> Iterator[Check]:
    from tasks.training.preflight import check_base, check_vocabulary
    from tasks.training.tokenizer import load_tokenizer
    from tasks.training.traced import tags_for

    check_base(given)
    chat = load_tokenizer(given)
    check_vocabulary(given, len(chat.tokenizer))
    yield Check(name="base", status="ok", detail=f"{given.model}: config, tokenizer and chat template load")
    if chat.form is not None:
        found = chat.form.examined
        fix = "read docs/training.md, Chat templates"
        detail = f"trained with {chat.form.name}, an answer ends with {found.end}, a system turn is {found.system}"
        if found.note:
            yield Check(name="chat template", status="warning", detail=f"{detail}; {found.note}", fix=fix)
        elif found.system != "rendered":
            yield Check(name="chat template", status="warning", detail=detail, fix="expect rows with a system turn among pack's rejects")
        else:
            yield Check(name="chat template", status="ok", detail=detail)
    if traced:
        chosen = tags_for(chat.tokenizer, chat.kept, model=given.model)
        own = f"its thoughts are trained in {chosen.tags.open} and {chosen.tags.close} of its own chat template"
        yield Check(name="thoughts", status="ok", detail=chosen.note or own)


def _at_hand(given: Base) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if is_at_hand(given):
        return True
    if given.model in KNOWN:
        return False
    try:
        return isinstance(try_to_load_from_cache(given.model, "tokenizer_config.json", revision=given.revision or None), str)
    except HFValidationError:
        return True  # neither a folder nor a hub id; the check reports it
