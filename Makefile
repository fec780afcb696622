# make pipeline   run the whole pipeline on the bundled example, and print its summary
# make check      check format, style and types, and run the quick tests
# make test       run all tests, with a real engine, registry and cluster
# make down       end what `make pipeline` and `make test` started

PYTHON ?= python3
BIN := .venv/bin
PINS := pyproject.toml requirements-model.txt $(foreach n,data storage torch training serving evaluate report deploy tracking,src/ml_pipeline/requirements/$(n).txt)
# Set what clients of the engine need. Without Docker or Podman, this builds and starts the lab.
LAB = environment=$$($(PYTHON) -m lab use --cluster) && eval "$$environment"

.PHONY: pipeline check style test down

pipeline:
	@$(LAB) && dagger --progress=plain call full-pipeline --source=. $$ML_PIPELINE_TARGETS

# The quick tests use none of these plugins, and importing them takes longer than all the tests.
UNUSED := schemathesis hypothesispytest anyio

check: style
	@$(BIN)/python -m pytest -q $(UNUSED:%=-p no:%) -m "not (program or engine or cluster or lab)"

# Three at once: tests in the lab mostly wait for it (see tests/conftest.py). -m "" runs tests with any mark.
test: style
	@$(BIN)/python -m pytest -q -n 3 --dist loadgroup --durations=15 -m ""

style: .venv/installed
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary

down:
	@$(PYTHON) -m lab down

# The packages that the benchmarks compare with.
.venv-benchmarks: benchmarks/requirements.txt
	@$(PYTHON) -m venv --clear $@
	@$@/bin/python -m pip install --quiet uv==0.9.9
	@$@/bin/uv pip install --quiet --no-deps --python $@/bin/python -r $<
	@touch $@

.venv/installed: $(PINS)
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet uv==0.9.9
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group test --group dev $(foreach file,$(filter %.txt,$(PINS)),-r $(file))
	@touch $@
