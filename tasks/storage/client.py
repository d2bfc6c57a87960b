"""Create the S3 client from the environment, with adaptive retries and one-line errors.

Credentials come from boto3's own chain (environment, profile, role) and never pass through this code. Payloads are not signed,
because a signed header carries the SHA-256 of every part; the server's reply (checksum or ETag) is checked against it.
"""

import atexit
import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from tasks.schema.errors import BadSettings, StorageError
from tasks.schema.settings import PREFIX, settings
from tasks.storage.place import Place, place

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.session import Session as BotocoreSession
    from mypy_boto3_s3 import S3Client as S3Client
else:
    S3Client = object

SKEW = 300.0  # seconds of clock difference that are reported as the cause; S3 refuses 15 minutes
ATTEMPTS = 12  # per request; adaptive mode waits up to 20 s between two, so the attempts outlast an outage of a minute
CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the machine a role"
FIXES = {
    "InvalidAccessKeyId": f"the access key is unknown there; {CREDENTIALS}",
    "SignatureDoesNotMatch": f"the secret key does not fit the access key; {CREDENTIALS}",
    "ExpiredToken": "the session has expired; sign in again",
    "InvalidToken": "the session token is not valid; sign in again",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "AccessDenied": "the credentials may not do this; infra/cloudformation has the policy they need",
    "403": f"forbidden: the credentials are wrong or may not do this; {CREDENTIALS}",
    "NoSuchBucket": "no such bucket; `longwriter store bucket` makes it",
    "404": "no such bucket; `longwriter store bucket` makes it",
    "NoSuchKey": "no such object; it was deleted in between",
    "301": "the bucket is in another region; set AWS_REGION to it",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_REGION to it",
    "IllegalLocationConstraintException": "the bucket is in another region; set AWS_REGION to it",
    "MalformedXML": "the request was damaged on its way; run again, the upload resumes",
    "400": "bad request: wrong region, or an expired session; set AWS_REGION, or sign in again",
    "SlowDown": "overloaded beyond the retries; run again, the upload resumes",
    "ServiceUnavailable": "overloaded beyond the retries; run again, the upload resumes",
    "503": "overloaded beyond the retries; run again, the upload resumes",
    "BadDigest": "the bytes changed on their way; run again, the upload resumes",
    "NotImplemented": "this server cannot do that",
}


def connect() -> "S3Client":
    """A new S3 client. Raises StorageError, BadSettings."""
    import boto3
    from botocore.config import Config

    endpoint = _endpoint()
    config = Config(
        retries={"mode": "adaptive", "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", ATTEMPTS))},
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto", "payload_signing_enabled": False},
        request_checksum_calculation="when_required",  # every part has its SHA-256 already
        response_checksum_validation="when_required",  # tasks/storage/parts.py checks every part
        user_agent="longwriter",  # botocore's own lists the machine's software, and is built twice for every request
        max_pool_connections=settings().transfers + 2,
        connect_timeout=10,
        read_timeout=60,
        tcp_keepalive=True,
    )
    with one_line("the credentials"):
        session = boto3.Session(botocore_session=_session())
        region = session.region_name or ("us-east-1" if endpoint else None)
        return session.client("s3", endpoint_url=endpoint, region_name=region, config=config)


def _session() -> "BotocoreSession":
    """A new session from the current environment. The loaded service description of S3 (0.1 s) is shared between sessions."""
    import botocore.session

    session = botocore.session.Session()
    session.register_component("data_loader", _loader())
    return session


@cache
def _loader() -> object:
    import botocore.loaders

    atexit.register(gc.freeze)  # saves 0.15 s of garbage collection at exit
    return botocore.loaders.create_loader()


def _endpoint() -> str | None:
    """The endpoint's URL; None for AWS's own. Raises BadSettings, without the URL, because it may contain a password."""
    given = settings().s3_endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    parts = urlsplit(given)
    if given and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password):
        name = f"{PREFIX}S3_ENDPOINT" if settings().s3_endpoint else "AWS_ENDPOINT_URL_S3"
        raise BadSettings(f"environment: {name}: not http(s)://HOST[:PORT] without user and password; correct it")
    return given or None


def preflight(client: "S3Client", where: Place) -> None:
    """Check with one request that these credentials can read the bucket. Raises StorageError.

    The listing stops at the next `/`, because some servers read every listed object to compute its ETag.
    """
    with one_line(str(where)):
        client.list_objects_v2(Bucket=where.bucket, Prefix=where.prefix, Delimiter="/", MaxKeys=1)


def opened(store: str = "") -> tuple[Place, "S3Client"]:
    """The place of `store` (or LONGWRITER_STORE), and a client that has been checked to read it. Raises BadSettings, StorageError."""
    at, client = place(store), connect()
    preflight(client, at)
    return at, client


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn boto3's errors about `what` into StorageError. boto3's messages may quote a request, so only known parts are shown."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        _refused(what, error)
    except (BotoCoreError, Boto3Error) as error:
        raise StorageError(f"{what}: {_reason(error)}") from None


def code(error: "ClientError") -> str:
    """A ClientError's AWS error code, or the HTTP status if the reply has no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _refused(what: str, error: "ClientError") -> NoReturn:
    found = code(error)
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    if status in ("400", "403") and abs(seconds := _fast(error)) > SKEW:
        fix = f"this machine's clock is {abs(seconds) / 60:.0f} minutes {'ahead of' if seconds > 0 else 'behind'} the server's; set it"
        raise StorageError(f"{what}: {error.operation_name} refused ({found or status}): {fix}") from None
    fix = FIXES.get(found) or (FIXES.get(status) if status != "404" else None) or "look the code up in S3's documentation"
    raise StorageError(f"{what}: {error.operation_name} refused ({found or status}): {fix}") from None


def _fast(error: "ClientError") -> float:
    """Seconds by which our clock is ahead of the server's, from an error reply's date; 0 if it has none."""
    date = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return time.time() - parsedate_to_datetime(date).timestamp() if date else 0.0
    except ValueError:
        return 0.0


def _reason(error: BaseException) -> str:
    """The message for an error that is not a reply of S3."""
    reasons = {
        "NoCredentialsError": f"no credentials; {CREDENTIALS}",
        "PartialCredentialsError": f"half of the credentials; {CREDENTIALS}",
        "CredentialRetrievalError": f"the credentials could not be fetched; {CREDENTIALS}",
        "ProfileNotFound": "AWS_PROFILE names no profile; correct it",
        "ConfigParseError": "AWS's config file cannot be read; correct it",
        "NoRegionError": "no region; set AWS_REGION",
        "TokenRetrievalError": "the session has expired; sign in again",
        "UnauthorizedSSOTokenError": "the session has expired; sign in again",
        "SSOTokenLoadError": "nobody is signed in; `aws sso login`",
        "EndpointConnectionError": "nobody answers at the endpoint; check LONGWRITER_S3_ENDPOINT and the network",
        "ConnectTimeoutError": "nobody answers at the endpoint; check LONGWRITER_S3_ENDPOINT and the network",
        "ConnectionClosedError": "the connection was cut, beyond the retries; run again, the upload resumes",
        "ReadTimeoutError": "no answer in time, beyond the retries; run again, the upload resumes",
        "Corrupted": "the bytes are not what the manifest says, again and again: nothing is taken from it",
        "IncompleteReadError": "the connection was cut, beyond the retries; run again, what came in is kept",
        "SSLError": "the server's certificate is not trusted; set AWS_CA_BUNDLE to its authority's",
    }
    return reasons.get(type(error).__name__) or f"{type(error).__name__}; run again, what is done is kept"
