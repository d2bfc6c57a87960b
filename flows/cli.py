"""The command `longwriter`: a table of all commands.

A command's module is imported only when the command is called, so that `longwriter --help` and shell completion stay fast. An entry of
the table names a typer function as `module:function`, its line of help and an example.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Leaf(NamedTuple):
    """One command: its typer function as `module:function`, one line of help, and an example without the word `longwriter`."""

    target: str
    help: str
    example: str
    checkout: bool = False  # True: it works only in a checkout, because it needs dvc.yaml


class Branch(NamedTuple):
    """A group of commands."""

    help: str
    commands: Mapping[str, Leaf]


EVAL, DATA, TRAIN = "tasks.evaluation.__main__", "tasks.contracts.__main__", "tasks.training.__main__"
WEIGHTS = "tasks.models.__main__"
MODELS, STORE, TEAM, RELEASE = "tasks.tracking.__main__", "tasks.storage.__main__", "infra.team.__main__", "tasks.release.__main__"
FLOWS, WORKSPACE = "flows.commands", "flows.overview"

TREE: dict[str, Leaf | Branch] = {
    "run": Leaf(
        f"{FLOWS}:run", "Run the whole pipeline: raw prompts to a promoted model and a report.", "run --profile rehearsal", checkout=True
    ),
    "status": Leaf(f"{WORKSPACE}:status", "Show which stages are up to date, which are not, and why.", "status", checkout=True),
    "doctor": Leaf("tasks.doctor:doctor", "Check everything that can be known to fail before money is spent.", "doctor"),
    "estimate": Leaf(
        "tasks.agentwrite.__main__:estimate", "Estimate calls, tokens, dollars and time before a run.", "estimate data/raw/pool.jsonl"
    ),
    "ledger": Leaf("tasks.agentwrite.__main__:ledger", "Show what was paid, by role and model.", "ledger"),
    "report": Leaf(f"{WORKSPACE}:report", "Show where the report of the last run is; --open opens it.", "report --open", checkout=True),
    "read": Leaf(
        "tasks.reader.__main__:read",
        "Read the texts of a dataset, drafts, predictions or an evaluation in the browser.",
        "read data/predict",
    ),
    "repro": Leaf(
        "flows.verified_dvc:repro", "Run what changed by DVC alone, without Prefect, from a verified cache.", "repro", checkout=True
    ),
    "stages": Leaf(f"{WORKSPACE}:stages", "Show the graph of the stages in a terminal.", "stages", checkout=True),
    "use": Leaf(f"{WORKSPACE}:use", "Copy a profile to params.yaml.", "use llama-3.1-8b"),
    "eval": Branch(
        "Evaluate models and recorded answers.",
        {
            "run": Leaf(f"{EVAL}:evaluate", "Evaluate a model on a benchmark.", "eval run http://127.0.0.1:8000/v1 --samples 3"),
            "score": Leaf(f"{EVAL}:score", "Score recorded answers.", "eval score answers.jsonl --length 4000"),
            "compare": Leaf(
                f"{EVAL}:compare", "Compare two evaluations, with intervals.", "eval compare data/score:student paper:LongWriter-9B"
            ),
            "duel": Leaf(f"{EVAL}:duel", "Let the judge compare answers in pairs.", "eval duel data/predict:student data/predict:control"),
            "rank": Leaf(
                "tasks.evaluation.judge_commands:rank",
                "Rank many models by duels, with intervals, within a budget.",
                "eval rank evaluations/a evaluations/b evaluations/c --budget 400",
            ),
            "judge-exam": Leaf(
                "tasks.evaluation.judge_commands:judge_exam",
                "Examine the judge: what misleads it, and whether it repeats its grades.",
                "eval judge-exam answers.jsonl --estimate",
            ),
            "contradictions": Leaf(
                "tasks.evaluation.contradiction_commands:contradictions",
                "Find contradictions of texts with themselves, with both quotes.",
                "eval contradictions answers.jsonl --estimate",
            ),
            "contradiction-exam": Leaf(
                "tasks.evaluation.contradiction_commands:contradiction_exam",
                "Examine the judge of contradictions by planting some.",
                "eval contradiction-exam answers.jsonl --estimate",
            ),
            "positions": Leaf(
                "tasks.evaluation.contradiction_commands:positions",
                "Grade the parts of long texts one by one, by place in the text.",
                "eval positions answers.jsonl --part 1000 --estimate",
            ),
            "nll": Leaf(f"{EVAL}:nll", "Measure the NLL of answers by position.", "eval nll answers.jsonl MODEL_FOLDER"),
            "verdicts": Leaf("tasks.judging.__main__:verdicts", "Show how recorded judge replies are read.", "eval verdicts replies.jsonl"),
            "ci": Leaf("tasks.evaluation.ci:ci_eval", "Evaluate in CI: a comment, and exit code 1 on failure.", "eval ci --out ci-eval"),
            "official": Leaf(f"{EVAL}:official", "Fetch a benchmark's files, pinned and verified.", "eval official hellobench-length"),
            "export": Leaf(f"{EVAL}:export", "Write an evaluation as a log of inspect_ai.", "eval export evaluations/m --inspect m.eval"),
            "benchmarks": Leaf(f"{EVAL}:benchmarks", "List the benchmarks with their cards.", "eval benchmarks writingbench"),
        },
    ),
    "data": Branch(
        "Check, compare, release and fetch datasets.",
        {
            "check": Leaf(f"{DATA}:check", "Check a dataset against the data contract.", "data check rows.jsonl"),
            "diff": Leaf(f"{RELEASE}:diff", "Show what changed between two datasets.", "data diff v1.0.0 data/assemble/dataset"),
            "release": Leaf(
                f"{RELEASE}:release",
                "Release the dataset as a version; with --hub also on the Hugging Face hub.",
                "data release v1.0.0 --hub my-team/longwriter-6k",
                checkout=True,
            ),
            "lengths": Leaf(
                "tasks.text.__main__:lengths",
                "Print the length that each prompt asks for, as it is read.",
                "data lengths prompts.jsonl --json",
            ),
            "pin": Leaf(
                "tasks.sources.__main__:pin", "Print the revision that pins remote files.", "data pin hf://datasets/allenai/WildChat-1M"
            ),
            "import": Leaf(
                f"{RELEASE}:import_", "Fetch a file and pin it by its checksum.", "data import https://host/chats.jsonl", checkout=True
            ),
        },
    ),
    "train": Branch(
        "Plan a training, or join one.",
        {
            "plan": Leaf(f"{TRAIN}:plan", "Estimate memory, steps and hours.", "train plan --profile llama-3.1-8b"),
            "worker": Leaf(f"{TRAIN}:worker", "Join the trainings of machine 0.", "train worker", checkout=True),
        },
    ),
    "chat": Leaf("tasks.interactive.__main__:chat", "Talk to a model in the terminal.", "chat http://127.0.0.1:8000/v1 --stop-loops"),
    "write": Leaf(
        "tasks.interactive.__main__:write",
        "Write one text with AgentWrite and save it.",
        'write "A 600-word guide to sourdough" --model smollm2',
    ),
    "study": Leaf(f"{FLOWS}:study", "Run the length-limit study.", "study", checkout=True),
    "models": Branch(
        "Show and move versions of the model registry; fetch a base model.",
        {
            "fetch": Leaf(f"{WEIGHTS}:fetch_", "Fetch the weights of a small real language model.", "models fetch smollm2"),
            "speculation": Leaf(
                "tasks.longbench.speculation:check",
                "Compare answers without and with speculative decoding.",
                "models speculation without.jsonl with.jsonl",
            ),
            "list": Leaf(f"{MODELS}:models", "List every version with its aliases and scores.", "models list"),
            "rollback": Leaf(f"{FLOWS}:rollback", "Make the previous champion champion again.", "models rollback --reason 'answers loop'"),
            "allow": Leaf(f"{MODELS}:allow", "Allow a version that was rolled back to be promoted again.", "models allow 3"),
            "approve": Leaf(f"{MODELS}:approve", "Record who approved of a promotion.", "models approve 3 --by Ada"),
            "preview": Leaf(f"{MODELS}:preview", "Show what the gate would decide now.", "models preview"),
            "evaluated": Leaf(f"{MODELS}:evaluated", "Compare a version by a later evaluation of it.", "models evaluated 3 evaluations/v3"),
            "push": Leaf(
                f"{RELEASE}:push",
                "Push a version to the Hugging Face hub, private and as a pull request.",
                "models push champion my-team/longwriter-8b --dry-run",
            ),
            "export": Leaf(
                f"{RELEASE}:export",
                "Write a version as a GGUF file for llama.cpp, checked by its answers.",
                "models export champion writer.gguf --weights q8_0",
            ),
            "candidates": Leaf(f"{MODELS}:unevaluated", "List versions that have not been evaluated.", "models candidates"),
        },
    ),
    "store": Branch(
        "Publish folders to S3 as immutable versions, and fetch them.",
        {
            "publish": Leaf(f"{STORE}:publish", "Publish a folder as a version.", "store publish dataset --alias reviewed"),
            "fetch": Leaf(f"{STORE}:fetch", "Fetch a version and verify it.", "store fetch checkpoint model --version champion"),
            "list": Leaf(f"{STORE}:list_", "List the published versions.", "store list dataset"),
            "link": Leaf(f"{STORE}:link", "Print presigned links to a version's files.", "store link dataset --hours 2"),
            "alias": Leaf(f"{STORE}:alias", "Point an alias to a version.", "store alias dataset reviewed v1.0.0"),
            "follow": Leaf(f"{STORE}:follow", "Set aliases of checkpoints to the registry's.", "store follow"),
            "prune": Leaf(f"{STORE}:prune", "Delete old versions that nothing uses.", "store prune dataset --days 90"),
            "bucket": Leaf(f"{STORE}:bucket", "Create the bucket: encrypted, versioned, private.", "store bucket"),
        },
    ),
    "team": Branch(
        "Run the team's servers on this machine.",
        {
            "up": Leaf(f"{TEAM}:up", "Start PostgreSQL, S3, MLflow, Prefect and two workers.", "team up"),
            "status": Leaf(f"{TEAM}:status", "Ask each server for its state.", "team status"),
            "down": Leaf(f"{TEAM}:down", "Stop all of them; data stay.", "team down"),
            "env": Leaf(f"{TEAM}:env", "Write their addresses and passwords to team.env.", "team env"),
        },
    ),
    "flow": Branch(
        "Run a part of the pipeline.",
        {
            "dataset": Leaf(f"{FLOWS}:dataset", "Run up to the validated dataset.", "flow dataset", checkout=True),
            "training": Leaf(f"{FLOWS}:training", "Run up to the trained student.", "flow training", checkout=True),
            "evaluation": Leaf(f"{FLOWS}:evaluation", "Run up to the scores.", "flow evaluation --push", checkout=True),
            "promotion": Leaf(f"{FLOWS}:promotion", "Run up to the promotion and the report.", "flow promotion --approval", checkout=True),
        },
    ),
    "deploy": Leaf(f"{FLOWS}:deploy", "Register deployments, schedules and automations at PREFECT_API_URL.", "deploy", checkout=True),
    "worker": Leaf(f"{FLOWS}:worker", "Run deployments in this checkout, one at a time.", "worker --pool gpu", checkout=True),
}


class Command(TyperCommand):
    """A command that fails with one line if it needs a checkout or a package that is missing."""

    checkout = False

    def invoke(self, ctx: Any) -> object:
        here = Path.cwd()
        if self.checkout and not any((folder / "dvc.yaml").is_file() for folder in (here, *here.parents)):
            problem = f"{ctx.command_path} works in a checkout of the project, and there is no dvc.yaml in {here}"
            _fail(f"{problem}; fix: git clone the repository, run `make install` in it, and start .venv/bin/longwriter there")
        with _needed_packages(ctx.command_path), _usable_paths():
            return super().invoke(ctx)


@contextmanager
def _usable_paths() -> Iterator[None]:
    """Fail with one line for a path that cannot be used, such as on a read-only file system. Other errors keep their traceback."""
    try:
        yield
    except OSError as error:
        from tasks.stage import fail_if_known

        fail_if_known(error)
        raise


@contextmanager
def _needed_packages(command: str) -> Iterator[None]:
    """Fail with one line if a package of an extra is missing. A missing module of the project is a defect and keeps its traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "flows", "tasks", "infra"):
            raise
        fix = "`make install` in a checkout, or pip install 'longwriter-pipeline[pipeline]'"
        _fail(f"{command} needs the package {package}, which is not installed; fix: {fix}")


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)
    raise SystemExit(2)


class Table(TyperGroup):
    """A group that imports a command when it is called. Help and completion only read the table."""

    def __init__(self, *, entries: Mapping[str, Leaf | Branch] = TREE, **given: Any):
        super().__init__(**given)
        self.entries = entries
        self.commands = {name: _listed(name, entry) for name, entry in entries.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        entry = self.entries.get(name or "")
        return name, load(entry, f"{ctx.command_path} {name}") if isinstance(entry, Leaf) else command, rest


def _listed(name: str, entry: Leaf | Branch) -> TyperCommand | TyperGroup:
    if isinstance(entry, Branch):
        return Table(name=name, help=entry.help, no_args_is_help=True, entries=entry.commands)
    return TyperCommand(name, help=entry.help)


def load(leaf: Leaf, name: str = "longwriter") -> Any:
    """The click command of a table entry; imports its module. `name` is the command's name in errors."""
    module, _, function = leaf.target.partition(":")
    one = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    with _needed_packages(name):
        one.command(cls=Command, epilog=f"Example: longwriter {leaf.example}")(getattr(import_module(module), function))
    command = typer.main.get_command(one)
    command.checkout = leaf.checkout  # type: ignore[attr-defined]
    return command


app = typer.Typer(
    cls=Table,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Start with: longwriter run. Then: longwriter report --open. Every command has --help with an example.",
)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"longwriter {version('longwriter-pipeline')}")
        raise typer.Exit


@app.callback()
def longwriter(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=show_version, help="print the version")] = False,
) -> None:
    """Teach a language model to write 10,000 words and more: collect, write, train, evaluate, promote."""


def main(argv: list[str] | None = None) -> object:
    """The console script `longwriter`."""
    return app(argv, prog_name="longwriter")


if __name__ == "__main__":
    main()
