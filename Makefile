# make demo    play the scenario that ships (ARGS=--once ends when the work is done)
# make test    every test;  make lint    style, types, layers;  make bench    speed, as ratios of floors
# make bench-playbook    of these the one about playbooks alone
# make evaluate    how good detection, correlation and investigation are on real attacks, as tables (needs the data)
# make constraints   resolve the pinned dependencies anew;  make clean   remove what these commands made
#
# Each makes the environment .venv by itself, from the pinned dependencies; `make demo` without those of development.

PYTHON ?= python3
ARGS ?=
# Test processes. A test that starts a whole stack takes more than one core for itself.
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := core guardrails playbooks agents connectors workflows service

.PHONY: demo test lint bench bench-playbook evaluate constraints clean
.DELETE_ON_ERROR:

demo: $(VENV)/.runtime
	$(BIN)/watchfloor demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES) benchmarks tests
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	@set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file $(ARGS); done

bench-playbook: $(VENV)/.dev
	$(BIN)/python benchmarks/bench_playbook.py $(ARGS)

evaluate: $(VENV)/.dev
	@set -e; for name in sigma incidents phases investigation "injection --model"; do \
	  set -- $$name; echo "== benchmarks/eval_$$1.py $$2"; $(BIN)/python benchmarks/eval_$$1.py $$2; done

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "No program '$(PYTHON)' on the path. Watchfloor needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Watchfloor needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The project comes last and without build isolation: its build tool is pinned in the same file as the rest. The build
# tool warns at each editable installation that folders could shadow packages; ours are named so that none can.
INSTALL_PROJECT := PYTHONWARNINGS=ignore $(PIP) install --quiet --no-deps --no-build-isolation -e .

$(VENV)/.runtime: constraints/runtime.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --no-deps --require-hashes -r constraints/runtime.txt
	$(INSTALL_PROJECT)
	@touch $@

$(VENV)/.dev: constraints/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --no-deps --require-hashes -r constraints/dev.txt
	$(INSTALL_PROJECT)
	@touch $@ $(VENV)/.runtime

# Resolved on the oldest Python that is supported, so that what only that one needs is in. UPGRADE=1 takes newer releases.
COMPILE := CUSTOM_COMPILE_COMMAND="make constraints" $(BIN)/pip-compile --quiet pyproject.toml --build-deps-for editable \
  --generate-hashes --allow-unsafe --strip-extras --no-emit-options $(if $(UPGRADE),--upgrade)
constraints: $(VENV)/.dev
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "Constraints are resolved on Python 3.11: make clean, then make constraints PYTHON=python3.11" >&2; exit 1; }
	$(COMPILE) --all-extras --output-file constraints/dev.txt
	$(COMPILE) --constraint constraints/dev.txt --output-file constraints/runtime.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(SOURCES) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
