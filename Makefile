# make quickstart   set up, then watch a model improve itself
# make test         set up, then run the tests
# make trust        the long proofs: kills, flips, hostile texts, gates; in pieces, resumable (SECONDS=600)
# make check        ruff, mypy --strict, layers
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# One release for all: other versions of torch bring gigabytes of GPU libraries to machines without one.
TORCH ?= torch==2.13.0
EXTRAS ?= openai,anthropic,gemini,gguf,reasoning-gym,images,search,games,notebook,ui,serve,tensorboard,dev

.PHONY: setup quickstart test trust check docs clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)" $(TORCH_OPTIONS)
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]"
	touch $@

quickstart: setup
	$(BIN)/sharpen quickstart

test: setup
	$(BIN)/python -m pytest

SECONDS ?= inf

trust: setup
	PYTHONPATH=tools $(BIN)/python -m trust --seconds $(SECONDS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py

docs: setup
	$(BIN)/python tools/make_docs.py
	$(BIN)/python tools/capacity.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
