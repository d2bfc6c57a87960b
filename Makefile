# For developers. Users have the command `longwriter`, which `make install` puts into .venv/bin.
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
TESTS ?= tests
BENCHES := start reading words packing tokenizing collecting length_feedback write_modes agentwrite memory evaluation serving storage dataset scale
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export TESTS

.DEFAULT_GOAL := help
.PHONY: help install run test test-integration test-slow lint format bench bench-gpu lock docs audit clean

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo "  longwriter --help   everything else, after make install: .venv/bin/longwriter"

install: $(INSTALLED)  ## create .venv, install from the lock, and add the command longwriter

$(INSTALLED): requirements/pipeline.txt pyproject.toml
	@python3.11 -c 'import ensurepip, venv' 2>/dev/null || { echo "error: python3.11 with venv is needed: apt-get install python3.11-venv" >&2; exit 1; }
	test -x $(PYTHON) || python3.11 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements/pipeline.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	mkdir -p .longwriter/dvc/repo && chmod 700 .longwriter
	touch $@

run: $(INSTALLED)  ## run the whole pipeline: raw prompts to a promoted model and a report
	@longwriter run

test: $(INSTALLED)  ## run the tests that take seconds, and one small run of the pipeline; TESTS=tests/tasks runs a part
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not integration and not slow" "$$TESTS"

test-integration: $(INSTALLED)  ## run the tests that start commands, servers and trainings of their own; CI runs them too
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "integration and not slow" "$$TESTS"

test-slow: $(INSTALLED)  ## run the tests that take minutes each: trainings of many ranks, clusters, the study
	$(PYTHON) -m pytest -n 2 --dist loadfile -m slow "$$TESTS"

lint: $(INSTALLED)  ## run ruff, mypy and actionlint
	ruff check .
	ruff format --check .
	mypy
	actionlint

format: $(INSTALLED)  ## rewrite the code in ruff's style
	ruff check --fix .
	ruff format .

bench: $(INSTALLED)  ## print the benchmarks, each beside a bound or a peer (20 minutes)
	@for bench in $(BENCHES); do $(PYTHON) -m benchmarks.$$bench || exit 1; done

bench-gpu: $(INSTALLED)  ## measure training on one GPU in calls of under 10 minutes; python -m benchmarks.gpu --help has the options
	@$(PYTHON) -m benchmarks.gpu

lock: $(INSTALLED)  ## compile requirements/ from pyproject.toml; UPGRADE=1 takes the newest versions that it allows
	uv pip compile -q $(if $(UPGRADE),--upgrade) pyproject.toml --extra pipeline --group dev --group docs --python-version 3.11 --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements/pipeline.txt
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements/pipeline.txt
	uv pip compile -q $(if $(UPGRADE),--upgrade) --group serve --python-version 3.11 --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements/serve.txt

docs: $(INSTALLED)  ## build the documentation site into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet
	@echo "open site/index.html"

audit: $(INSTALLED)  ## check the locks for published vulnerabilities; python -m infra.audit --help has the options
	@$(PYTHON) -m infra.audit

clean:  ## remove stage outputs (DVC's cache restores them) and tool caches; never the journal of paid replies or the registry
	find data -mindepth 1 -maxdepth 1 ! -name raw ! -name release -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
