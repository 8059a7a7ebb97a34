# Every target sets `.venv` up by itself, from the lock file; a stamp keeps a second run from doing it again.

export PYTHONSAFEPATH := 1
PYTHON ?= python3
PYTEST_ARGS ?=
JOBS ?= 3
BENCH_ARGS ?=
BIN := .venv/bin
LOCK := deploy/requirements.lock
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--no-strip-extras --quiet
DOCKER ?= docker
IMAGE ?= thalweg:$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup lock digests demo demo-all lint test test-docker image bench up clean

help:
	@echo "make demo | demo-all | test | test-docker | lint | bench | up | image | setup | lock | digests | clean"

# Two stamps: a change of pyproject.toml does not install the locked packages again. All is compiled here: every vertex is a process, and
# would compile it all again where the environment keeps Python from writing bytecode.
.venv/locked.stamp: $(LOCK)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install -qq --require-hashes -r $(LOCK)
	@touch $@

.venv/installed.stamp: .venv/locked.stamp pyproject.toml
	$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q shared services
	@touch $@

setup: .venv/installed.stamp

# Needs uv; the output names no host: index addresses come from each machine's own settings.
lock:
	$(COMPILE) pyproject.toml --all-extras --output-file $(LOCK)
	$(COMPILE) pyproject.toml --extra image --constraints $(LOCK) --output-file deploy/image.lock
	echo "hatchling" | $(COMPILE) - --constraints $(LOCK) --output-file deploy/image-build.lock

# Pins the standard library's releases. A version that Thalweg was released with is never pinned anew: raise it instead.
digests: setup
	$(BIN)/python -m thalweg_components.digests

demo: setup
	@bash examples/demo.sh

demo-all: setup
	@bash examples/demo.sh all

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# What the services and every vertex run in containers; IMAGE_ARGS="--build-arg BASE_IMAGE=…" builds on another base.
image:
	DOCKER_BUILDKIT=1 $(DOCKER) build $(IMAGE_ARGS) --file deploy/Dockerfile --tag $(IMAGE) .

# Takes minutes, and root where no Docker engine runs: it then starts one of its own, apart from the machine's network.
test-docker: setup
	bash tests/docker/run.sh $(PYTEST_ARGS)

bench: setup
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH_ARGS)

up: setup
	$(BIN)/thalweg up

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
	@echo "kept: .thalweg (servers' data, files, logs) and out (results); remove them when nothing runs"
