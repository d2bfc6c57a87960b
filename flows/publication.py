"""What a flow made, to the store of LONGWRITER_STORE: the dataset once it passed its contract, the checkpoint once it is registered."""

from tasks.schema.settings import settings

AFTER = {  # a stage that is up to date, and what `python -m tasks.storage` does then; all of it is free when nothing changed
    "validate_dataset": [["publish", "dataset"]],
    "promote": [["publish", "checkpoint", "--registered"], ["follow"]],
}


def wanted() -> bool:
    """Is a store named? Raises StorageError or BadSettings at once, before any work, if these credentials do not open it."""
    if not settings().store:
        return False
    from tasks.storage.client import opened

    opened()
    return True
