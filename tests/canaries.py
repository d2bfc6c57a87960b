"""Canary secrets for every variable that can contain one, new in each test run, and a search for them in files and output."""

import base64
import gzip
import re
import secrets
import zlib
from pathlib import Path

from pydantic import SecretStr

from tasks.schema.settings import PREFIX, Settings

SETTINGS = [f"{PREFIX}{name.upper()}" for name, field in Settings.model_fields.items() if field.annotation is SecretStr]


def canary(name: str) -> str:
    return f"canary-{name.lower().replace('_', '-')}-{secrets.token_hex(6)}"


PLANTED = {name: canary(name) for name in [*SETTINGS, "OPENAI_API_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD"]}


IN_URLS = {name: canary(name) for name in ("url-password", "url-token", "proxy-password")}


def with_credentials(url: str) -> str:
    """A URL with planted credentials and a planted token in its query."""
    user = f"me:{IN_URLS['url-password']}"
    return f"{url.replace('://', f'://{user}@')}?api_key={IN_URLS['url-token']}"


def in_urls() -> list[str]:
    """What is planted in URLs, as headers spell it too."""
    return [*IN_URLS.values(), base64.b64encode(f"me:{IN_URLS['url-password']}".encode()).decode()]


def search(*more: str) -> "re.Pattern[bytes]":
    """For any of the planted secrets, and these."""
    return re.compile("|".join(re.escape(value) for value in (*PLANTED.values(), *more)).encode())


def hits(folder: Path, pattern: "re.Pattern[bytes]") -> list[str]:
    """Files with a secret in their bytes, or in what they are when unpacked: logs, databases and their journals, artifacts, caches."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and any(pattern.search(text) for text in _texts(path.read_bytes())):
            found.append(str(path.relative_to(folder)))
    return found


def _texts(held: bytes) -> list[bytes]:
    try:
        return [held, gzip.decompress(held)] if held.startswith(b"\x1f\x8b") else [held]
    except (OSError, EOFError, zlib.error):
        return [held]
