# Every target sets up what it needs (see run.py) and can be called on a fresh Debian 12.
PYTHON ?= python3
ARGS ?=

.PHONY: setup demo test unit integration check format docs lock bench fuzz soak audit clean

setup demo test unit integration check docs bench fuzz soak audit:
	@$(PYTHON) run.py $@ $(ARGS)

format:
	@$(PYTHON) run.py run -m ruff format .
	@$(PYTHON) run.py run -m ruff check --fix .

lock:  # the newest versions that pyproject.toml allows
	@rm -rf .cache/lock && : > constraints.txt
	@PROXY_VENV=.cache/lock $(PYTHON) run.py lock

clean:
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage artifacts build dist
