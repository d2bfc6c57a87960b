"""`longwriter doctor`: check everything that could fail, before money is spent.

Each check is one line: ok, warning or error, the last two with a fix. A run (flows/preflight.py), an estimate and a training plan make
the checks that they need first. Each role's endpoint gets one tiny request, which is paid and journalled as any other; endpoints of the
rehearsal get none. Where requests go by batches, the endpoint's batches are listed, which is free; no batch is sent.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, get_args
from urllib.parse import urlsplit
from uuid import uuid4

import orjson
import typer

from tasks.models.local import is_local
from tasks.schema import standins
from tasks.schema.checks import Check, Status, attempt
from tasks.schema.errors import PipelineError, WorkspaceBusy
from tasks.schema.params import Model, Params, load
from tasks.schema.records import ThinkingBudget
from tasks.schema.settings import PREFIX, Role, Settings, settings
from tasks.stage import one_line_errors
from tasks.training.base_checks import base

GIB = 2**30
ANSWER = 60.0  # seconds that the tiny request may take
TOKENS = 64  # limit of its reply
THOUGHTS = 2048  # more, for a model that is asked to think
PLANNED = 80.0  # GiB of a GPU, on a machine without one
READY = {"type": "object", "properties": {"ready": {"type": "boolean"}}, "required": ["ready"], "additionalProperties": False}
JSON_ROLES: tuple[Role, ...] = ("selector", "judge", "second_judge", "reward_judge")  # their replies must be JSON
LOCAL = ("localhost", "127.0.0.1", "::1", "[::1]")


def examine(params: Params, own: Settings, *, ask: bool) -> Iterator[Check]:
    """All checks, each as soon as it is done. `ask` sends each endpoint a request too, which costs some 100 tokens per role."""
    yield from versions()
    yield from base(params)
    yield from (Check(name="stand-ins", status="error", detail=problem) for problem in standins.misplaced(params, own))
    yield from room(params, own)
    yield from endpoints(params, own)
    if ask:
        yield from answers(params, own, roles(params))
        yield from batches(params, own, roles(params))
    yield from services(own)


def endpoints(params: Params, own: Settings, wanted: Iterable[Role] | None = None) -> Iterator[Check]:
    """Check that each role has an endpoint, a key, and (with a spend cap) a price. Sends no request."""
    for role in wanted or roles(params):
        yield _configured(role, _model(params, role), own)


def answers(params: Params, own: Settings, wanted: Sequence[Role]) -> list[Check]:
    """Send each role's endpoint one tiny request, and check the reply (JSON where the role needs it). Roles without a URL are skipped."""
    asked = [role for role in wanted if own.url(role) and _model(params, role)]
    return asyncio.run(_ask_all(params, own, asked)) if asked else []


def batches(params: Params, own: Settings, wanted: Sequence[Role]) -> list[Check]:
    """List the batches of each role that sends its requests by batches. Sends no batch. Roles without a URL are skipped."""
    models = [(role, model) for role in wanted if own.url(role) and own.transport(role) != "direct" and (model := _model(params, role))]

    async def all_of_them() -> list[Check]:
        return list(await asyncio.gather(*(_list_batches(role, model, own) for role, model in models)))

    return asyncio.run(all_of_them()) if models else []


def roles(params: Params) -> list[Role]:
    """The roles that params.yaml has a model for. With recorded answers nobody is asked to select or to write."""
    unasked = ("teacher", "selector") if params.collect.recorded else ()
    return [role for role in get_args(Role) if role not in unasked and _model(params, role)]


def versions() -> Iterator[Check]:
    """Compare the installed packages with the bounds in the checkout's pyproject.toml, for the evaluator and the pipeline."""
    from packaging.requirements import Requirement

    path = Path("pyproject.toml")
    asked = [one for line in _dependencies(path) if not (one := Requirement(line)).marker or one.marker.evaluate()]
    wrong = [problem for one in asked if (problem := _version_problem(one.name, one.specifier))]
    for problem in wrong:
        yield Check(name="versions", status="error", detail=problem, fix="`make install`")
    if not wrong:
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "trl", "prefect", "dvc", "mlflow"))
        yield Check(name="versions", status="ok", detail=f"Python {sys.version.split()[0]}, {shown}")


