# `make demo` shows dorm at work, `make test` checks everything. Both make their own virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test bench bench-peers lint clean

$(VENV)/.base: pyproject.toml
	scripts/venv $(PYTHON) $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[sql]'
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dashboard,encrypted,litestar,metrics,otel,postgresql,sql]'
	$(BIN)/python scripts/dev_requirements.py | xargs -d '\n' $(BIN)/pip install --quiet --disable-pip-version-check
	touch $@

demo: $(VENV)/.base
	$(BIN)/dorm demo

test: $(VENV)/.dev
	scripts/test

lint: $(VENV)/.dev
	scripts/lint

bench: $(VENV)/.dev
	$(BIN)/python -m bench

bench-peers: $(VENV)/.dev
	$(BIN)/python -m bench --peers

clean:
	rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
