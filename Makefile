# Every command that people and CI run. Each target sets up what it needs: you only need Python 3.10 or later and cargo.
# The work itself is done in scripts/ and by tools configured in pyproject.toml and Cargo.toml.
#
#   make demo              run a listener and a sender in a private network and show what they print
#   make build             compile the package into .venv
#   make fmt               format the Python and Rust code
#   make clean             remove build products (`make purge` also removes .venv and its tools)
#
#   make test-fast         run the unit tests and a few tests on the network, in under a minute
#   make test              run all tests, Rust and Python        (PYTEST_ARGS="-k name" selects Python tests)
#   make chaos             change the network at random and check every datagram against a model, for 60 s
#                          (CHAOS_SECONDS=..., CHAOS_SEED=... and CHAOS_RUNS=1 to reproduce, CHAOS_ARGS="--reduce")
#   make coverage          run the Python tests and report the lines that they do not reach
#   make test-concurrency  check the background receiver's ring with loom and ThreadSanitizer
#   make test-sanitizers   run the tests of batches and payloads with AddressSanitizer and valgrind
#
#   make lint              run every check of code and text: lint-python, lint-rust and lint-text
#   make lint-quick        run the checks that take seconds
#   make lint-python       check format, style and types of the Python code
#   make lint-rust         check format, style, documentation and licenses of the Rust code
#   make lint-text         check spelling, Markdown, style of the prose, sizes, shell scripts and workflows
#   make lint-workflows    run actionlint on the workflows
#   make hooks             install the git hooks, which check each commit
#   make cross-check       type-check the Rust code for other systems (CROSS_ARGS=target ...)
#
#   make build-docs        build the documentation as HTML       (DOCS_BUILD_REF=commit links to that commit)
#   make bench             compare with other libraries          (BENCH_ARGS=...); results: bench/results/latest.json
#   make bench-docs        write those results into the documentation and the README
#
#   make wheels            build the sdist and a wheel in dist/, and test them in a clean environment without cargo
#   make wheels-matrix     build a release's wheels for this system and test each Python version (MATRIX_ARGS=...)
#   make wheels-native     build the same wheels with cibuildwheel, as a release does (Linux: needs a container engine)
#   make check-release     check everything that must hold before a release is published
#   make user-install      install this tree for the current user

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
# pip and maturin must not change .venv at the same time, and cargo uses every core by itself.
.NOTPARALLEL:

PYTHON ?= python3
CARGO ?= cargo
PYTEST_ARGS ?=
CHAOS_SECONDS ?= 60
CHAOS_SEED ?=
CHAOS_RUNS ?=
CHAOS_ARGS ?=
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

# The build needs one tool, with the version that pyproject.toml names under [build-system].
MATURIN := $(shell sed -n 's/^requires = \["\(maturin[^"]*\)"\]$$/\1/p' pyproject.toml)
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
# Stamps: .venv with maturin alone; the package built into it; the dependency groups of pyproject.toml installed.
CREATED := $(VENV)/.stamp-created
BUILT := $(VENV)/.stamp-built
SUITE := $(VENV)/.stamp-group-suite
LINT := $(VENV)/.stamp-group-lint

# All cargo runs use the same interpreter, so that none of them rebuilds what another one has built.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

.PHONY: help
help:
	@sed -n 's/^#   //p; s/^#$$//p' Makefile

$(CREATED): pyproject.toml
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(PIP) install '$(MATURIN)'
	touch $@

# Older versions of pip do not know dependency groups.
$(VENV)/.stamp-group-%: $(CREATED)
	$(PIP) install 'pip>=25.1'
	$(PIP) install --group $*
	touch $@

# The stamp gets the time when the build began, so that sources edited during the build are built next time.
$(BUILT): $(CREATED) $(RUST_SOURCES)
	touch $@.begun
	VIRTUAL_ENV=$(CURDIR)/$(VENV) PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
	  $(BIN)/maturin develop --release --locked --quiet
	mv $@.begun $@

.PHONY: build
build: $(BUILT)

.PHONY: demo
demo: build
	$(NETNS) --hosts 2 $(BIN)/python scripts/dev/demo.py

.PHONY: fmt
fmt: $(LINT)
	$(BIN)/ruff check --quiet --fix-only
	$(BIN)/ruff format
	$(CARGO) fmt --all

.PHONY: test
test: test-rust test-python

# Built outside the private network, where crates can be fetched, and run inside it.
.PHONY: test-rust
test-rust:
	$(CARGO) test --package multicast-core --locked --no-run
	$(NETNS) $(CARGO) test --package multicast-core --locked --offline

