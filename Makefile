# Everything runs in .venv, created on first use from PYTHON (any CPython 3.11 to 3.13) and brought up to
# date whenever pyproject.toml changes. Nothing needs activating.
PYTHON  ?= $(shell .ci/pythons --default)
VENV    ?= .venv
WORKERS ?= auto
N       ?= 2000
SAMPLE  ?= 12
# Libraries beside tracer in benchmarks, each in an environment of its own; all by default.
PEERS   ?= $(basename $(notdir $(wildcard benchmarks/peers/requirements/*.txt)))

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.DEFAULT_GOAL := help
.PHONY: help demo docs test test-versions fuzz harnesses conformance bench bench-peers bench-run bench-check bench-report growth third-party lint format clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Checks run on the CPU unless told otherwise; the demo and the benchmarks use what the machine has.
docs test test-versions fuzz harnesses conformance third-party: export JAX_PLATFORMS ?= cpu

demo: $(VENV)/.stamp-examples ## train a small network on handwritten digits
	@$(BIN)/python examples/digits.py

docs: $(VENV)/.stamp-site ## the documentation as a site, in site/; a broken link or a missing page is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict # (with --quiet, warnings would not count)
	@echo "open site/index.html"

test: lint ## lint, types, import contracts and the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS)

test-versions: ## the tests on the oldest and the newest supported Python and JAX
	@WORKERS=$(WORKERS) .ci/test-versions

harnesses: $(VENV)/.stamp-dev ## JAX's own cases for its primitives, through tracer (a sample; ALL=1 for every one)
	$(BIN)/python -m tests.harnesses $(if $(ALL),--all,--sample $(SAMPLE))

fuzz: $(VENV)/.stamp-dev ## N random programs against the reference (N=2000); RULES=1: N in which rewrites meet
	$(BIN)/python -m tests.fuzz $(if $(RULES),--rules,--programs) $(N) $(if $(SEED),--seed $(SEED))

conformance: $(VENV)/.stamp-dev ## N random calls of the public functions against JAX (N=2000)
	$(BIN)/python -m tests.conformance --cases $(N) $(if $(SEED),--seed $(SEED))

# In an environment of its own: those libraries choose their versions of JAX.
third-party: ## programs of Equinox, Flax, Diffrax, NumPyro, MuJoCo and others, and their speed beside JAX
	@$(MAKE) --no-print-directory VENV=.venvs/third-party .venvs/third-party/.stamp-third-party
	.venvs/third-party/bin/python -m pytest -n $(WORKERS) tests/third_party/check_programs.py
	.venvs/third-party/bin/python -m benchmarks third-party

bench: $(VENV)/.stamp-bench ## the benchmarks
	$(BIN)/python -m benchmarks

bench-peers: $(addprefix .venvs/peers/,$(addsuffix /.stamp,$(PEERS))) ## the environments of other libraries (PEERS="torch autograd")

bench-run: $(VENV)/.stamp-bench ## cases by tracer and other libraries (ARGS="--suite overhead --size middle")
	$(BIN)/python -m benchmarks run $(ARGS)

bench-check: $(VENV)/.stamp-bench ## the same, correctness alone, at the smallest sizes
	$(BIN)/python -m benchmarks run --check $(ARGS)

bench-report: $(VENV)/.stamp-bench ## tables, charts and a page of the results in benchmarks/results
	$(BIN)/python -m benchmarks report benchmarks/results/*/*.json --insert README.md docs/benchmarks.md $(ARGS)

growth: $(VENV)/.stamp-bench ## how compile time grows with program size
	$(BIN)/python -m benchmarks growth

lint: $(VENV)/.stamp-dev ## style, formatting, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.stamp-dev ## reformat and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches, builds and the test-versions environments
	rm -rf .venvs .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist site
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## also remove the virtual environment
	rm -rf $(VENV)

# An environment left half made is worse than none.
$(BIN)/python:
	@python="$(PYTHON)"; test -n "$$python" || exit 1; \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "expected PYTHON to be CPython 3.11, 3.12 or 3.13, got $$python" >&2; exit 1; }; \
	echo "creating $(VENV) with $$python"; \
	$$python -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

# With pip as it is set up here: PIP_FLAGS may name an index, of builds for CPUs alone, say.
.venvs/peers/%/.stamp: benchmarks/peers/requirements/%.txt | $(BIN)/python
	$(BIN)/python -m venv --clear .venvs/peers/$*
	.venvs/peers/$*/bin/python -m pip --disable-pip-version-check -qq install $(PIP_FLAGS) -r $<
	@touch $@

# .stamp-<extra>: the environment holds that extra as pyproject.toml now declares it.
$(VENV)/.stamp-%: pyproject.toml | $(BIN)/python
	$(PIP) install --editable '.[$*]'
	@touch $@
