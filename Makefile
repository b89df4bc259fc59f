# Two commands, each of which sets up what it needs: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
AGENTS := random,oracle,closed-book,recency,full-context,add-all-bm25,rules,belief,first-cue,cue-blind,ppo-lstm,ppo-memory

.PHONY: quickstart test quick lint clean help

help:
	@echo "make quickstart   install, evaluate twelve agents, build the page (interrupt it, run it again: it goes on)"
	@echo "make test         install, run every test"
	@echo "make quick        the tests without the slow ones"
	@echo "make lint         ruff and pyright"

quickstart: $(VENV)/installed-run
	$(BIN)/memgym evaluate --agents $(AGENTS) --suite quickstart --out results/quickstart
	$(BIN)/memgym leaderboard build results/quickstart --out site

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4

quick: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 -m "not slow"

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) build dist results site

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'memgym needs Python 3.11 or newer')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -c constraints.txt -e ".[leaderboard,agents,data]"
	touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	touch $@
