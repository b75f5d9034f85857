# `make demo` and `make test` do everything on a fresh clone; the rest is for those who change the code.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help demo test test-all lint format lock zoo compose-test clean install
.DEFAULT_GOAL := help

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(STAMP)  ## Everything pinned, into .venv
$(STAMP): requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Attendant needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 install")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: install  ## Embedded broker, simulated fleet, the service and a webhook receiver; prints where to look
	$(BIN)/attendant demo $(ARGS)

test: install  ## The tests (those marked slow are left out)
	$(BIN)/pytest -m "not slow" $(ARGS)

test-all: install  ## Every test
	$(BIN)/pytest $(ARGS)

lint: install  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## Put the code into its form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: install  ## Resolve the dependencies again and write requirements/
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
		--extra demo --extra postgres -o requirements/run.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra demo --extra postgres --extra evaluation --group dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml
	echo hatchling==1.28.0 | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate -o requirements/build.txt -

zoo: install  ## Simulate the training fleets and train the shipped models again (minutes on a GPU, ARGS="--help")
	$(BIN)/attendant zoo --out models/zoo $(ARGS)

compose-test: install  ## Build the image, bring the stack up, send a fault and see its alert
	tests/compose/run.sh $(ARGS)

clean:  ## Remove what was installed and cached
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
