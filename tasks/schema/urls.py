"""URLs without credentials: a URL is split when it is read, so that no password is shown, stored or compared."""

import base64
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import GetCoreSchemaHandler, SecretStr
from pydantic_core import CoreSchema, core_schema

_PARTS = re.compile(r"(?P<scheme>(?:[A-Za-z][A-Za-z0-9+.-]*:)?//|(?i:https?):/)?(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]|[^\s:@\[\]]*)(?::\d*)?")


class Url(str):
    """A URL without user, password, query and fragment, safe for messages, files and folder names. Other text is unchanged.

    The removed parts are attributes. As a pydantic field it is read from text and written without its secrets.
    """

    __slots__ = ("full", "query", "user_info")

    full: SecretStr  # the text as given
    user_info: SecretStr  # "user:password", decoded; empty: none
    query: SecretStr  # the text after `?`; empty: none

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
        """Whether it is a valid HTTP or HTTPS URL."""
        try:
            parts = urlsplit(self)
            return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port out of range, an unclosed bracket
            return False

    @property
    def basic(self) -> str:
        """The value of a basic Authorization header (RFC 7617); empty without credentials."""
        if not (info := self.user_info.get_secret_value()):
            return ""
        return basic(info if ":" in info else f"{info}:")

    def under(self, path: str) -> str:
        """Returns the URL of a path below this one, with its query. For the HTTP client only, because the query may be secret."""
        query = self.query.get_secret_value()
        return f"{self.rstrip('/')}/{path}" + (f"?{query}" if query else "")

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema())


def basic(pair: str) -> str:
    """The value of a basic Authorization header for `user:password`."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _split(given: str) -> tuple[str, str, str, str, str]:
    """Scheme, credentials, host, path, query. Text without scheme and credentials is not split: it may be a path."""
    found = _PARTS.fullmatch(given)
    assert found
    scheme, rest = (found["scheme"] or "").lower(), found["rest"]
    if not scheme and not re.match(r"[^\s/@]+:[^\s/@]+@", rest):
        return "", "", "", given, ""
    rest = rest.partition("#")[0] if "@" not in rest.partition("#")[2] else rest
    authority, path = _cut(rest, "/?#")
    info, _, host = authority.rpartition("@")
    if not _HOST.fullmatch(host) and "@" in rest:  # a password with an unencoded slash or question mark
        info, _, rest = rest.rpartition("@")
        host, path = _cut(rest, "/?#")
    path, _, query = path.partition("#")[0].partition("?")
    return scheme, info, host, path, query


def _cut(text: str, marks: str) -> tuple[str, str]:
    """The text before the first of the marks, and the rest."""
    place = min((place for mark in marks if (place := text.find(mark)) >= 0), default=len(text))
    return text[:place], text[place:]
