# Every verb installs what it needs first; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help install demo lint test check test-slow test-browser test-cluster test-slurm bench bench-hot docs lock clean

help:  ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "alignsvc needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/alignsvc prepare
	touch $@

install: $(STAMP)  ## make .venv with the package and all that the verbs need, from the lock

demo: install  ## simulate four exposures, align them, compare with the truth
	rm -rf demo
	$(BIN)/alignsvc simulate configs/simulations/stack4.yaml demo/sky
	$(BIN)/alignsvc run configs/quickstart.yaml
	$(BIN)/alignsvc simulate --evaluate demo/run demo/sky

lint: install  ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## lint, then the fast suite
	$(PYTEST) -n 2 -m "not slow and not cluster and not browser"

check: test  ## the same as test

test-slow: install  ## the suites that take minutes
	$(PYTEST) -n 2 -m "slow and not cluster"

test-browser: install  ## pages and widgets in Chromium, skipped with the reason where it is not installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/browser/requirements.txt
	$(PYTEST) -m browser -rs tests/browser

test-cluster: install  ## whole runs on schedulers and workers of their own
	$(PYTEST) -m cluster

test-slurm: install  ## those on a real Slurm alone; skipped, with the reason, where there is none
	$(PYTEST) -m "cluster and not slow" -rs tests/cluster/test_slurm.py

bench: install  ## costs next to peers, written to tests/benchmarks/RESULTS.md; PARTS="tutorial scenes" for some
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/benchmarks/run_all.py $(PARTS)

bench-hot: install  ## hot functions one by one; HOT="--benchmark-save=before", then HOT="--benchmark-compare"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/benchmarks/requirements.txt
	$(PYTEST) -p benchmark tests/benchmarks/hot_functions.py --benchmark-storage=build/benchmarks $(HOT)

docs: install  ## the docstrings and the Markdown files as pages, in build/docs
	rm -rf build/docs
	$(BIN)/python docs/build_pages.py build/docs

lock: install  ## renew requirements.lock, and the image's part of it, for all supported Pythons
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	    --no-header --no-emit-index-url --no-annotate --extra test --extra docs pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	    --no-header --no-emit-index-url --no-annotate --extra clusters -c requirements.lock pyproject.toml \
	    -o deploy/container/requirements.lock
	grep -A 2 '^setuptools==' requirements.lock > deploy/container/build.lock

clean:  ## remove what the verbs made
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
