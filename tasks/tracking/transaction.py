"""Changes to the registry, all or none: if the block ends with an error or interrupt, its changes are undone."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from tasks.schema.errors import EndpointError
from tasks.tracking.client import sent_once, shown_error

if TYPE_CHECKING:
    from mlflow import MlflowClient

DESCRIPTION = 5000  # characters, MLflow's limit
NAMED = 6  # changes that are named in an error, at most
AGAIN = "run again when it works"


@dataclass
class _Now:
    """Tags (None: not there) and description of a version now."""

    tags: dict[str, str | None]
    description: str


class Changes:
    """Changes aliases, tags and descriptions of one registered model within a block. Values that are already correct are not written.

    MLflow has no transactions. The old value is noted before each change, because a request without a reply may have been carried out.
    Raises EndpointError if MLflow fails, after the changes were undone. If they cannot be undone, because the server is gone, the error
    names them and ends with `advice`. A kill -9 is not undone.
    """

    def __init__(self, client: "MlflowClient", name: str, *, advice: str = AGAIN):
        self._client, self._name, self._advice = client, name, advice
        self._undo: list[tuple[str, Callable[[], object]]] = []
        self._now = dict[str, _Now]()  # by version

    def __enter__(self) -> "Changes":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        from mlflow.exceptions import MlflowException

        if error is None:
            return
        stuck = list[str]()
        for what, put_back in reversed(self._undo):
            try:
                with sent_once() if stuck else nullcontext():  # a server that is gone is not waited for again
                    put_back()
            except MlflowException:
                stuck.append(what)
        if stuck:
            more = f" and {len(stuck) - NAMED} more" if len(stuck) > NAMED else ""
            problem = f"not put back are {', '.join(stuck[:NAMED])}{more}"
            raise EndpointError(f"MLflow: {_short(error)}; {problem}; {self._advice}") from None
        if isinstance(error, MlflowException):
            raise EndpointError(f"MLflow: {_short(error)}; aliases and tags are as they were; {AGAIN}") from None

    def aliases(self, wanted: Mapping[str, str | None]) -> None:
        """Points each alias to its version, or removes it (None), in the given order."""
        held = self._client.get_registered_model(self._name).aliases
        before = {alias: str(number) for alias, number in held.items()}
        for alias, number in wanted.items():
            if before.get(alias) != number:
                self._note(f"alias {alias} -> {before.get(alias, 'nothing')}", self._alias, alias, before.get(alias))
                self._alias(alias, number)

    def tags(self, number: str, wanted: Mapping[str, str | None]) -> None:
        """Sets tags of a version; None removes one."""
        tags = self._version(number).tags
        for key, value in wanted.items():
            if tags.get(key) != value:
                self._note(f"tag {key} of version {number}", self._tag, number, key, tags.get(key))
                self._tag(number, key, value)
                tags[key] = value

    def describe(self, number: str, text: str) -> None:
        """Sets the description on a version's page, cut to DESCRIPTION characters."""
        now, text = self._version(number), text[:DESCRIPTION]
        if now.description != text:
            self._note(f"description of version {number}", self._client.update_model_version, self._name, number, now.description)
            self._client.update_model_version(self._name, number, text)
            now.description = text

    def _version(self, number: str) -> "_Now":
        """The version as the registry has it, asked for once."""
        if number not in self._now:
            found = self._client.get_model_version(self._name, number)
            self._now[number] = _Now(dict(found.tags), found.description or "")
        return self._now[number]

    def _note(self, what: str, put_back: Callable[..., object], *arguments: object) -> None:
        self._undo.append((what, lambda: put_back(*arguments)))

    def _alias(self, alias: str, number: str | None) -> None:
        if number is None:
            self._client.delete_registered_model_alias(self._name, alias)
        else:
            self._client.set_registered_model_alias(self._name, alias, number)

    def _tag(self, number: str, key: str, value: str | None) -> None:
        if value is None:
            self._client.delete_model_version_tag(self._name, number, key)
        else:
            self._client.set_model_version_tag(self._name, number, key, value)


def _short(error: BaseException) -> str:
    """The first line of an error; the name of one without text, such as an interrupt."""
    return shown_error((str(error).splitlines() or [type(error).__name__])[0])[:200]