def room(params: Params, own: Settings) -> Iterator[Check]:
    """Check that the workspace can be written, disk space for checkpoints, and each GPU's memory for each training."""
    yield from _writable(own)
    yield from attempt("disk and memory", lambda: _room(params, own))


def services(own: Settings) -> Iterator[Check]:
    """Check MLflow, Prefect, the object store's credentials and the training's port, as the settings name them."""
    for name, url in (("MLflow", own.tracking_uri), ("Prefect", os.environ.get("PREFECT_API_URL", ""))):
        if url.startswith("http"):
            yield _reached(name, url)
        else:
            yield Check(name=name, status="ok", detail="embedded, no server")
    for name in ("store", "checkpoint_store"):
        if getattr(own, name):
            yield _credentials(name)
    if own.processes * own.machines > 1:
        yield _port(own)


def _writable(own: Settings) -> Iterator[Check]:
    """One check for each folder of the workspace in which a run could not write."""
    for folder in dict.fromkeys((Path(), Path("data"), own.home)):
        there = _existing(folder)
        if not os.access(there, os.W_OK | os.X_OK):
            detail = f"{there}: the folder, or its file system, cannot be written"
            yield Check(name="workspace", status="error", detail=detail, fix="make it writable, or work in another checkout")


def _room(params: Params, own: Settings) -> Iterator[Check]:
    from tasks.training.budget import on_each_gpu, reinforcing, shapes_of, strategy_of
    from tasks.training.preflight import check_gpus, gpus, room_needed, slow_attention

    shapes, strategy, found = shapes_of(params.base, params.train.tiny, vocabulary=params.pack.vocabulary), None, gpus()
    needed, free = room_needed(params.train, shapes, own), _free(own.home)
    detail = f"{needed / GIB:.1f} GiB for checkpoints, {free / GIB:.1f} GiB are free"
    here = bool(found) or params.base.model == standins.TINY  # does the training run on this machine?
    if needed > free:
        short = "free some, or lower LONGWRITER_KEEP_CHECKPOINTS"
        yield Check(name="disk", status="error" if here else "warning", detail=detail, fix=short)
    else:
        yield Check(name="disk", status="ok", detail=detail)
    check_gpus(own, len(found))
    if found and (slow := slow_attention(own, context=params.pack.context)):
        fix = "install flash-attn, or set LONGWRITER_ATTENTION=flex_attention"
        yield Check(name="attention", status="warning", detail=slow, fix=fix)
    strategy = strategy_of(own.accelerate_config)
    needs = {"train": on_each_gpu(shapes, params.train, strategy, own, context=params.pack.context)}
    if params.sample.prompts:
        needs["align"] = on_each_gpu(shapes, params.align, strategy, own, context=params.align.context, pairs=True)
    if params.reinforce.prompts:
        smallest_gpu = min((gpu.memory for gpu in found), default=PLANNED)
        needs["reinforce"] = reinforcing(shapes, params.reinforce, strategy, own, gpu=smallest_gpu)
    for stage, memory in needs.items():
        detail = f"{stage} needs {memory.total:.0f} GiB on each of {own.processes * own.machines} GPUs with {strategy.name}"
        smallest = min((gpu.memory for gpu in found), default=None)
        if smallest is None:
            shown = f"{stage} on the CPU" if here else f"{detail}; this machine has none"
            fix = "" if here else "run this stage on a machine with GPUs"
            yield Check(name="memory", status="ok" if here else "warning", detail=shown, fix=fix)
        elif smallest < memory.total:
            yield Check(name="memory", status="error", detail=f"{detail}, the smallest has {smallest:.0f}", fix="`longwriter train plan`")
        else:
            yield Check(name="memory", status="ok", detail=f"{detail}, the smallest has {smallest:.0f}")


def _free(folder: Path) -> int:
    import shutil

    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _model(params: Params, role: Role) -> Model | None:
    found: Model | None = getattr(params.models, role)
    return found


