"""The stacks pass cfn-lint and deploy on moto's server, and grant exactly the permissions that the code needs."""

import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cfnlint.decode import decode

from tasks.storage.bucket import tls_only
from tests.conftest import ROOT
from tests.tasks.storage import servers

TEMPLATES = ROOT / "infra" / "cloudformation"
BUCKET = "longwriter-of-a-team"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


def client(name: str, endpoint: str) -> Any:
    keys = {"aws_access_key_id": servers.KEY, "aws_secret_access_key": servers.SECRET}
    return boto3.client(name, endpoint_url=endpoint, region_name="eu-central-1", **keys)  # type: ignore[call-overload]


def deploy(endpoint: str, stack: str, **parameters: str) -> dict[str, str]:
    """Make the stack of that template; its outputs."""
    cloudformation = client("cloudformation", endpoint)
    cloudformation.create_stack(
        StackName=f"longwriter-{stack}",
        TemplateBody=(TEMPLATES / f"{stack}.yaml").read_text(encoding="utf-8"),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    made = cloudformation.describe_stacks(StackName=f"longwriter-{stack}")["Stacks"][0]
    assert made["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}


def test_cfn_lint_has_nothing_to_say() -> None:
    command = [str(Path(sys.executable).parent / "cfn-lint"), *map(str, sorted(TEMPLATES.glob("*.yaml")))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_bucket_is_encrypted_closed_and_deaf_to_plain_http(endpoint: str) -> None:
    """moto takes the encryption from a template, and of the rest nothing: that is read from the template."""
    assert deploy(endpoint, "storage", BucketName=BUCKET) == {"Bucket": BUCKET, "Store": f"s3://{BUCKET}/store"}
    rule = client("s3", endpoint).get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    resources = template("storage")["Resources"]
    bucket = resources["Bucket"]["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert "AbortIncompleteMultipartUpload" in bucket["LifecycleConfiguration"]["Rules"][0]
    ours, theirs = tls_only(BUCKET)["Statement"], resources["TlsOnly"]["Properties"]["PolicyDocument"]["Statement"]
    assert [{**one, "Resource": None} for one in ours] == [{**one, "Resource": None} for one in theirs]  # as bucket.py makes it


def test_the_roles_grant_what_the_code_calls_and_nothing_deletes_a_version(endpoint: str) -> None:
    outputs = deploy(endpoint, "roles", BucketName=BUCKET, GitHubRepository="team/longwriter")
    assert set(outputs) == {"WorkerRoleArn", "WorkerProfile", "CiRoleArn", "ReaderRoleArn"}
    iam, granted = client("iam", endpoint), {}
    for role, policy in (("WorkerRole", "work"), ("CiRole", "check"), ("ReaderRole", "read")):
        found = iam.get_role_policy(RoleName=outputs[f"{role}Arn"].split("/")[-1], PolicyName=policy)["PolicyDocument"]
        granted[role] = (literal_eval(found) if isinstance(found, str) else found)["Statement"]
    actions = {role: {action for one in found for action in _list(one["Action"])} for role, found in granted.items()}
    calls = {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
    assert calls | {"s3:ListBucketMultipartUploads"} <= actions["WorkerRole"]
    assert actions["ReaderRole"] == {"s3:ListBucket", "s3:GetObject"}
    assert not any("*" in action for found in actions.values() for action in found)
    deletes = [one for found in granted.values() for one in found if any("Delete" in action for action in _list(one["Action"]))]
    assert [one["Resource"] for one in deletes] == [f"arn:aws:s3:::{BUCKET}/store/*/aliases/*"]
    writes = [one for one in granted["CiRole"] if "s3:PutObject" in _list(one["Action"])]
    assert [one["Resource"] for one in writes] == [f"arn:aws:s3:::{BUCKET}/ci/*"]
    trust = iam.get_role(RoleName=outputs["CiRoleArn"].split("/")[-1])["Role"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Condition"]["StringEquals"] == {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": "repo:team/longwriter:ref:refs/heads/main",
    }


def test_the_database_is_private_and_encrypted_and_nobody_types_its_password(endpoint: str) -> None:
    ec2 = client("ec2", endpoint)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"][:2]]
    outputs = deploy(endpoint, "database", VpcId=vpc, SubnetIds=",".join(subnets))
    [database] = client("rds", endpoint).describe_db_instances()["DBInstances"]
    assert (database["StorageEncrypted"], database["PubliclyAccessible"]) == (True, False)
    assert outputs["Database"] == database["DBInstanceIdentifier"]
    asked = template("database")
    properties = asked["Resources"]["Database"]["Properties"]
    assert (properties["ManageMasterUserPassword"], properties["DeletionProtection"]) == (True, True)  # moto takes neither
    assert not any("Password" in name for name in asked["Parameters"])


def test_logs_are_kept_for_a_while_and_an_error_is_told(endpoint: str) -> None:
    assert deploy(endpoint, "logs", AlarmEmail="ops@example.org") == {"LogGroup": "/longwriter"}
    [group] = client("logs", endpoint).describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 90
    resources = template("logs")["Resources"]  # moto makes neither filters nor alarms from a template
    metric = resources["Errors"]["Properties"]["MetricTransformations"][0]
    alarm = resources["Alarm"]["Properties"]
    assert (metric["MetricNamespace"], metric["MetricName"]) == (alarm["Namespace"], alarm["MetricName"])


def template(stack: str) -> Any:
    """As cfn-lint reads it."""
    return decode(str(TEMPLATES / f"{stack}.yaml"))[0]


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
