"""The quality of the project's own code: `lint` and `test`."""

import dagger

from ml_pipeline.engine import dependencies, sources
from ml_pipeline.engine.environments import with_pins, with_programs
from ml_pipeline.engine.paths import OUTPUT, SOURCE
from ml_pipeline.engine.run import Finished, Run
from ml_pipeline.engine.stage import Stage

LINT = Stage("lint", "ml_pipeline.checks.lint", ("code",), part="lint")
REQUIRED = {True: "yes", False: "no", None: "configured"}
TEST = Stage("test", "ml_pipeline.checks.pytest_run", ("source",), ("junit.xml",), "tests")


async def lint(run: Run) -> Finished:
    """Run ruff check and format, and mypy if the project configures it."""
    container = run.environments.python().with_(with_pins("lint"))
    if await _configures_mypy(run.source):  # mypy reads the types of the packages that the code imports
        requirements = dependencies.testing(
            await run.source.entries(), await sources.text(run.source, "pyproject.toml")
        )
        container = await dependencies.install("lint", container, run.source, requirements)
    container = container.with_(with_programs(LINT.program))
    container = container.with_(run.environments.with_folder(sources.linted(run.source), SOURCE))
    arguments = ["--source", SOURCE, "--required", REQUIRED[run.project.lint.required]]
    return await run.stage(LINT, container, arguments)


async def test(run: Run, python_image: str | None = None, *, optional: bool = False) -> Finished:
    """Run the project's tests with pytest and coverage; the output folder has junit.xml.

    `python_image` replaces the configured one. With `optional`, a project without tests skips the stage.
    """
    requirements = dependencies.testing(
        await run.source.entries(), await sources.text(run.source, "pyproject.toml")
    )
    # The module's pytest is installed first, so that a version that the project pins replaces it.
    container = run.environments.python(python_image).with_(with_pins("test"))
    container = await dependencies.install("test", container, run.source, requirements)
    container = container.with_(with_programs(TEST.program))
    container = container.with_(run.environments.with_folder(sources.tested(run.source), SOURCE))
    arguments = ["--source", SOURCE, "--output", OUTPUT, *(["--optional"] if optional else [])]
    arguments += [] if run.project.tests.coverage else ["--no-coverage"]
    return await run.stage(TEST, container, arguments)


async def _configures_mypy(source: dagger.Directory) -> bool:
    pyproject = await sources.text(source, "pyproject.toml")
    return "[tool.mypy" in (pyproject or "") or bool({"mypy.ini", ".mypy.ini"} & set(await source.entries()))
