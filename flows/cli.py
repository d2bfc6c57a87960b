"""The command `longwriter`: one table of every command. A command's module is imported when the command is called, so that
`longwriter --help` and shell completion stay quick.

A leaf of the table names a typer function as `module:function`, with the line that help lists and an example.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Leaf(NamedTuple):
    """One command: where its typer function is, one line of help, and an example without the word `longwriter`."""

    target: str
    help: str
    example: str


class Branch(NamedTuple):
    """A group of commands."""

    help: str
    commands: Mapping[str, Leaf]


EVAL, DATA, TRAIN = "tasks.evaluation.__main__", "tasks.contracts.__main__", "tasks.training.__main__"
WEIGHTS = "tasks.models.__main__"
MODELS, STORE, TEAM, RELEASE = "tasks.tracking.__main__", "tasks.storage.__main__", "infra.team.__main__", "tasks.release.__main__"
FLOWS, WORKSPACE = "flows.commands", "flows.overview"

TREE: dict[str, Leaf | Branch] = {
    "run": Leaf(f"{FLOWS}:run", "Run the whole pipeline: raw prompts to a promoted model and a report.", "run --profile rehearsal"),
    "status": Leaf(f"{WORKSPACE}:status", "Show which stages are up to date, which are not, and why.", "status"),
    "doctor": Leaf("tasks.doctor:doctor", "Check everything that can be known to fail before money is spent.", "doctor"),
    "estimate": Leaf(
        "tasks.agentwrite.__main__:estimate", "Estimate calls, tokens, dollars and time before a run.", "estimate data/raw/pool.jsonl"
    ),
    "ledger": Leaf("tasks.agentwrite.__main__:ledger", "Show what was paid, by role and model.", "ledger"),
    "report": Leaf(f"{WORKSPACE}:report", "Show where the report of the last run is; --open opens it.", "report --open"),
    "repro": Leaf("flows.verified_dvc:repro", "Run what changed by DVC alone, without Prefect, from a verified cache.", "repro"),
    "stages": Leaf(f"{WORKSPACE}:stages", "List the stages in the order in which they run.", "stages"),
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
            "nll": Leaf(f"{EVAL}:nll", "Measure the NLL of answers by position.", "eval nll answers.jsonl MODEL_FOLDER"),
            "verdicts": Leaf("tasks.judging.__main__:verdicts", "Show how recorded judge replies are read.", "eval verdicts replies.jsonl"),
            "ci": Leaf("tasks.evaluation.ci:ci_eval", "Evaluate in CI: a comment, and exit code 1 on failure.", "eval ci --out ci-eval"),
            "official": Leaf(f"{EVAL}:official", "Fetch the paper's prompts and benchmark files.", "eval official"),
        },
    ),
    "data": Branch(
        "Check, compare, release and fetch datasets.",
        {
            "check": Leaf(f"{DATA}:check", "Check a dataset against the data contract.", "data check rows.jsonl"),
            "diff": Leaf(f"{RELEASE}:diff", "Show what changed between two datasets.", "data diff v1.0.0 data/assemble/dataset"),
            "release": Leaf(f"{RELEASE}:release", "Release the dataset as a version.", "data release v1.0.0"),
            "lengths": Leaf(
                "tasks.text.__main__:lengths",
                "Print the length that each prompt asks for, as it is read.",
                "data lengths prompts.jsonl --json",
            ),
            "pin": Leaf(
                "tasks.sources.__main__:pin", "Print the revision that pins remote files.", "data pin hf://datasets/allenai/WildChat-1M"
            ),
            "import": Leaf(f"{RELEASE}:import_", "Fetch a file and pin it by its checksum.", "data import https://host/chats.jsonl"),
        },
    ),
    "train": Branch(
        "Plan a training, or join one.",
        {
            "plan": Leaf(f"{TRAIN}:plan", "Estimate memory, steps and hours.", "train plan --profile llama-3.1-8b"),
            "worker": Leaf(f"{TRAIN}:worker", "Join the trainings of machine 0.", "train worker"),
        },
    ),
    "study": Leaf(f"{FLOWS}:study", "Run the length-limit study.", "study"),
    "models": Branch(
        "Show and move versions of the model registry; fetch a base model.",
        {
            "fetch": Leaf(f"{WEIGHTS}:fetch_", "Fetch the weights of a small real language model.", "models fetch smollm2"),
            "list": Leaf(f"{MODELS}:models", "List every version with its aliases and scores.", "models list"),
            "rollback": Leaf(f"{FLOWS}:rollback", "Make the previous champion champion again.", "models rollback --reason 'answers loop'"),
            "allow": Leaf(f"{MODELS}:allow", "Allow a version that was rolled back to be promoted again.", "models allow 3"),
            "approve": Leaf(f"{MODELS}:approve", "Record who approved of a promotion.", "models approve 3 --by Ada"),
            "preview": Leaf(f"{MODELS}:preview", "Show what the gate would decide now.", "models preview"),
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
            "dataset": Leaf(f"{FLOWS}:dataset", "Run up to the validated dataset.", "flow dataset"),
            "training": Leaf(f"{FLOWS}:training", "Run up to the trained student.", "flow training"),
            "evaluation": Leaf(f"{FLOWS}:evaluation", "Run up to the scores.", "flow evaluation --push"),
            "promotion": Leaf(f"{FLOWS}:promotion", "Run up to the promotion and the report.", "flow promotion --approval"),
        },
    ),
    "deploy": Leaf(f"{FLOWS}:deploy", "Register deployments, schedules and automations at PREFECT_API_URL.", "deploy"),
    "worker": Leaf(f"{FLOWS}:worker", "Run deployments in this checkout, one at a time.", "worker --pool gpu"),
}


class Table(TyperGroup):
    """A group whose commands are imported when they are called. Help and completion read the table alone."""

    def __init__(self, *, entries: Mapping[str, Leaf | Branch] = TREE, **given: Any):
        super().__init__(**given)
        self.entries = entries
        self.commands = {name: _listed(name, entry) for name, entry in entries.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        entry = self.entries.get(name or "")
        return name, load(entry) if isinstance(entry, Leaf) else command, rest


def _listed(name: str, entry: Leaf | Branch) -> TyperCommand | TyperGroup:
    if isinstance(entry, Branch):
        return Table(name=name, help=entry.help, no_args_is_help=True, entries=entry.commands)
    return TyperCommand(name, help=entry.help)


def load(leaf: Leaf) -> Any:
    """The command of a leaf; imports its module."""
    module, _, function = leaf.target.partition(":")
    one = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    one.command(epilog=f"Example: longwriter {leaf.example}")(getattr(import_module(module), function))
    return typer.main.get_command(one)


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


def main(argv: list[str] | None = None) -> Any:
    """The console script `longwriter`."""
    return app(argv, prog_name="longwriter")


if __name__ == "__main__":
    main()
