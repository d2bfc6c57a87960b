"""`longwriter team` (`python -m infra.team`): env, up, status, down."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import orjson
import psutil
import typer

from infra.team import board, checks, environment, postgres, processes, services, workspaces
from infra.team.board import Board
from tasks.processes import end_all
from tasks.schema.errors import ServerError
from tasks.stage import one_line_errors

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
LOOK = 0.3  # seconds between two reads of the board
SAY = 10.0  # seconds between two lines about services that are not up
LONGEST = 600.0  # seconds until everything must be up, otherwise it is stopped again
ENDING = 120.0  # seconds that an owner may take to stop everything
ROOT = Path(__file__).parents[2]


@app.callback()
def team() -> None:
    """Run the team's back end on this machine: PostgreSQL, S3, MLflow, Prefect and two workers."""


@app.command()
def env(free_ports: Annotated[bool, typer.Option(help="use ports that are free now, instead of the usual ones")] = False) -> None:
    """Write team.env with random secrets, if it does not exist."""
    with one_line_errors():
        environment.ensure(free_ports=free_ports)
        print(environment.path())


@app.command()
def up() -> None:
    """Start the servers if they are not running, and wait until all answer. Running it again changes nothing."""
    with one_line_errors():
        values = environment.ensure()
        found = board.read()
        if not (found and found.alive):
            _clear()
            _begin(values)
        _wait()
        shown = shlex.quote(str(environment.path()))
        print(f"Prefect   {values['PREFECT_API_URL'].removesuffix('/api')}\nMLflow    {values['LONGWRITER_TRACKING_URI']}")
        print(f"for your shell: set -a; . {shown}; set +a")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False) -> None:
    """Check every server now. Exits with 3 unless all are healthy."""
    with one_line_errors():
        found = board.read()
        running = found if found and found.alive else None
        left = [] if running else processes.strays(environment.folder())
        by_name = _services() if running else {}
        lines = [_asked(line, by_name[line.name]) for line in running.services] if running else []
        well = bool(lines) and all(line.state == "up" for line in lines)
        if as_json:
            rows = [line.model_dump() for line in lines]
            owner = running.pid if running else None
            print(orjson.dumps({"up": well, "owner": owner, "services": rows, "left_processes": len(left)}).decode())
        elif running:
            for line in lines:
                _show(line, by_name[line.name])
            print(f"owner {running.pid}, logs in {environment.folder() / 'logs'}")
        else:
            print("down" + (f", but {len(left)} processes are left of it: longwriter team down" if left else ""))
        raise SystemExit(0 if well else 3)


@app.command()
def down() -> None:
    """Stop all servers and wait until they have ended. Data are kept. Running it again changes nothing."""
    with one_line_errors():
        found = board.read()
        if found and found.alive:
            _end(found)
        left = processes.strays(environment.folder())
        end_all(left, grace=processes.GRACE)
        print("down")


def _services() -> dict[str, services.Service]:
    return {service.name: service for service in services.all_of(environment.load(environment.path()))}


def _asked(line: board.ServiceState, service: services.Service) -> board.ServiceState:
    """Check a service now. A service on another port than in team.env is not contacted."""
    if line.port != service.port:
        problem = f"runs on port {line.port}, not {service.port} as in team.env; fix: longwriter team down, then up"
        return line.model_copy(update={"state": "unwell", "note": problem})
    try:
        service.check()
    except checks.Unwell as error:
        return line.model_copy(update={"state": "unwell" if line.state in ("up", "unwell") else line.state, "note": str(error)})
    return line.model_copy(update={"state": "up", "note": ""})


def _show(line: board.ServiceState, service: services.Service) -> None:
    again = f", started again {line.restarts}x" if line.restarts else ""
    port = f"port {line.port:<6} pid {line.pid:<8}" if line.port == service.port else ""
    print(f"  {line.name:<11} {line.state:<9} {port}{again}{'  ' if line.note else ''}{line.note}".rstrip())


def _clear() -> None:
    """End processes of a killed owner, because they would block ports and the database's folder."""
    if left := processes.strays(environment.folder()):
        print(f"ending {len(left)} processes of an owner that is gone")
        end_all(left, grace=processes.GRACE)


def _begin(values: dict[str, str]) -> None:
    """Start the owner in its own session, so that it survives this command. Raises ServerError if it cannot start."""
    for program in ("initdb", "postgres"):
        postgres.binary(program)
    for name in environment.PORTS:
        if held := processes.holder(int(values[f"TEAM_{name}_PORT"])):
            raise ServerError(
                f"port {values[f'TEAM_{name}_PORT']} ({name.lower()}): held by {held}; end it, or change TEAM_{name}_PORT in team.env"
            )
    for pool in services.POOLS:
        workspaces.make(Path.cwd(), environment.folder() / "workspaces" / pool, values)
    board.path().unlink(missing_ok=True)
    with (environment.folder() / "owner.log").open("wb") as log:
        owner = subprocess.Popen(
            [sys.executable, "-m", "infra.team.owner"],
            cwd=ROOT,
            env=os.environ | {services.OWNER: str(environment.folder()), "LONGWRITER_HOME": str(environment.folder().parent)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + 60
    while not ((found := board.read()) and found.alive):
        if owner.poll() is not None or time.monotonic() > end:
            said = (environment.folder() / "owner.log").read_text().strip().splitlines() or ["without any output"]
            raise ServerError(f"the process that manages the servers ended: {said[-1].removeprefix('error: ')}")
        time.sleep(LOOK)


def _wait() -> None:
    """Wait until everything is up. If a service fails, stops everything and raises ServerError. Ctrl-C stops everything too."""
    start, said, known = time.monotonic(), time.monotonic(), set[str]()
    found = board.read()
    try:
        while found and found.alive and not found.all_are("up"):
            if failed := [line for line in found.services if line.state == "failed"]:
                raise ServerError(f"{failed[0].name}: {failed[0].note}")
            if time.monotonic() - start > LONGEST:
                raise ServerError(f"not everything is up after {LONGEST:.0f} s; see {environment.folder() / 'logs'}")
            said = _say(found, known, start, said)
            time.sleep(LOOK)
            found = board.read()
    except (ServerError, KeyboardInterrupt):
        if found:
            _end(found)
        raise
    if not (found and found.alive):
        last = (environment.folder() / "owner.log").read_text().strip().splitlines() or ["it was killed"]
        raise ServerError(f"the process that manages the servers ended: {last[-1].removeprefix('error: ')}")
    _say(found, known, start, said)


def _say(found: Board, known: set[str], start: float, said: float) -> float:
    """Print a line for each new service that is up, and every SAY seconds a line about the others; the time of that last line."""
    for line in found.services:
        if line.state == "up" and line.name not in known:
            known.add(line.name)
            print(f"  {line.name:<11} up       port {line.port:<6} after {time.monotonic() - start:4.1f} s", flush=True)
    waiting = [f"{line.name}{f' ({line.note[:60]})' if line.note else ''}" for line in found.services if line.state != "up"]
    if not waiting or time.monotonic() - said < SAY:
        return said
    print(f"  {time.monotonic() - start:4.0f} s: waiting for {', '.join(waiting)}", flush=True)
    return time.monotonic()


def _end(found: Board) -> None:
    """Tell the owner to stop everything. After two minutes it is killed, and then the kernel stops its services."""
    try:
        owner = psutil.Process(found.pid)
    except psutil.NoSuchProcess:
        return
    owner.send_signal(signal.SIGTERM)
    try:
        owner.wait(ENDING)
    except psutil.TimeoutExpired:
        owner.kill()


if __name__ == "__main__":
    app()
