"""`longwriter write` and `longwriter chat` (`python -m tasks.interactive`)."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.schema.redaction import split_url
from tasks.stage import one_line_errors, run_async

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
NAMED = "a URL that ends in /v1, a model folder, a GGUF file, smollm2, or models:/longwriter@champion"


@app.callback()
def interactive() -> None:
    """Write one text, or talk to a model."""


@app.command()
def write(
    instruction: Annotated[str, typer.Argument(help='what to write, with its length: "A 2,000-word guide to sourdough"; - reads it')],
    model: Annotated[str, typer.Option(help=f"{NAMED}; default: the teacher in params.yaml")] = "",
    out: Annotated[list[Path] | None, typer.Option(help="file to save, .md, .docx or .epub; can be given several times")] = None,
    words: Annotated[int | None, typer.Option(min=1, help="words to write, if the instruction does not state a length")] = None,
    profile: Annotated[str, typer.Option(help="take plan, write and models.teacher from this profile, not from params.yaml")] = "",
    name: Annotated[str, typer.Option(help="name of the model on the server, if the server has several")] = "",
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="default: the teacher's temperature in params.yaml")] = None,
    take: Annotated[int, typer.Option(min=1, help="a new number writes a new text; the same number resumes")] = 1,
    force: Annotated[bool, typer.Option("--force", help="replace existing files")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object with the text and the figures; the rest goes to stderr")] = False,
) -> None:
    """Write one text with AgentWrite: first the plan, then each paragraph.

    After a kill the same command goes on, and pays nothing twice."""
    from rich.console import Console

    from tasks.interactive import chosen_model, documents, writing

    with one_line_errors():
        asked = writing.instruction_of(sys.stdin.read() if instruction == "-" else instruction, words=words)
        paths = out or [writing.path_for(asked.text)]
        for path in paths:
            documents.check_path(path, force=force)
        model = split_url(model)
        params = chosen_model.params_for(model, profile)
        chosen = run_async(chosen_model.choose(model, params, name=name, temperature=temperature))
        if warning := chosen_model.stand_in_warning(chosen):
            print(f"warning: {warning}", file=sys.stderr, flush=True)
        console = Console(stderr=as_json, highlight=False, soft_wrap=not sys.stdout.isatty())
        console.print(f"{asked.words:,} words, by {chosen.shown}", style="bold", markup=False)
        expected = writing.expected_cost(asked, chosen, params)
        partial = paths[0].with_suffix(".partial.md")
        written = run_async(writing.write_text(asked, chosen, params, console=console, take=take, partial=partial, expected=expected))
        writing.save_all(written, paths)
        partial.unlink(missing_ok=True)
        console.print(writing.closing(written, paths), markup=False)
        if as_json:
            print(orjson.dumps(writing.record(written, paths)).decode(), flush=True)


@app.command()
def chat(
    model: Annotated[str, typer.Argument(help=f"{NAMED}; default: LONGWRITER_CANDIDATE_URL, else the champion")] = "",
    name: Annotated[str, typer.Option(help="name of the model on the server, if the server has several")] = "",
    system: Annotated[str, typer.Option(help="a system message at the beginning")] = "",
    history: Annotated[Path | None, typer.Option(help="file of a conversation to continue; default: a new file")] = None,
    words: Annotated[int | None, typer.Option(min=1, help="words that every message asks for")] = None,
    stop_loops: Annotated[bool, typer.Option("--stop-loops", help="end an answer that repeats itself")] = False,
    thoughts: Annotated[bool, typer.Option("--thoughts", help="show the model's thoughts, dimmed; folded if not given")] = False,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="default: the candidate's temperature in params.yaml")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="tokens of an answer")] = None,
    profile: Annotated[str, typer.Option(help="take the candidate's temperature from this profile, not from params.yaml")] = "",
) -> None:
    """Talk to a model. Answers are streamed and their words counted against the length that you ask for. /help lists the commands.

    Without a terminal, each line of standard input is a message, and only the answers go to standard output."""
    from rich.console import Console

    from tasks.interactive import chosen_model, talking
    from tasks.interactive.history import History, Turn, new_path
    from tasks.schema.settings import settings

    with one_line_errors():
        model = split_url(model)
        params = chosen_model.params_for(model, profile)
        chosen = run_async(chosen_model.choose_candidate(model, params, name=name, temperature=temperature, max_tokens=max_tokens))
        kept = History(history or new_path(settings().home, chosen.model.name))
        if system and not kept.messages:
            kept.add(Turn(role="system", content=system))
        console = Console(highlight=False)
        if console.is_terminal:
            again = f", {len(kept.messages)} messages so far" if kept.messages else ""
            console.print(f"{chosen.shown}; history in {kept.path}{again}; /help lists the commands", style="dim", markup=False)
        run_async(talking.talk(chosen, kept, talking.Options(stop_loops, thoughts, words), console=console))


if __name__ == "__main__":
    app()
