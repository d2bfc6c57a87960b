"""Publish, fetch, list, link and prune folders as immutable versions in an S3 bucket. boto3 transfers the bytes."""
