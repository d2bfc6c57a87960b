"""Masks secrets in text before it is shown or stored. Only this module knows what is secret and how a secret can be written.

Secrets are the secret settings, the credentials in URLs of the settings, and environment variables with names such as *_KEY. Each is
searched as it is and as written in JSON, a URL, HTML or Base64. A long secret is also found by its beginning, because texts are cut. Mask
first, then cut: otherwise a part of a key remains.
"""

import base64
import html
import json
import os
import re
import sys
import traceback
from types import TracebackType
from urllib.parse import parse_qsl, quote, quote_plus

from pydantic import SecretStr

from tasks.schema.errors import BadSettings
from tasks.schema.settings import Settings, settings
from tasks.schema.urls import Url

MASK = "***"
REMOVED = "[secret removed]"  # in a model's reply, where it must be found later: *** is Markdown
SHORTEST = 8  # characters; shorter values such as "none" or "EMPTY" are words or placeholders, not secrets
WORD = re.compile(r"[A-Za-z]?[a-z]{1,10}|[A-Z]{1,11}")  # a value that could be a word is not searched for in text
HEAD, LONG = 16, 24  # a secret of at least LONG characters is also found by its first HEAD characters
PLACEHOLDERS = {"not-needed", "no-key-required", "sk-no-key-required", "dummy-key", "your-api-key", "unused-key"}
_NAMES = re.compile(r"(?:^|_|API)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|AUTH_STRING)$")  # names of environment variables with secrets
_TELLING = re.compile(r"(?i)key|token|secret|sig|password|auth|code")  # names of query parameters with secrets
_PUBLIC = {"AWS_ACCESS_KEY_ID"}
_SHAPES = (
    (re.compile(r"(?<=://)[^\s/@'\"<>]{1,512}@"), f"{MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)([?&](?:[a-z_-]{0,20}(?:key|token|secret|signature|password)|sig|auth|code)=)[^&\s'\"<>]+"), rf"\1{MASK}"),
    (re.compile(r"\b(sk|pk|rk|hf|gh[opsu]|xox[abps])([-_])[A-Za-z0-9_-]{16,}"), rf"\1\2{MASK}"),
)
_registered: set[str] = set()
_known: tuple[Settings | None, int, tuple[str, ...], tuple[str, ...]] = (None, -1, (), ())


def register(*secrets: str) -> None:
    """Adds secrets that this process learned, such as the key of a server that it started."""
    _registered.update(secrets)


def split_url(given: str) -> Url:
    """Returns what a command line names, safe to show and store: the credentials of a URL are removed, and masked from now on."""
    url = Url(given)
    register(*of_url(url))
    return url


def redact(text: str) -> str:
    """Returns a text for a terminal, log or database: known secrets, and text that has the form of one, are masked."""
    text = mask(text)
    for secret in _needles()[1]:
        if secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def mask(text: str, *, by: str = MASK) -> str:
    """Returns a text with known secrets masked and nothing else changed. For text that a model wrote."""
    needles = _needles()[0]
    for secret in needles:
        if secret in text:
            text = text.replace(secret, by)
    for head in {secret[:HEAD] for secret in needles if len(secret) >= LONG}:  # after the full secrets: two may have the same beginning
        if head in text:
            text = _without_beginnings(text, [secret for secret in needles if secret.startswith(head)], by)
    return text


def mask_bytes(raw: bytes, *, by: str = MASK) -> bytes:
    """As `mask`, for the body of a response in any encoding."""
    return mask(raw.decode("utf-8", "surrogateescape"), by=by).encode("utf-8", "surrogateescape")


def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For `sys.excepthook`: prints a traceback to standard error without secrets."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
    sys.stderr.flush()


def _without_beginnings(text: str, secrets: list[str], by: str) -> str:
    """Masks every text that begins with the HEAD common characters of these secrets, as far as any of them matches."""
    parts, place = [], 0
    while (found := text.find(secrets[0][:HEAD], place)) >= 0:
        parts += [text[place:found], by]
        place = found + max(len(os.path.commonprefix([secret, text[found : found + len(secret)]])) for secret in secrets)  # noqa: RUF071 (characters are meant)
    return "".join([*parts, text[place:]])


def _needles() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values that are searched everywhere, longest first, and shorter values that are masked in messages only."""
    global _known
    try:
        own = settings()
    except BadSettings:
        own = None
    if own is None or _known[0] is not own or _known[1] != len(_registered):
        values = {value.strip() for value in (*_registered, *_of_settings(own), *_of_environment())}
        secrets = {value for value in values if _is_secret(value)}
        spelled = {one for value in secrets for one in _spellings(value) if len(one) >= SHORTEST}
        short = {value for value in values if 4 <= len(value) < SHORTEST and not value.isalpha() and not value.isdigit()}
        _known = own, len(_registered), tuple(sorted(spelled, key=len, reverse=True)), tuple(short)
    return _known[2], _known[3]


def _is_secret(value: str) -> bool:
    return len(value) >= SHORTEST and value.lower() not in PLACEHOLDERS and not WORD.fullmatch(value)


def _spellings(value: str) -> set[str]:
    quoted = json.dumps(value, ensure_ascii=False)[1:-1]
    spelled = {
        value,
        quoted,
        quoted.replace("/", "\\/"),
        json.dumps(value)[1:-1],
        quote(value, safe=""),
        quote_plus(value),
        html.escape(value),
    }
    raw = value.encode("utf-8", "surrogatepass")
    return spelled | {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}


def _of_settings(own: Settings | None) -> list[str]:
    values = [getattr(own, name) for name in Settings.model_fields] if own else []
    secrets = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    return secrets + [part for value in values if isinstance(value, Url) for part in of_url(value)]


def of_url(url: Url) -> list[str]:
    """The secrets in a URL: its credentials, the password alone, and query values with a secret name or of at least LONG characters."""
    info, query = url.user_info.get_secret_value(), url.query.get_secret_value()
    values = [value for name, value in parse_qsl(query) if _TELLING.search(name) or len(value) >= LONG]
    return [part for part in (info, info.partition(":")[2] or info, *values) if part]


def _of_environment() -> list[str]:
    found = []
    for name, value in os.environ.items():
        if _NAMES.search(name.upper()) and name.upper() not in _PUBLIC:
            found += [value, value.partition(":")[2]] if name.endswith("AUTH_STRING") else [value]
        elif "://" in value and "@" in value:
            found += of_url(Url(value))
    return found
