# `make test` and `make run` do the whole set-up themselves; it is redone only when it is out of date.
PYTHON ?= python3
BIN := .venv/bin
WEIGHTS := smollm2-135m-instruct whisper-base whisper-tiny.en all-minilm-l6-v2
WORKERS := 2
OLDEST := .venv-oldest
OLDEST_TESTS := tests/lm tests/models tests/alignment/test_audio_lm.py tests/export/test_model.py \
	tests/test_paper_recipe.py
GPU_TESTS := tests/test_gpu.py tests/test_check.py tests/lm tests/models tests/alignment tests/connect tests/plan \
	tests/export/test_model.py
STAMP := .venv/set-up-$(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')

.PHONY: help setup weights test test-oldest test-gpu run lint clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv (PYTHON=python3.12 picks the interpreter) and install rba with its tools

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "rba needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
	    "name another: make setup PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,corpus]'
	@rm -f .venv/set-up-*
	@touch $@

weights: $(STAMP) ## fetch the model weights that the tests and the tiny recipe need
	@for name in $(WEIGHTS); do $(BIN)/rba models fetch $$name >/dev/null || exit; done

test: WEIGHTS += kokoro-82m moonshine-base-en
# tests start many processes: each would compile the package anew
test: export PYTHONDONTWRITEBYTECODE =
test: weights ## run the tests in WORKERS processes; ARGS="-k words -x" goes to pytest
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# in an environment of its own; pip says that some tools of `dev` want newer ones, which these tests do not use
test-oldest: ## test the models with the lowest versions of what opens them, in .venv-oldest
	@test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,corpus]'
	$(OLDEST)/bin/python -m pip install --disable-pip-version-check -q -r constraints-oldest.txt
	$(OLDEST)/bin/python -m pytest -m "not weights" $(OLDEST_TESTS) $(ARGS)

# what needs several processes, or bits that are equal, is for the CPU alone
test-gpu: $(STAMP) ## test on this machine's GPU what works there
	RBA_TEST_GPU=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not weights" $(GPU_TESTS) $(ARGS)

run: weights ## run the tiny recipe; ARGS="seed=7" goes to rba
	$(BIN)/rba run recipes/tiny.yaml $(ARGS)

lint: $(STAMP) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove .venv, builds and caches; runs and fetched weights stay
	rm -rf .venv $(OLDEST) build dist src/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
