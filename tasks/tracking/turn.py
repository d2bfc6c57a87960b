"""One change of the aliases at a time, over all machines: a promotion or rollback decides and moves without another one in between.

MLflow has neither transactions nor locks. The one thing that its stores do for a single client only is to create a registered model of a
name, so a model of the name `longwriter.lock` exists while aliases change. A holder that was killed is recognised: at once on its own
machine, elsewhere after PATIENCE seconds without a change. No machine's clock is used.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from tasks import processes, progress
from tasks.schema.errors import EndpointError
from tasks.tracking.client import EXISTS, GONE, connect, names, sent_once

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOLDER = "holder"  # tag: the machine and the process that change the aliases, and a random part for each turn
PATIENCE = 120.0  # seconds of one holder; decision and move take under ten
WAIT = 600.0  # seconds after which waiting is given up
LOOK = 0.5  # seconds between two tries


@contextmanager
def alone() -> Iterator[None]:
    """Waits until no other process changes the aliases, and keeps others waiting until the block ends.

    Raises EndpointError if others keep the registry busy for WAIT seconds.
    """
    client, name = connect(), f"{names().model}.lock"
    _take(client, name)
    try:
        yield
    except BaseException:
        with sent_once():  # a server that is gone is not waited for again
            _give_back(client, name)
        raise
    _give_back(client, name)


def _give_back(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # a server that is away: the next one takes over
        client.delete_registered_model(name)


def _take(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    own = f"{processes.place()} {processes.mark()} {uuid4().hex[:8]}"
    start = changed = time.monotonic()
    seen: object = None
    while True:
        try:
            client.create_registered_model(name, tags={HOLDER: own}, description="Exists while aliases change; nothing to register here.")
            return
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise
        found = _holder(client, name)
        if found and found[1] == own:  # the reply to an earlier try was lost
            return
        if found != seen:
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
    place, mark, *_ = [*holder.split(" "), "", ""]
    return place == processes.place() and not processes.lives(mark)