def _configured(role: Role, model: Model | None, own: Settings) -> Check:
    variable = f"{PREFIX}{role.upper()}"
    if model is None:
        return Check(name=role, status="ok", detail="not configured, not asked")
    url = own.url(role)
    if not url:
        if (transport := own.transport(role)) != "direct":
            problem = f"{variable}_TRANSPORT is {transport}, and {variable}_URL is not set"
            fix = f"set the URL of an endpoint with batches, or {variable}_TRANSPORT=direct"
            return Check(name=role, status="error", detail=problem, fix=fix)
        if standins.is_stand_in(model):
            return Check(name=role, status="ok", detail=f"{model.name}, answered by the built-in rehearsal endpoint")
        if role == "candidate":
            return Check(name=role, status="ok", detail=f"{model.name}: the pipeline serves the trained checkpoint itself")
        if is_local(model.name):
            return Check(name=role, status="ok", detail=f"{model.name}: the pipeline serves it itself")
        problem = f"no endpoint is configured for models.{role} ({model.name})"
        return Check(name=role, status="error", detail=problem, fix=f"set {variable}_URL to an OpenAI-compatible URL")
    if own.spend_cap is not None and model.name not in own.prices:
        problem = f"{PREFIX}SPEND_CAP is set, and {PREFIX}PRICES has no price for {model.name}"
        return Check(name=role, status="error", detail=problem, fix="add its price, 0 if the endpoint is your own")
    host = urlsplit(url).hostname or ""
    if not own.api_key(role).get_secret_value() and host not in LOCAL and "@" not in url:
        problem = f"{model.name} at {host}: no API key is set"
        return Check(name=role, status="warning", detail=problem, fix=f"set {variable}_API_KEY or OPENAI_API_KEY if it wants one")
    return Check(name=role, status="ok", detail=f"{model.name} at {host}, configured")


async def _ask_all(params: Params, own: Settings, asked: Sequence[Role]) -> list[Check]:
    models = [(role, model) for role in asked if (model := _model(params, role))]
    return list(await asyncio.gather(*(_ask(role, model) for role, model in models)))


async def _ask(role: Role, model: Model) -> Check:
    """Send one request with a random part, so that the journal cannot answer it."""
    from tasks.endpoints.chat import user
    from tasks.endpoints.roles import open_role

    name, schema = f"{role} answers", READY if role in JSON_ROLES else None
    thoughts = model.reasoning not in (None, "none")
    room = TOKENS + (model.reasoning.budget if isinstance(model.reasoning, ThinkingBudget) else THOUGHTS if thoughts else 0)
    small = model.model_copy(update={"max_tokens": min(room, model.max_tokens)})
    words = "Reply with the JSON object" + ' {"ready": true}' if schema else "Reply with the word ready"
    try:
        async with asyncio.timeout(ANSWER), open_role(role, small, transport="direct") as chat:
            reply = await chat(user(f"{words}. Check {uuid4().hex[:8]}.", schema=schema))
    except TimeoutError:
        return Check(name=name, status="warning", detail=f"no answer within {ANSWER:g} s", fix="check the endpoint, or wait for it")
    except WorkspaceBusy:
        return Check(name=name, status="warning", detail="not asked: a run is going on in this workspace", fix="ask again after it")
    except PipelineError as error:
        return Check(name=name, status="error", detail=str(error))
    if schema and not _is_json(reply.text) and not reply.reasoning:
        problem = f"not with JSON, as it was asked to ({reply.text[:60]!r}): its replies may be unreadable"
        return Check(name=name, status="warning", detail=problem, fix="try a few with `longwriter eval run`, or take another model")
    if model.reasoning == "none" and reply.reasoning:
        problem = f"with thoughts, though models.{role}.reasoning is none: {reply.reasoning[:60]!r}"
        return Check(name=name, status="warning", detail=problem, fix="switch them off at the server, or set reasoning to null")
    if thoughts and not reply.reasoning and reply.usage.completion <= TOKENS:
        problem = f"without thoughts, though models.{role}.reasoning is {model.reasoning}; it may ignore the setting"
        return Check(
            name=name, status="warning", detail=problem, fix="try a longer request by `longwriter write`, or set reasoning to null"
        )
    if not reply.usage.completion:
        problem = "without usage: a spend cap counts the most that each call can cost"
        return Check(name=name, status="warning", detail=problem, fix="let the endpoint report usage")
    return Check(name=name, status="ok", detail=f"{model.name}, in {reply.seconds:.1f} s")


