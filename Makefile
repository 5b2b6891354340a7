# make demo   a look, on a machine with Python >= 3.11 only
# make test   everything that CI runs; see TIERS
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_VENV := .venv-demo
DEMO_ARGS ?=
TIER = $(BIN)/python tests/run_tier.py

# Adding a tier: its name here, its budget and commands in tests/run_tier.py.
TIERS := test-unit test-accept

.PHONY: test deps lint format fuzz lock demo ci-cold clean $(TIERS)

test: deps
	@$(TIER) all $(TIERS)

$(TIERS): deps
	@$(TIER) $@

deps: $(VENV)/.stamp

$(VENV)/.stamp: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
