# make run     start the server
# make test    run all tests
# make coverage  run them again and print the share of lines and branches they reach
# make check   lint, formatting, types, import rules
# make bench   benchmarks, each beside its floor
#
# Variables: PYTHON (interpreter for a new .venv), ARGS (for `iskra serve`), BENCH_ARGS, PYTEST_ARGS,
# EXTRAS (what the tests install, e.g. dev,local).

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= dev
PYTEST_ARGS ?= -n auto --maxprocesses=4 --dist=loadgroup

COMMA := ,
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-$(subst $(COMMA),-,$(EXTRAS))

.PHONY: run test coverage check lint types imports format bench clean

run: $(INSTALLED)
	$(BIN)/iskra serve $(ARGS)

test: $(INSTALLED_DEV)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Apart from `make test`: tracing makes the tests take twice as long.
coverage: $(INSTALLED_DEV)
	$(BIN)/python -m pytest --cov --cov-report= $(PYTEST_ARGS)
	@printf 'Line and branch coverage, percent: ' && $(BIN)/python -m coverage report --format=total

check: lint types imports

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED_DEV)
	$(BIN)/mypy

imports: $(INSTALLED_DEV)
	$(BIN)/lint-imports

format: $(INSTALLED_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED_DEV)
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An install is repeated only when pyproject.toml has changed since.
$(INSTALLED): pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --editable '.[$(EXTRAS)]'
	@touch $@ $(INSTALLED)

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Iskra needs Python 3.11 or newer, and found none. Install it, or name one: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Iskra needs Python 3.11 or newer; $(PYTHON) is' "$$('$(PYTHON)' --version 2>&1)." 'Name another: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' || { echo '$(PYTHON) cannot create a virtual environment. On Debian: apt-get install python3-venv' >&2; exit 1; }
	'$(PYTHON)' -m venv $(VENV)
