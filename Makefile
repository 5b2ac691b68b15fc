# Each target sets itself up: the virtual environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One compilation cache per checkout, shared by the test workers and their children.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/xla

.PHONY: hmnas test lint types pytest clean

hmnas: $(VENV)/.core
	$(BIN)/python launch/hmnas.py --config=configs/digits.py --workdir=runs/digits

test: lint types pytest

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy nasjax

pytest: $(VENV)/.dev
	$(BIN)/python -m pytest

$(VENV)/.core: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --editable '.[test,lint]'
	touch $@

clean:
	rm -rf $(VENV) .cache build dist *.egg-info
