"""URLs split from their credentials as soon as they are read, so that what is shown, stored or compared never has a password in it."""

import base64
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import GetCoreSchemaHandler, SecretStr
from pydantic_core import CoreSchema, core_schema

_PARTS = re.compile(r"(?P<scheme>(?:[A-Za-z][A-Za-z0-9+.-]*:)?//|(?i:https?):/)?(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]|[^\s:@\[\]]*)(?::\d*)?")


class Url(str):
    """A URL without user, password, query and fragment: fit for messages, files and folder names. Any other text stays as it is.

    What was taken out is in its attributes. As a field of a pydantic model it is read from text, and written without its secrets.
    """

    __slots__ = ("full", "query", "user_info")

    full: SecretStr  # as it was given
    user_info: SecretStr  # "user:password", decoded; empty: none
    query: SecretStr  # what follows `?`; empty: nothing

    def __new__(cls, given: str) -> "Url":
        if isinstance(given, Url):
            return given
        given = given.strip()
        scheme, info, host, path, query = _split(given)
        url = super().__new__(cls, f"{scheme}{host}{path}")
        url.full, url.user_info, url.query = SecretStr(given), SecretStr(unquote(info)), SecretStr(query)
        return url

    def __reduce__(self) -> tuple[type["Url"], tuple[str]]:
        return Url, (self.full.get_secret_value(),)

    @property
    def is_http(self) -> bool:
        """Can it be called?"""
        try:
            parts = urlsplit(self)
            return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port out of range, half a bracket
            return False

    @property
    def basic(self) -> str:
        """The value of an Authorization header, RFC 7617; empty where there are no credentials."""
        if not (info := self.user_info.get_secret_value()):
            return ""
        pair = info if ":" in info else f"{info}:"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def under(self, path: str) -> str:
        """The address of a path below it, its query kept: for the HTTP client alone."""
        query = self.query.get_secret_value()
        return f"{self.rstrip('/')}/{path}" + (f"?{query}" if query else "")

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema())


def _split(given: str) -> tuple[str, str, str, str, str]:
    """Scheme, credentials, host, path, query. Only what has a scheme or credentials is taken apart: the rest may be a path."""
    found = _PARTS.fullmatch(given)
    assert found
    scheme, rest = (found["scheme"] or "").lower(), found["rest"]
    if not scheme and not re.match(r"[^\s/@]+:[^\s/@]+@", rest):
        return "", "", "", given, ""
    rest = rest.partition("#")[0] if "@" not in rest.partition("#")[2] else rest
    authority, path = _cut(rest, "/?#")
    info, _, host = authority.rpartition("@")
    if not _HOST.fullmatch(host) and "@" in rest:  # a password with a slash or a question mark in it, not encoded as it should be
        info, _, rest = rest.rpartition("@")
        host, path = _cut(rest, "/?#")
    path, _, query = path.partition("#")[0].partition("?")
    return scheme, info, host, path, query


def _cut(text: str, marks: str) -> tuple[str, str]:
    """Before the first of the marks, and from it on."""
    place = min((place for mark in marks if (place := text.find(mark)) >= 0), default=len(text))
    return text[:place], text[place:]
