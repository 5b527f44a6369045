# Two commands do everything on a fresh machine: `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint docs clean

VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 12))'
PYTHON := $(firstword $(foreach p,python3.13 python3.12 python3,$(shell $(p) $(NEW_ENOUGH) 2>/dev/null && echo $(p))))
UV := $(shell command -v uv 2>/dev/null)

help:
	@echo "make demo   fit the embedded data set, compare likelihoods, choose a rank"
	@echo "make test   run the whole test suite"
	@echo "make test-long   run the long statistical studies too: calibration, exact posteriors, galleries"
	@echo "make lint   format check, lint, types, import contracts"
	@echo "make docs   build the documentation into docs/_build/html"

# One stamp per set of extras, so that `make demo` installs no test tools.
ifdef UV
create = test -x $(BIN)/python || $(UV) venv --quiet --python '>=3.12' $(VENV)
install = $(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable
else ifdef PYTHON
create = test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
else
create = echo "bayesnmf needs Python 3.12 or newer: install python3.13 (or uv) and run make again." >&2; exit 1
install = false
endif

$(VENV)/.demo: pyproject.toml constraints.txt
	@$(create)
	@echo "Installing bayesnmf into $(VENV) ..."
	@$(install) .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	@$(create)
	@echo "Installing bayesnmf and its test tools into $(VENV) ..."
	@$(install) '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: pyproject.toml constraints.txt
	@$(create)
	@echo "Installing bayesnmf and the documentation tools into $(VENV) ..."
	@$(install) '.[docs]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@$(BIN)/bayesnmf demo

test: $(VENV)/.test
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m "not long"

test-long: $(VENV)/.test
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m long

lint: $(VENV)/.test
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(VENV)/.docs
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

clean:
	rm -rf $(VENV) docs/_build build dist
