# Needs Python 3.11 or newer (with venv), git and make; every target sets up the rest itself, below this directory.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PYTEST := $(BIN)/pytest

.PHONY: help demo test lint format types interop record bench bench-compare bench-record docs test-lowest test-newest wheel-test constraints clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'PYTHON=python3.12 picks another interpreter, ARGS="-k stream" goes to pytest.'

demo: .venv/.installed-run ## both frameworks talk to the emulator (or to the service, if its key is set)
	@$(BIN)/python examples/demo.py

test: .venv/.installed-dev ## the whole suite: no network, no keys
	$(PYTEST) $(ARGS)

lint: .venv/.installed-dev ## ruff: rules and layout
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: .venv/.installed-dev ## ruff: repair what can be repaired
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: .venv/.installed-dev ## mypy --strict
	$(BIN)/mypy

interop: .venv/.installed-dev ## the vendor's own SDKs talk to the emulator, each in an environment of its own
	$(PYTEST) tests/interop $(ARGS)

record: .venv/.installed-dev ## record cassettes against the service: costs money, needs keys (cassettes/README.md)
	@if [ -z "$$XINGCHEN_API_KEY$$DASHSCOPE_API_KEY$$ALIBABA_CLOUD_ACCESS_KEY_ID" ]; then \
	    echo 'Recording talks to the real services and needs their keys in the environment:'; \
	    echo 'XINGCHEN_API_KEY, DASHSCOPE_API_KEY or ALIBABA_CLOUD_ACCESS_KEY_ID. cassettes/README.md has the list.'; \
	    exit 2; \
	fi
	RECORD_CASSETTES=1 $(PYTEST) $(ARGS)
	$(PYTEST) tests/test_secrets.py

bench: .venv/.installed-bench ## what everything costs (docs/performance.md)    ARGS="--only stream calls"
	$(BIN)/python benchmarks $(ARGS)

bench-compare: .venv/.installed-bench ## a short run beside the recorded figures; warns, and fails for no time
	$(BIN)/python benchmarks --size quick --compare $(ARGS)

bench-record: .venv/.installed-bench ## record the figures anew, on a quiet machine: a quarter of an hour
	$(BIN)/python benchmarks --record $(ARGS)

docs: ## where the documentation is
	@echo 'The documentation is plain Markdown and needs no build:'
	@ls README*.md docs/*.md cassettes/README.md

test-lowest: .venv-lowest/.installed ## the suite with the oldest releases the extras admit
	.venv-lowest/bin/pytest $(ARGS)

test-newest: .venv-newest/.installed ## the suite with the newest releases there are, unpinned
	.venv-newest/bin/pytest $(ARGS)

wheel-test: .venv/.installed-dev ## build the wheel, install it in a fresh environment, run the suite away from the sources
	.ci/wheel-test $(ARGS)

constraints: .venv/.python ## pin anew: constraints.txt, constraints-lowest.txt
	.ci/constraints

clean: ## remove environments, builds and caches
	rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each finished installation: the next run only compares times.

%/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'Python 3.11 or newer is needed; "$(PYTHON)" is not. Name one: make PYTHON=/path/to/python3.12'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	    echo '"$(PYTHON)" has no venv module (Debian and Ubuntu: apt install python3-venv).'; exit 1; }
	$(PYTHON) -m venv --clear $*
	@touch $@

.venv/.installed-run: pyproject.toml constraints.txt .ci/install | .venv/.python
	.ci/install .venv -c constraints.txt -e '.[langchain,llama-index,emulator]'
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt .ci/install | .venv/.python
	.ci/install .venv -c constraints.txt -e '.[all]' --group dev
	@touch $@ .venv/.installed-run

# What only benchmarks use stays apart: httpx-aiohttp would lengthen every import of langchain-core that is measured. Rows
# that need it say so where it cannot be had.
.venv/.installed-bench: pyproject.toml .ci/install | .venv/.installed-dev
	.ci/install .venv --no-deps --target .venv/bench --group bench || echo 'Without httpx-aiohttp: its rows stay empty.'
	@touch $@

.venv-lowest/.installed: pyproject.toml constraints-lowest.txt .ci/install | .venv/.python .venv-lowest/.python
	.ci/install .venv-lowest -c constraints-lowest.txt -e '.[all]' --group test
	@touch $@

.venv-newest/.installed: pyproject.toml .ci/overrides.txt .ci/install | .venv/.python .venv-newest/.python
	UV_OVERRIDE=.ci/overrides.txt .ci/install .venv-newest --upgrade -e '.[all]' --group test
	@touch $@

# Directory targets made by the pattern rule are wanted after make ends.
.PRECIOUS: %/.python
