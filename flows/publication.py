"""Publish a flow's results to LONGWRITER_STORE: the dataset after it passes its contract, the checkpoint after it is registered."""

from tasks.schema.settings import settings

AFTER = {  # stage: commands of `python -m tasks.storage` to run when the stage is up to date; they do nothing if nothing changed
    "validate_dataset": [["publish", "dataset"]],
    "promote": [["publish", "checkpoint", "--registered"]],
    "serve": [["follow"]],  # the store names no champion that has not been served
}
AFTER_FAILURE = {"serve": [["follow"]]}  # a champion that fails is rolled back in the registry


def wanted() -> bool:
    """Whether LONGWRITER_STORE is set.

    Also checks that the credentials can read it: raises StorageError or BadSettings if not.
    """
    if not settings().store:
        return False
    from tasks.storage.client import opened

    opened()
    return True
