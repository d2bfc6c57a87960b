"""The board: a JSON file in which the owner process publishes itself and the state of each service. It is replaced atomically."""

import os
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.team import environment
from tasks import store

State = Literal["waiting", "starting", "up", "unwell", "failed", "stopped"]


class ServiceState(BaseModel):
    """The state of one service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    port: int
    state: State = "waiting"
    pid: int = 0
    restarts: int = 0
    note: str = ""  # why it is unwell or failed


class Board(BaseModel):
    """The owner and its services. `began` distinguishes the owner from a later process with the same number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    began: float
    services: tuple[ServiceState, ...]

    @property
    def alive(self) -> bool:
        try:
            return abs(psutil.Process(self.pid).create_time() - self.began) < 1.0
        except psutil.NoSuchProcess:
            return False

    def all_are(self, state: State) -> bool:
        return all(line.state == state for line in self.services)


def path() -> Path:
    return environment.folder() / "board.json"


def read() -> Board | None:
    """The board; None if nothing was ever started or the file is not valid."""
    try:
        return Board.model_validate_json(path().read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write(services: tuple[ServiceState, ...]) -> None:
    own = psutil.Process(os.getpid())
    store.write_json(path(), Board(pid=own.pid, began=own.create_time(), services=services).model_dump())
