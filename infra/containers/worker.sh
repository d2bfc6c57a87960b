#!/bin/sh
# A worker in a container: sets DVC's remote to the back end's S3 server, then runs the deployments of one pool, one at a time.
set -eu
dvc remote add --local --force --default team "s3://$TEAM_BUCKET/dvc"
dvc remote modify --local team endpointurl "$AWS_ENDPOINT_URL_S3"
dvc remote modify --local team verify true
export PREFECT_WORKER_WEBSERVER_HOST=127.0.0.1 # health checks run inside the container
exec prefect worker start --pool "$1" --type process --limit 1 --with-healthcheck
