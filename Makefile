# Two commands do everything on a fresh Debian 12: `make demo` and `make test`.
PYTHON  ?= python3
MINUTES ?= 60
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed

.PHONY: setup demo demo-headless test check trace bench soak clean

setup: $(STAMP)

$(STAMP): requirements-dev.txt pyproject.toml deploy/install_packages.sh
	sh deploy/install_packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m vision.counting.warm_kernels
	touch $(STAMP)

demo: setup
	$(BIN)/cellwright demo

demo-headless: setup
	$(BIN)/cellwright demo --headless

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup
	$(BIN)/python -m tests.lanes --proofs=build/trace.jsonl

trace: setup
	$(BIN)/python -m tests.trace

bench: setup
	$(BIN)/python -m tests.bench

soak: setup
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