async def _list_batches(role: Role, model: Model, own: Settings) -> Check:
    from tasks.endpoints.batching import check_batches

    name, transport = f"{role} batches", f"{PREFIX}{role.upper()}_TRANSPORT"
    try:
        async with asyncio.timeout(ANSWER):
            await check_batches(role, model, own)
    except TimeoutError:
        problem = f"no list of batches within {ANSWER:g} s"
        return Check(name=name, status="warning", detail=problem, fix=f"check the endpoint, or set {transport}=direct")
    except PipelineError as error:
        return Check(name=name, status="error", detail=str(error))
    return Check(name=name, status="ok", detail=f"{urlsplit(own.url(role)).hostname} lists batches; none was sent")


def _is_json(text: str) -> bool:
    start, end = text.find("{"), text.rfind("}")
    try:
        return isinstance(orjson.loads(text[start : end + 1]), dict)
    except orjson.JSONDecodeError:
        return False


def _dependencies(pyproject: Path) -> list[str]:
    import tomllib

    if not pyproject.is_file():
        return []
    found = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    if found.get("name") != "longwriter-pipeline":
        return []
    return [*found.get("dependencies", []), *found.get("optional-dependencies", {}).get("pipeline", [])]


def _version_problem(name: str, wanted: object) -> str | None:
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is not installed"
    from packaging.specifiers import SpecifierSet

    assert isinstance(wanted, SpecifierSet)
    return None if wanted.contains(found, prereleases=True) else f"{name} {found} is installed, and {wanted} is needed"


def _reached(name: str, url: str) -> Check:
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError as error:
        problem = f"no server at {address.hostname}:{port} ({error.strerror or 'no answer'})"
        return Check(name=name, status="error", detail=problem, fix="start it, or unset its variable to use the embedded one")
    return Check(name=name, status="ok", detail=f"a server listens at {address.hostname}:{port}")


def _credentials(name: str) -> Check:
    import boto3

    variable = f"{PREFIX}{name.upper()}"
    if boto3.Session().get_credentials() is None:
        return Check(name=variable, status="error", detail="no AWS credentials", fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return Check(name=variable, status="ok", detail="credentials are there")


def _port(own: Settings) -> Check:
    if own.machine_rank:
        return Check(name="main port", status="ok", detail=f"{own.main_address}:{own.main_port}, on machine 0")
    with socket.socket() as probe:
        try:
            probe.bind(("", own.main_port))
        except OSError:
            problem = f"port {own.main_port} is taken, and training processes meet there"
            return Check(name="main port", status="error", detail=problem, fix=f"set {PREFIX}MAIN_PORT to a free one")
    return Check(name="main port", status="ok", detail=f"{own.main_port} is free")


def doctor(
    profile: Annotated[str, typer.Option(help="a file in profiles/, without .yaml; default: params.yaml")] = "",
    params: Annotated[Path, typer.Option(help="another params file")] = Path("params.yaml"),
    ask: Annotated[bool, typer.Option(help="send one tiny request for each role that has an endpoint")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Check everything that can be known to fail before money is spent. Exits with 1 if there is an error."""
    with one_line_errors():
        found = list[Check]()
        for check in examine(load(Path(f"profiles/{profile}.yaml") if profile else params), settings(), ask=ask):
            found.append(check)
            if not as_json:
                print(f"{check.status:8} {check}", flush=True)
        counts = {status: sum(check.status == status for check in found) for status in get_args(Status)}
        if as_json:
            print(orjson.dumps({"checks": [check.model_dump() for check in found], "counts": counts}).decode())
        else:
            print(f"{counts['error']} errors, {counts['warning']} warnings")
    if counts["error"]:
        raise typer.Exit(1)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(doctor)

if __name__ == "__main__":
    app()
