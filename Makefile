# Needs python3 (3.11 or later) and make; everything else goes into .venv.
#   make demo     install, then the whole job on a simulated market (MARKET=folder: on real bars)
#   make test     install, then the whole suite with doctests and coverage
#   make check    lint, types and tests: what CI runs
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
VECTORS ?= ../shared/vectors
COVERAGE_FLOOR ?= 90
MARKET ?=
ARGS ?=
JOBS ?= auto

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install -c constraints.txt

.PHONY: help install demo test check lint types format bench verify pages wheel lock clean

help:
	@sed -n 's/^#   //p' Makefile; echo 'others: install lint types format bench verify pages wheel lock clean'

# Stamps: re-run only when the requirements change.
$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "margincast needs Python 3.11 or later, not " + sys.version.split()[0])'
	@echo "installing margincast into $(VENV) (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing what the tests need into $(VENV) (once)"
	@$(PIP) -e '.[dev]'
	@touch $@

# Type checkers find the package by this name; the folder itself may be called anything.
.typing/margincast:
	@mkdir -p .typing && ln -sfn .. $@

install: $(VENV)/.dev .typing/margincast

demo: $(VENV)/.core
	@$(BIN)/margincast demo $(if $(MARKET),--market $(MARKET)) $(ARGS)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR) $(ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev .typing/margincast
	@$(BIN)/mypy

check: lint types test

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(VENV)/.bench: $(VENV)/.core
	@$(PIP) -e '.[bench]'
	@touch $@

bench: $(VENV)/.bench
	@$(BIN)/python benchmarks/everything.py $(ARGS)

verify: $(VENV)/.core
	@$(BIN)/python tests/verify.py $(VECTORS) $(ARGS)

# The page of every feature, from what the features declare.
pages: $(VENV)/.core
	@$(BIN)/python -c 'from margincast.features.catalogue_page import page; print(page(), end="")' > docs/feature_catalogue.md

wheel: $(VENV)/.core
	@rm -rf build && $(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .
	@ls dist

# The newest versions that resolve together, over every extra, written down for everybody else.
lock:
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/python" -m pip --disable-pip-version-check install --quiet -e '.[serve,scale,live,mlflow,garch,bench,dev]'; \
	{ echo "# Written by make lock on Python $$("$$scratch/venv/bin/python" -c 'import platform; print(platform.python_version())'): every extra, every transitive version."; \
	  "$$scratch/venv/bin/python" -m pip freeze --exclude margincast; } > "$$scratch/constraints.txt"; \
	if grep -nE '@|://|^-' "$$scratch/constraints.txt"; then echo 'a pin above is not a plain name==version' >&2; exit 1; fi; \
	cp "$$scratch/constraints.txt" constraints.txt; wc -l constraints.txt

clean:
	@rm -rf $(VENV) .typing build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
