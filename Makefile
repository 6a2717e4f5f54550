# Everything that people and CI run. Each target sets up what it needs by itself: Python >= 3.10 and cargo are all that
# has to be there. The work itself is in scripts/ and in the tools' settings (pyproject.toml, Cargo.toml).
#
#   make demo           a listener and a speaker, live, where no datagram leaves the machine
#   make test           all tests, Rust and Python        (PYTEST_ARGS="-k name" to choose)
#   make lint           format, style, types, docs of the code
#   make lint-workflows actionlint on the workflows
#   make test-concurrency the ring of background receivers under loom and ThreadSanitizer
#   make test-sanitizers batches and payloads under AddressSanitizer and valgrind
#   make wheels         sdist and wheel into dist/, tried in a clean environment without cargo
#   make wheels-matrix  a release's wheels for this system, tried on each Python there is (MATRIX_ARGS=...)
#   make wheels-native  the same by cibuildwheel, as the release does; on Linux it needs a container engine
#   make check-release  what has to hold before anything is published
#   make bench          the comparison with other libraries (BENCH_ARGS=...); its results go to bench/results/latest.json
#   make bench-docs     those results into the documentation and the README
#   make build-docs     the documentation as HTML         (DOCS_BUILD_REF=commit to link to that commit)
#   make user-install   install this tree for the current user
#   make cross-check    type-checks the Rust code for other systems (CROSS_ARGS=target ...)
#   make clean          remove what was built; `make purge` removes the environment and all caches too

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= python3
CARGO ?= cargo
PYTEST_ARGS ?=
BENCH_ARGS ?=
BENCH_RESULTS ?= bench/results/latest.json
MATRIX_ARGS ?=
CROSS_ARGS ?=
WHEELS ?=

VENV := .venv
ifeq ($(OS),Windows_NT)
  BIN := $(VENV)/Scripts
else
  BIN := $(VENV)/bin
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
NETNS := bash scripts/dev/netns.sh

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
INSTALLED := $(VENV)/.stamp-installed
RELEASE := $(VENV)/.stamp-release
BUILT := $(VENV)/.stamp-built

# Every cargo run sees the same interpreter, so that none of them rebuilds what another has built.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile

$(INSTALLED): pyproject.toml
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --group dev
	touch $@

# The stamp is as old as the build's beginning: what is edited meanwhile is built the next time.
$(BUILT): $(INSTALLED) $(RUST_SOURCES)
	touch $@.begun
	VIRTUAL_ENV=$(CURDIR)/$(VENV) PIP_QUIET=1 $(BIN)/maturin develop --release --locked --quiet
	mv $@.begun $@

.PHONY: build
build: $(BUILT)

.PHONY: demo
demo: build
	$(NETNS) --hosts 2 $(BIN)/python scripts/dev/demo.py

.PHONY: test
test: test-rust test-python

# Built outside and run inside the private network, where nothing can be fetched.
.PHONY: test-rust
test-rust:
	$(CARGO) test --package multicast-core --locked --no-run
	$(NETNS) $(CARGO) test --package multicast-core --locked --offline

# pytest enters the private network by itself.
.PHONY: test-python
test-python: build
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: build
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest multicast._core
	for script in scripts/*/*.sh .ci/run; do bash -n "$$script"; done
	$(BIN)/zizmor --offline --strict-collection --quiet .github
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked
	$(BIN)/python scripts/release/third_party_licenses.py --check

# Apart from lint, because its installation fetches a program from beyond the package index.
.PHONY: lint-workflows
lint-workflows: $(INSTALLED)
	$(PIP) install --group workflows
	$(BIN)/actionlint

.PHONY: cross-check
cross-check:
	bash scripts/dev/cross-check.sh $(CROSS_ARGS)

.PHONY: test-concurrency
test-concurrency:
	bash scripts/dev/test-concurrency.sh

.PHONY: test-sanitizers
test-sanitizers: build
	bash scripts/dev/test-sanitizers.sh $(BIN)/python

.PHONY: bench
bench: build
	$(BIN)/python -m bench.install_competitors || echo 'bench: some of the others are absent, the comparison goes on without them'
	$(NETNS) $(BIN)/python -m bench --json $(BENCH_RESULTS) $(BENCH_ARGS)

.PHONY: bench-docs
bench-docs: $(INSTALLED)
	$(BIN)/python -m bench.publish $(BENCH_RESULTS) docs/benchmarks.md
	bench/build/plot/bin/python -m bench.plot $(BENCH_RESULTS) docs/benchmarks.svg
	$(BIN)/python scripts/docs/speed_table.py $(BENCH_RESULTS)

.PHONY: build-docs
build-docs: build
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -b html docs docs/_build/html
	@echo 'documentation: docs/_build/html/index.html'

.PHONY: wheels
wheels: $(INSTALLED)
	bash scripts/release/wheels.sh $(BIN)/python

.PHONY: wheels-matrix
wheels-matrix:
	bash scripts/release/wheels-matrix.sh $(MATRIX_ARGS)

$(RELEASE): $(INSTALLED)
	$(PIP) install --group release
	touch $@

.PHONY: wheels-native
wheels-native: $(RELEASE)
	$(BIN)/cibuildwheel --archs native --output-dir wheelhouse

.PHONY: check-release
check-release: $(RELEASE)
	bash scripts/release/check-release.sh $(BIN) $(WHEELS)

.PHONY: user-install
user-install:
	$(PYTHON) -m pip install --user --upgrade .

.PHONY: clean
clean:
	rm -rf build dist wheelhouse docs/_build target .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f python/multicast/_core*.so python/multicast/_core*.pyd $(BUILT) $(BUILT).begun
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: purge
purge: clean
	rm -rf $(VENV)
