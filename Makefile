# Everything is run from here. Needs GNU make and Python 3.11 or newer with its venv module; no root, no Docker.
#
#   make run                  the whole exchange on this machine
#   make tell PERSON=llyr     one person's move, told there
#   make demo                 a move and what changes after it, unattended; LOG=kafka puts it on a real Kafka
#   make check                what a change must pass
#   make bench                how fast it is on this machine; QUICK=1 in a minute or two
#   make simulate             the delivery engine in virtual time; STEPS=5000000, SEED=n replays
#   make faults               everything is killed under load, and nothing is lost; KILLS=1000, SEED=n replays

PYTHON ?= $(or $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done),python3)
LOG ?= postgres
PORT ?= 8000
PERSON ?= sian
TESTS ?=
# Most tests wait for servers: two more at once than there are processors finish soonest.
WORKERS ?= $(shell processors=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((processors < 6 ? processors + 2 : 8)))
KILLS ?=
STEPS ?=
EACH ?=
SEED ?=
HOURS ?= 1
UPGRADE ?=
QUICK ?=
FULL ?=
ONLY ?=

# Where it is forbidden to keep what was compiled, each of the many processes compiles the exchange anew.
export PYTHONDONTWRITEBYTECODE =

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run tell demo test check simulate mutants faults long bench format lock clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run ## run the whole exchange here, with its sandbox; Ctrl-C ends it (PORT=8000)
	@exec $(BIN)/python -m broker.cli run --port $(PORT)

tell: $(VENV)/.run ## tell one move at the exchange that make run serves (PERSON=sian)
	@$(BIN)/python -m broker.cli tell $(PERSON) --port $(PORT)

demo: $(VENV)/.run ## tell a move and what changes after it, and watch each arrive (LOG=kafka: on a real Kafka)
	@$(BIN)/python -m broker.cli demo --log $(LOG)

test: $(VENV)/.dev ## run the tests on real PostgreSQL and Kafka (TESTS=… for some of them)
	@if [ -z "$$UNWAITH_TEST_KAFKA" ] && ! $(BIN)/python deploy/kafka/kafka.py fetch >/dev/null; then \
		echo; echo "*** THE TESTS ON KAFKA ARE LEFT OUT: what is missing stands above."; \
		echo "*** A running Kafka will do as well: make test UNWAITH_TEST_KAFKA=host:port"; echo; \
		[ "$$CI" != true ]; \
	fi
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(TESTS)

check: $(VENV)/.dev ## format, lint, types, import layers, tests
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory test

simulate: $(VENV)/.dev ## the delivery engine in virtual time, disturbed from seeds (STEPS=1000000; SEED=n replays one)
	@$(BIN)/python -m tests.simulation $(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED)) $(if $(EACH),--each $(EACH))

mutants: $(VENV)/.dev ## change each condition of who is told what, one at a time: the tests must see every one
	@rm -rf mutants; $(BIN)/mutmut run --max-children $(WORKERS) 2>&1 | tr '\r' '\n' | tail -1
	@left=$$($(BIN)/mutmut results); [ -z "$$left" ] || { echo "$$left"; exit 1; }

faults: $(VENV)/.dev ## kill everything under load, and rows 1 to 21 of the fault matrix (KILLS=1000 SEED=n)
	@$(BIN)/python deploy/kafka/kafka.py fetch >/dev/null || [ "$$CI" != true ]
	@UNWAITH_TEST_KILLS=$(KILLS) UNWAITH_TEST_SEED=$(SEED) \
		$(BIN)/python -m pytest -n 3 --dist loadgroup $(or $(TESTS),tests/faults)

long: ## a thousand kills, then other seeds for an hour or more (HOURS=1); the first failure ends it
	@$(MAKE) --no-print-directory faults KILLS=1000
	@end=$$(($$(date +%s) + 3600 * $(HOURS))); while [ "$$(date +%s)" -lt "$$end" ]; do \
		$(MAKE) --no-print-directory faults TESTS=tests/faults/test_proof.py || exit 1; done

bench: $(VENV)/.dev ## measure it here against floors, into docs/performance.md (QUICK=1; FULL=1 with a million changes; ONLY=pools)
	@$(BIN)/python -m tests.load $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ONLY),--only $(ONLY)) $(if $(filter command,$(firstword $(origin LOG))),--log $(LOG))

format: $(VENV)/.dev ## put the code into the one format
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

lock: ## write both locks anew from pyproject.toml (UPGRADE=1: with the newest versions)
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch"; \
	"$$scratch/bin/pip" --quiet --disable-pip-version-check install uv; \
	compile() { "$$scratch/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) "$$@" >/dev/null; }; \
	compile pyproject.toml -o requirements.lock; \
	compile pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove what can be made again; the exchange's data in .data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: requirements.lock $(VENV)/.made
	@echo "Installing what Unwaith needs to run (once)"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.made
	@echo "Installing what Unwaith needs to be tested (once)"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements-dev.lock
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Unwaith needs Python 3.11 or newer. $(PYTHON) says: $$($(PYTHON) --version 2>&1 | head -n 1)"; \
		echo "If a newer one has another name, say so:"; \
		echo "    make PYTHON=python3.12 $(MAKECMDGOALS)"; \
		exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing. This installs it:"; \
		echo "    sudo apt-get install python3-venv"; \
		exit 1; } >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@
