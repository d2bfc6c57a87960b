"""What all requests to endpoints share: a session by the environment's proxy, and failed connections by their cause."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp

from tasks.endpoints import wire
from tasks.endpoints.failures import EndpointAway, TryFailed, Unreachable
from tasks.schema.errors import EndpointError
from tasks.schema.redaction import redact
from tasks.schema.settings import PREFIX
from tasks.schema.urls import Url

OVERLOADED = (429, 503, 529)  # statuses of an endpoint that refuses everything for the moment
AGAIN = (408, 409, 425)  # the other statuses below 500 that may succeed when sent again


def client_session(
    address: Url, headers: Mapping[str, str], *, seconds: float | None = None, silence: float | None = None
) -> aiohttp.ClientSession:
    """A session for requests to `address`. A request may take `seconds`, and pause for `silence` seconds; None: the caller limits it."""
    proxy, connector = wire.proxy_of(address), aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=30, sock_read=silence)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers, proxy=proxy.url, proxy_auth=proxy.auth)


@contextmanager
def by_cause(where: str, variable: str, *, reached: bool, late: str = f"; raise {PREFIX}TIMEOUT or check the server") -> Iterator[None]:
    """Turn what fails in one request into an exception of failures.py. Raises EndpointError for a certificate that is not trusted.

    `where` names role and URL in messages, `variable` is the beginning of the role's settings. `reached`: the endpoint has answered before.
    `late`: what to do if there is no answer in time.
    """
    start = time.monotonic()
    try:
        yield
    except TimeoutError:
        waited = time.monotonic() - start
        raise TryFailed(f"no answer within {waited:.0f} s{late}") from None
    except aiohttp.ClientConnectorCertificateError as error:
        problem = (
            f"its TLS certificate is not trusted ({redact(str(error.certificate_error))}); check the host in {variable}_URL, "
            "or add its CA certificate to the system's trusted ones"
        )
        raise EndpointError(f"{where}: {problem}") from None
    except aiohttp.ClientConnectorError as error:
        problem = f"cannot connect ({error.strerror or error.os_error}); start the server or set {variable}_URL"
        # A server that was never reachable is not overloaded: no common pause, and each request has its own few tries.
        raise (EndpointAway if reached else Unreachable)(problem) from None
    except (aiohttp.ClientError, ConnectionError) as error:
        raise TryFailed(f"the connection was lost ({type(error).__name__}: {redact(str(error))[:100]})") from None
