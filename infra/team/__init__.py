"""The team's back end on one machine, without Docker, for development, tests and small teams.

It consists of PostgreSQL, an S3 server, MLflow and Prefect (with passwords, and their data in PostgreSQL and S3) and two workers, each
with its own clone. One owner process starts, supervises and stops all of them. infra/compose.yaml is the same in containers.
"""
