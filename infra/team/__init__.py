"""The team's whole back end on one machine, without Docker: for development, tests and small teams.

PostgreSQL, an S3 server, MLflow (database and artifacts in those, behind a password), Prefect (likewise) and two workers, each in a
clone of its own. One owner process starts them, looks after them and ends with all of them. infra/compose.yaml is the same in containers.
"""
