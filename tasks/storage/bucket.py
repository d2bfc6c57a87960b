"""Create and configure a bucket: encrypted, versioned, private, TLS only, with lifecycle rules.

The same settings as infra/cloudformation/storage.yaml, for users without a CloudFormation stack.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from tasks.storage.client import S3Client, code, one_line
from tasks.storage.place import Place

ABORT_DAYS = 7  # after which S3 deletes the parts of an unfinished upload
NONCURRENT_DAYS = 30  # for which a deleted or overwritten object can be restored


def make(client: S3Client, at: Place, *, plain: bool = False, kms_key: str = "") -> list[str]:
    """Create the bucket if it is missing, and apply all settings; returns the names of the applied settings.

    `plain` applies no settings, for servers that support none. Raises StorageError if the server refuses a setting.
    """
    with one_line(f"s3://{at.bucket}"):
        _create(client, at.bucket)
        done = ["bucket"]
        for name, setting in ({} if plain else _settings(client, at.bucket, kms_key)).items():
            setting()
            done.append(name)
    return done


def _create(client: S3Client, bucket: str) -> None:
    region = client.meta.region_name
    where: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        client.create_bucket(Bucket=bucket, **where)
    except ClientError as error:
        if code(error) != "BucketAlreadyOwnedByYou" and not _ours(client, bucket):
            raise


def _ours(client: S3Client, bucket: str) -> bool:
    """Whether the bucket belongs to us. Some servers report one's own bucket as existing, not as owned."""
    return any(entry["Name"] == bucket for entry in client.list_buckets()["Buckets"])


def _settings(client: S3Client, bucket: str, kms_key: str) -> Mapping[str, Callable[[], object]]:
    encryption: Any = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key} if kms_key else {"SSEAlgorithm": "AES256"}
    return {
        "public access block": lambda: client.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        ),
        "no ACLs": lambda: client.put_bucket_ownership_controls(
            Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        ),
        "encryption": lambda: client.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": encryption, "BucketKeyEnabled": bool(kms_key)}]
            },
        ),
        "versioning": lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        "TLS only": lambda: client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(tls_only(bucket))),
        "lifecycle": lambda: client.put_bucket_lifecycle_configuration(
            Bucket=bucket,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "tidy",
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_DAYS},
                        "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
                        "Expiration": {"ExpiredObjectDeleteMarker": True},
                    }
                ]
            },
        ),
    }


def tls_only(bucket: str) -> Mapping[str, Any]:
    """The bucket policy that refuses plain HTTP and TLS before 1.2."""
    arn = f"arn:aws:s3:::{bucket}"
    everything: Mapping[str, object] = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "TlsOnly", **everything, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Sid": "NoOldTls", **everything, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
        ],
    }