# pytest enters a private network by itself.
.PHONY: test-python
test-python: build $(SUITE)
	$(BIN)/python -m scripts.dev.run_tests $(PYTEST_ARGS)

.PHONY: chaos
chaos: build $(SUITE)
	$(NETNS) --stock $(BIN)/python -m tests.chaos --seconds $(CHAOS_SECONDS) $(addprefix --seed ,$(CHAOS_SEED)) \
	  $(addprefix --runs ,$(CHAOS_RUNS)) $(CHAOS_ARGS)

# Each of these wire tests shows that a large part works: filtering, joining and leaving, adopted sockets, asyncio.
SMOKE := tests/wire/test_filtering.py tests/wire/test_membership.py tests/wire/test_adopt.py tests/wire/test_aio_sender.py

.PHONY: test-fast
test-fast: build $(SUITE)
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m 'not alone' tests/unit $(SMOKE)

# The Python tests alone: the Rust code has no instrumentation in a release build.
.PHONY: coverage
coverage: build $(SUITE)
	$(BIN)/python -m pytest --cov --cov-report=term --cov-report=html $(PYTEST_ARGS)
	@echo 'coverage: build/coverage/index.html'

.PHONY: lint
lint: lint-python lint-rust lint-text

# A few seconds: the hook that checks a commit.
.PHONY: lint-quick
lint-quick: lint-text
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(CARGO) fmt --all --check

.PHONY: lint-python
lint-python: build $(LINT)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest multicast._core
	$(BIN)/pyright
	$(BIN)/python -m scripts.docs.check_types

.PHONY: lint-rust
lint-rust: $(CREATED)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked
	$(BIN)/python scripts/release/third_party_licenses.py --check

.PHONY: lint-text
lint-text: $(LINT)
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/rumdl check --quiet .
	$(BIN)/python -m scripts.dev.check_style
	$(BIN)/python -m scripts.dev.check_sizes
	for script in scripts/*/*.sh .ci/run; do bash -n "$$script"; done
	test -x .ci/run
	$(BIN)/zizmor --offline --strict-collection --quiet .github

# Apart from lint, because its installation downloads a program that is not in the package index.
.PHONY: lint-workflows
lint-workflows: $(VENV)/.stamp-group-workflows
	$(BIN)/actionlint

.PHONY: hooks
hooks: $(VENV)/.stamp-group-hooks
	$(BIN)/pre-commit install

.PHONY: cross-check
cross-check:
	bash scripts/dev/cross-check.sh $(CROSS_ARGS)

.PHONY: test-concurrency
test-concurrency:
	bash scripts/dev/test-concurrency.sh

.PHONY: test-sanitizers
test-sanitizers: build $(SUITE)
	bash scripts/dev/test-sanitizers.sh $(BIN)/python

.PHONY: bench
bench: build $(SUITE)
	$(BIN)/python -m bench.install_competitors || echo 'bench: continuing without the competitors that are not installed'
	$(NETNS) $(BIN)/python -m bench --json $(BENCH_RESULTS) $(BENCH_ARGS)

.PHONY: bench-docs
bench-docs: $(CREATED)
	$(BIN)/python -m bench.publish $(BENCH_RESULTS) docs/benchmarks.md docs/costs.md
	bench/build/plot/bin/python -m bench.plot $(BENCH_RESULTS) docs/benchmarks.svg
	$(BIN)/python scripts/docs/speed_table.py $(BENCH_RESULTS)

.PHONY: build-docs
build-docs: build $(SUITE)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -b html docs docs/_build/html
	@echo 'documentation: docs/_build/html/index.html'

.PHONY: wheels
wheels: $(CREATED)
	bash scripts/release/wheels.sh $(BIN)/python

.PHONY: wheels-matrix
wheels-matrix:
	bash scripts/release/wheels-matrix.sh $(MATRIX_ARGS)

.PHONY: wheels-native
wheels-native: $(VENV)/.stamp-group-release
	$(BIN)/cibuildwheel --archs native --output-dir wheelhouse

.PHONY: check-release
check-release: $(VENV)/.stamp-group-release
	bash scripts/release/check-release.sh $(BIN) $(WHEELS)

.PHONY: user-install
user-install:
	$(PYTHON) -m pip install --user --upgrade .

.PHONY: clean
clean:
	rm -rf build dist wheelhouse docs/_build target .mypy_cache .pytest_cache .ruff_cache .rumdl_cache .hypothesis
	rm -f .coverage .coverage.* python/multicast/_core*.so python/multicast/_core*.pyd $(BUILT) $(BUILT).begun
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: purge
purge: clean
	rm -rf $(VENV)
