"""One change of the aliases at a time, over all machines: a promotion or rollback decides and moves without another one in between.

MLflow has neither transactions nor locks. The one thing that its stores do for a single client only is to create a registered model of a
name, so a model of the name `longwriter.lock` exists while aliases change. A holder that was killed is recognised: at once on its own
machine, elsewhere after PATIENCE seconds without a change. No machine's clock is used.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tasks import processes, progress
from tasks.schema.errors import EndpointError
from tasks.tracking.client import connect, names

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOLDER = "holder"  # tag: the machine and the process that change the aliases
PATIENCE = 120.0  # seconds of one holder; decision and move take under ten
WAIT = 600.0  # seconds after which waiting is given up
LOOK = 0.5  # seconds between two tries
NEW, GONE = "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"


@contextmanager
def alone() -> Iterator[None]:
    """Waits until no other process changes the aliases, and keeps others waiting until the block ends.

    Raises EndpointError if others keep the registry busy for WAIT seconds.
    """
    client, name = connect(), f"{names().model}.lock"
    _take(client, name)
    try:
        yield
    finally:
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):  # a server that is away: the next one takes over
            client.delete_registered_model(name)


def _take(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    own = f"{processes.place()} {processes.mark()}"
    start = changed = time.monotonic()
    seen: object = None
    while True:
        try:
            client.create_registered_model(name, tags={HOLDER: own}, description="Exists while aliases change; nothing to register here.")
            return
        except MlflowException as error:
            if error.error_code != NEW:
                raise
        if (found := _holder(client, name)) != seen:
            seen, changed = found, time.monotonic()
        if found and (_is_dead(found[1]) or time.monotonic() - changed > PATIENCE):
            progress.say(f"warning: the process that changed the aliases is gone ({found[1] or 'unknown'}); its lock is removed")
            with suppress(MlflowException):
                client.delete_registered_model(name)
            continue
        if time.monotonic() - start > WAIT:
            raise EndpointError(f"MLflow: others changed the aliases for {WAIT:g} s ({found}); run again when they have ended")
        time.sleep(LOOK)


def _holder(client: "MlflowClient", name: str) -> tuple[int, str] | None:
    """When the lock was created, by the server's clock, and by whom; None if it is gone."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != GONE:
            raise
        return None
    return int(found.creation_timestamp), str(dict(found.tags).get(HOLDER, ""))


def _is_dead(holder: str) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    place, _, mark = holder.partition(" ")
    return place == processes.place() and not processes.lives(mark)
