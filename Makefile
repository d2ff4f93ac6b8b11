# modelver: `make demo` and `make test` set everything up by themselves, in .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEPS   := pip install --quiet --disable-pip-version-check
# An S3 server for tests, with dependencies that nothing else here should see.
SWIFT  := $(or $(MODELVER_SWIFT_VENV),.venv-swift)

.PHONY: help venv swift demo test test-s3 test-all fuzz lint types floors own bench wheel clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("modelver needs Python 3.11 or later; try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || { echo "setting up $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/$(DEPS) --upgrade 'pip>=25.1'
	@$(BIN)/$(DEPS) --editable '.[sklearn]' --group dev
	@touch $@

venv: $(VENV)/.installed ## set up .venv with modelver and what its tests need

$(SWIFT)/.installed: Makefile
	@test -x $(SWIFT)/bin/python || { echo "setting up $(SWIFT)"; $(PYTHON) -m venv $(SWIFT); }
	@$(SWIFT)/bin/$(DEPS) 'swift==2.38.3'
	@touch $@

swift: $(SWIFT)/.installed ## set up .venv-swift, the S3 server that tests marked s3 start

demo: venv ## the whole tour on real data, in a fresh repository
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/modelver demo $(DIR)

test: venv ## run the tests; long sweeps as a seeded sample
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not slow' $(ARGS)

test-s3: venv swift ## run the tests that need an S3 server
	@PATH="$(abspath $(BIN)):$$PATH" MODELVER_SWIFT_REQUIRED=1 $(BIN)/python -m pytest -m 's3 and not slow' $(ARGS)

test-all: venv ## run the tests with every long sweep whole
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

fuzz: venv ## fuzz all readers: make fuzz MINUTES=60; guided by coverage where atheris has a wheel
	@$(BIN)/$(DEPS) --only-binary :all: atheris 2>/dev/null || echo "no atheris here: the same mutations, unguided"
	@$(BIN)/python tests/fuzz/run.py --minutes $(or $(MINUTES),60) $(ARGS)

lint: venv ## style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: venv ## mypy, strict
	@$(BIN)/mypy

floors: venv ## imports go down the floors only
	@$(BIN)/lint-imports

own: venv ## this repository is a modelver repository: its pipeline runs and its record is right
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/dvc repro --quiet && $(BIN)/modelver status

wheel: venv ## build the wheel and try it in a clean environment
	@rm -rf dist && $(BIN)/$(DEPS) build && $(BIN)/python -m build --wheel --outdir dist . >/dev/null
	@sh .ci/try-wheel $(PYTHON) dist

bench: venv ## the budgets beside DVC, Git LFS and GTO; writes benchmarks/README.md
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python benchmarks/run.py $(ARGS)

clean: ## remove what was set up and built
	@rm -rf $(VENV) .venv-swift dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
