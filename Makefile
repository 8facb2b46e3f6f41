# Two commands matter: `make serve` runs the product, `make test` passes the tests. CI and README use the same ones.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SERVE  := $(VENV)/.serve-installed
DEV    := $(VENV)/.dev-installed
# The CPU build of torch that the project is tested with. Elsewhere: `make test TORCH=torch` takes the default build.
TORCH  ?= torch==2.13.0

.PHONY: help serve test check bench quality format clean
.DEFAULT_GOAL := help

help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@echo "Creating $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit("Parlance needs Python 3.11 or newer; set PYTHON=") if sys.version_info < (3, 11) else 0'
	@$(PYTHON) -m venv $(VENV)

$(SERVE): $(BIN)/python requirements/serve.txt pyproject.toml
	@echo "Installing the serving set (no torch; about a minute) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/serve.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(DEV): $(SERVE) requirements/dev.txt
	@echo "Installing the training and development set …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check '$(TORCH)'
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/dev.txt
	@touch $@

serve: $(SERVE) ## Set everything up and run the server with models and demonstration data on http://127.0.0.1:8000
	@$(BIN)/parlance serve --demo

test: $(DEV) ## Run all tests (PostgreSQL and Redis ones where those are installed).
	@$(BIN)/parlance models build
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-report=term --cov-fail-under=90 $(ARGS)

check: $(DEV) ## Format, lint, types, import rules.
	@$(BIN)/ruff format --check core plugins tests
	@$(BIN)/ruff check core plugins tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEV) ## Format the code and apply safe fixes.
	@$(BIN)/ruff check --fix core plugins tests
	@$(BIN)/ruff format core plugins tests

bench: $(DEV) ## Print speeds side by side with raw ONNX Runtime on the same texts.
	@$(BIN)/parlance models build
	@$(BIN)/python tests/bench/embeddings.py $(ARGS)

quality: $(DEV) ## Measure the models on held-out data (needs the data sets; says so when they are absent).
	@$(BIN)/python tests/bench/sentiment_quality.py $(ARGS)

clean: ## Remove the environment and caches; models and databases stay.
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov
