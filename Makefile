# make pipeline   the main job on the bundled example, ending in its summary
# make check      format, lint, types and unit tests: the quick loop
# make test       everything, with a real engine, registry and cluster
# make down       end what pipeline and test started

PYTHON ?= python3
BIN := .venv/bin
PINS := pyproject.toml requirements-model.txt $(foreach n,data storage torch training serving evaluate report deploy tracking,src/ml_pipeline/requirements/$(n).txt)
# Prints what clients of the engine need: a Docker or Podman that is there, or else the lab, which it builds.
LAB = environment=$$($(PYTHON) -m lab use --cluster) && eval "$$environment"

.PHONY: pipeline check style test down

pipeline:
	@$(LAB) && dagger --progress=plain call full-pipeline --source=. $$ML_PIPELINE_TARGETS

check: style
	@$(BIN)/python -m pytest -q

# Two at once: tests in the lab mostly wait for it (see tests/conftest.py).
test: style
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup --durations=15 -m ""

style: .venv/installed
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary

down:
	@$(PYTHON) -m lab down

# What the benchmarks compare with.
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
