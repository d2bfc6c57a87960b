"""Folders as immutable versions in an S3 bucket: published, fetched, listed, linked to, pruned. boto3 moves the bytes."""
