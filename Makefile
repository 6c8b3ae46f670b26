# Everything that `make run` and `make test` need is made here, once: .venv and the locked dependencies.
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.PHONY: run test lint bench lock clean

run: .venv/run.stamp ## the main job
	@$(BIN)/publisher run $(ARGS)

test: .venv/test.stamp ## the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: .venv/test.stamp ## style and types, for both systems
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --platform linux
	$(BIN)/mypy --platform win32

bench: .venv/test.stamp ## the figures of tests/benchmarks/RESULTS.md
	$(BIN)/python -m tests.benchmarks $(ARGS)

lock: .venv/test.stamp ## pin the dependencies anew
	$(PIP) install uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade --group build --extra metrics pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade --group build --group test --constraints requirements.lock pyproject.toml --output-file tests/requirements.lock

clean: ## forget what was made
	rm -rf .venv dist .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/run.stamp: requirements.lock pyproject.toml
	@echo "preparing .venv (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/test.stamp: .venv/run.stamp tests/requirements.lock
	@echo "adding what the tests need (once) ..."
	@$(PIP) install --require-hashes --requirement tests/requirements.lock
	@touch $@
