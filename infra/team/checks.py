"""Health checks of the servers. A check also fails for a wrong server on the port, and for a server that needs no password."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING

from infra.team import postgres as cluster
from tasks.schema.urls import basic

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SECONDS = 5.0


class Unwell(Exception):
    """The server does not answer, or is not the right one. The message gives the reason."""


def postgres(values: Mapping[str, str]) -> None:
    import psycopg2

    try:
        cluster.connect(values).close()
    except psycopg2.Error as error:
        raise Unwell(str(error).strip().splitlines()[0]) from None


def s3_client(values: Mapping[str, str]) -> "S3Client":
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=values["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
        region_name=values["AWS_DEFAULT_REGION"],
        config=Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": 1}),
    )


def s3(values: Mapping[str, str]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3_client(values).list_buckets()
    except (BotoCoreError, ClientError) as error:
        raise Unwell(str(error)) from None


def make_bucket(values: Mapping[str, str]) -> None:
    client = s3_client(values)
    if values["TEAM_BUCKET"] not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=values["TEAM_BUCKET"])


def mlflow(values: Mapping[str, str]) -> None:
    """MLflow accepts the password and refuses requests without it."""
    base = values["LONGWRITER_TRACKING_URI"]
    name, password = values["MLFLOW_TRACKING_USERNAME"], values["MLFLOW_TRACKING_PASSWORD"]
    question = f"{base}/api/2.0/mlflow/experiments/search"
    _must_refuse(question, body={"max_results": 1})  # first, so that a foreign server never receives the password
    found = _asked(question, auth=f"{name}:{password}", body={"max_results": 1})
    if not (isinstance(found, dict) and "experiments" in found):
        raise Unwell("it answers, but not as MLflow does")


def prefect(values: Mapping[str, str]) -> None:
    """Prefect accepts the password and refuses requests without it. Its /health would need none, so it is not used."""
    question = f"{values['PREFECT_API_URL']}/admin/version"
    _must_refuse(question)
    if not isinstance(_asked(question, auth=values["PREFECT_API_AUTH_STRING"]), str):
        raise Unwell("it answers, but not as Prefect does")


def worker(values: Mapping[str, str], pool: str, port: int) -> None:
    """The worker's health endpoint answers, and the Prefect server knows its pool."""
    _asked(f"http://127.0.0.1:{port}/health")
    _asked(f"{values['PREFECT_API_URL']}/work_pools/{pool}", auth=values["PREFECT_API_AUTH_STRING"])


def _must_refuse(url: str, body: Mapping[str, object] | None = None) -> None:
    try:
        _asked(url, body=body)
    except Unwell as error:
        if "401" in str(error):
            return
        raise
    raise Unwell("it lets in everybody, without a password")


def _asked(url: str, *, auth: str | None = None, body: Mapping[str, object] | None = None) -> object:
    """The answer's JSON. Raises Unwell."""
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if auth:
        request.add_header("Authorization", basic(auth))
    try:
        with _OPENER.open(request, timeout=SECONDS) as answer:
            found: object = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise Unwell(f"answers {error.code} {error.reason}") from None
    except ValueError:
        raise Unwell("it answers, but not with JSON") from None
    except OSError as error:
        raise Unwell(str(getattr(error, "reason", error))) from None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # without a proxy, because the servers are local
