# `make demo` and `make test` work on a fresh machine: each sets up .venv by itself.
# Python 3.11.4 or newer is needed; PYTHON=/path/to/python chooses one.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin

# Three test files at a time on two cores, since some of a test that starts Ray is waiting; with a thread each for torch.
TEST_FILES_AT_ONCE ?= 3
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_FILES_AT_ONCE) --dist loadfile --no-loadscope-reorder

.PHONY: setup demo test coverage quick check format mutants docs package clean

setup: $(READY)  ## .venv, with all that tests, checks and pages need

demo: $(READY)  ## a sweep of 8 trials on a generated data set
	rm -rf demo
	$(BIN)/voxtune phantom demo/heart --task heart --cases 12
	$(BIN)/voxtune new demo/heart -o demo/sweep.yaml --trials 8 --minutes 3
	$(BIN)/voxtune run demo/sweep.yaml --name demo --runs demo/runs --no-confirm
	@echo "Your own data next: $(BIN)/voxtune new FOLDER, then $(BIN)/voxtune run sweep.yaml"

test: $(READY)  ## all tests
	.ci/services
	$(PYTEST)

coverage: $(READY)  ## all tests, and the share of each package's lines that they run
	.ci/services
	$(PYTEST) --cov --cov-report=
	@for package in tuner trainables cluster search_spaces; do \
		echo "$$package $$($(BIN)/coverage report --include="$$package/*" --format=total) %"; done

quick: $(READY)  ## the tests for every day: no Ray, no real data, nothing slow
	$(PYTEST) -m "not ray and not data and not service and not slow"

check: $(READY)  ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

mutants: $(READY)  ## which changes of a line do the tests of dice, split, rungs and study not notice? ([tool.mutmut])
	OMP_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/mutmut results

docs: $(READY)  ## the site, in build/docs; its references are written anew from the code
	$(BIN)/python docs/make_reference.py
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "open build/docs/index.html"

package: $(READY)  ## wheel and source distribution in dist/, the wheel tried in an environment of its own
	.ci/package

clean:
	rm -rf $(VENV) build dist demo mutants .mypy_cache .ruff_cache .pytest_cache

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "voxtune needs Python 3.11.4 or newer; say which: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "installing Debian's python3-venv"; \
		apt-get update -q && apt-get install -qy python3-venv || \
		{ echo "$(PYTHON) can't make virtual environments: install python3-venv"; exit 1; }; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
