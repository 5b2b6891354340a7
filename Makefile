# make demo [DEMO_ARGS=…]   a look; needs Python >= 3.11 only (on Debian with python3-venv)
# make test                 everything that CI runs: deps, then each tier below
# make <tier>               one tier; their names, budgets and contents are in tests/run_tier.py
# make ci-cold              the gate from a fresh clone with empty caches
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_VENV := .venv-demo
AUDIT_VENV := .venv-audit
DEMO_ARGS ?=
BENCH_ARGS ?=
RUNS ?= 1000000
SEED ?= 1
TIERS := $(shell $(PYTHON) tests/run_tier.py --list)

PIP := pip install --quiet --disable-pip-version-check
ENOUGH := import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")

.DEFAULT_GOAL := test
.PHONY: test $(TIERS) deps lint format chart fuzz kills faults-long consume-long lock demo audit ci-cold clean bench

test:
	@$(PYTHON) tests/run_tier.py all

$(TIERS): deps
	@$(BIN)/python tests/run_tier.py $@

# The jars of the brokers and the tools of the chart too, so that no tier downloads while it measures.
# Without Java, Go or root only CI stops.
deps: $(VENV)/.stamp $(AUDIT_VENV)/.stamp
	@$(BIN)/python -m connector.local || [ "$$CI" != true ]
	@PYTHONPATH=tests $(BIN)/python -m chart.tools || [ "$$CI" != true ]
	@PYTHONPATH=tests $(BIN)/python -m consume.parser || [ "$$CI" != true ]
	@PYTHONPATH=tests $(BIN)/python -m consume.deps || [ "$$CI" != true ]
	@PYTHONPATH=tests $(BIN)/python -m evolution.avro || [ "$$CI" != true ]

$(VENV)/.stamp: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c '$(ENOUGH)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) --require-hashes -r requirements-dev.lock
	$(BIN)/$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

lint: $(VENV)/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Resolve the newest versions again; needs uv. Extras stay in the lines: pip takes `coverage[toml]>=7` for another package
# than a locked `coverage`, and refuses the newest one for want of a hash.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header --upgrade \
		pyproject.toml --extra demo -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header --upgrade \
		pyproject.toml --extra demo --group dev -c requirements.lock -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header --upgrade \
		--group bench -c requirements-dev.lock -o requirements-bench.lock
	for input in examples/*/*.in tests/audit/*.in tests/consume/long/*.in tests/chart/checkov.in; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header --upgrade \
			$$input -o $${input%.in}.lock; done

# The checkout itself is put on the path: building it would need more than the locked packages.
$(DEMO_VENV)/.stamp: requirements.lock
	@$(PYTHON) -c '$(ENOUGH)'
	@echo "Installing the dependencies of the demo into $(DEMO_VENV) (once) …"
	@$(PYTHON) -m venv $(DEMO_VENV)
	@$(DEMO_VENV)/bin/$(PIP) --require-hashes -r requirements.lock
	@echo '$(CURDIR)' > $$($(DEMO_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/checkout.pth
	@touch $@

demo: $(DEMO_VENV)/.stamp
	@$(DEMO_VENV)/bin/python -m connector demo $(DEMO_ARGS)

# What is generated in helm/: schema, table of values, golden files. Look at the difference.
chart: $(VENV)/.stamp
	PYTHONPATH=tests $(BIN)/python -m chart.generate
	PYTHONPATH=tests $(BIN)/python -m chart.regenerate

fuzz: $(VENV)/.stamp
	$(BIN)/python tests/fuzz_decode.py --runs $(RUNS) --seed $(SEED)

# The whole benchmark, on an otherwise idle machine; the report is bench/report/README.md.
bench: deps
	$(BIN)/$(PIP) --require-hashes -r requirements-bench.lock
	$(BIN)/python -m bench $(BENCH_ARGS)

# Run once and reported, never in CI; a second call goes on where the results file ends.
N ?= 200
kills faults-long: deps
	PYTHONPATH=tests $(BIN)/python -m faults.long $(if $(filter kills,$@),kills --runs $(N),$(or $(FAULT),all))

# Readers beyond the tier: PyFlink, Iceberg through Spark, long silences, an outage of Kafka, stalls, registry faults of
# every reader.
consume-long: deps
	PYTHONPATH=tests $(BIN)/python -m consume.long.more
	$(BIN)/pytest -q -s --timeout=900 tests/consume/long

# Hashes and an SBOM always; known vulnerabilities where an advisory service answers.
$(AUDIT_VENV)/.stamp: tests/audit/requirements.lock
	$(PYTHON) -m venv $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/$(PIP) --require-hashes -r $<
	@touch $@

audit: $(AUDIT_VENV)/.stamp
	@$(AUDIT_VENV)/bin/python tests/audit/audit.py

ci-cold:
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	git clone --quiet . "$$work/clone"; cd "$$work/clone"; \
	XDG_CACHE_HOME="$$work/cache" MAVEN_OPTS="-Dmaven.repo.local=$$work/m2" CI=true bash .ci/run

clean:
	rm -rf $(VENV) $(DEMO_VENV) $(AUDIT_VENV) build dist .mypy_cache .ruff_cache .hypothesis .coverage*
