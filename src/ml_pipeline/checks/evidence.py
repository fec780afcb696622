"""A plugin for a project's own pytest: it writes what happened, line by line, and measures coverage.

The exit code alone proves nothing, because a test can end the process with any code. The lines that this
plugin has written by then remain. It is copied to a folder of its own and loaded from there, because the
project may have modules of any name. Old versions of pytest, coverage and Python must be able to load it. It
imports only the standard library, and coverage when it measures.
"""

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

FILE = "evidence.jsonl"  # beside the copy of this file
COVERAGE = "ML_COVERAGE"  # "0": measure nothing
TESTS = ("tests/**", "test/**", "**/test_*.py", "**/conftest.py")  # not measured
WORKER = "PYTEST_XDIST_WORKER"  # set in a worker of pytest-xdist: its controller writes, and both measure
REASON = 300  # characters
# A project with one of these decides itself what is measured.
SETTINGS = ("run:source", "run:source_pkgs", "run:include", "run:omit")

# pytest's objects have no types that hold for all of its versions, and workers of pytest-xdist load this too.


class Writer:
    """Writes a line for each event; only for the process that opened the file, not for what it forks."""

    def __init__(self, path: Path) -> None:
        self._process = os.getpid()
        self._file: IO[str] = path.open("a", buffering=1, encoding="utf-8")

    def write(self, event: str, **values: object) -> None:
        if os.getpid() == self._process:
            self._file.write(json.dumps({"event": event, **values}) + "\n")


class Recorder:
    """The plugin proper, in the process that the exit code comes from."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def pytest_collection_finish(self, session: Any) -> None:
        self._writer.write("collected", tests=[item.nodeid for item in getattr(session, "items", ())])

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed or report.skipped:
            self._writer.write("collection", id=report.nodeid, outcome=report.outcome, reason=_reason(report))

    def pytest_runtest_logreport(self, report: Any) -> None:
        outcome = "xfailed" if report.skipped and hasattr(report, "wasxfail") else report.outcome
        if report.when == "call" or outcome != "passed":
            self._writer.write(
                "test", id=report.nodeid, outcome=outcome, when=report.when, reason=_reason(report)
            )

    def pytest_sessionfinish(self, session: Any, exitstatus: int) -> None:
        self._writer.write("end", code=int(exitstatus), coverage_below=_least(session.config))


class Workers:
    """What only pytest-xdist asks: its workers collect the tests."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._writer.write("collected", tests=list(ids))


def pytest_load_initial_conftests(early_config: Any) -> None:
    options = early_config.known_args_namespace
    theirs = getattr(options, "cov_source", None) and not getattr(options, "no_cov", False)
    writer = None
    if WORKER not in os.environ:
        writer = Writer(Path(__file__).with_name(FILE))
        writer.write("start", version=sys.modules["pytest"].__version__)
        early_config.pluginmanager.register(Recorder(writer), "ml-pipeline-recorder")
        early_config.ml_pipeline_writer = writer
    if not theirs:
        _measure(early_config, writer)


def pytest_configure(config: Any) -> None:
    if WORKER not in os.environ and config.pluginmanager.hasplugin("dsession"):
        config.pluginmanager.register(Workers(config.ml_pipeline_writer), "ml-pipeline-workers")


def pytest_unconfigure(config: Any) -> None:
    coverage = getattr(config, "ml_pipeline_coverage", None)
    if coverage:
        coverage.stop()
        coverage.save()


def _measure(config: Any, writer: Writer | None) -> None:
    """Start coverage by the project's own settings; where it has none, over all but tests."""
    if os.environ.get(COVERAGE) == "0":
        return
    try:
        from coverage import Coverage  # noqa: PLC0415 - not where nothing is measured

        coverage = Coverage(data_suffix=True)
        theirs: Any = coverage.get_option("run:omit")
        omitted = [*(theirs or ()), __file__]
        if not any(coverage.get_option(key) for key in SETTINGS):
            coverage.set_option("run:source", ["."])
            omitted += TESTS
        coverage.set_option("run:omit", omitted)
        # The process that only waits for workers runs none of the code.
        coverage.set_option("run:disable_warnings", ["no-data-collected"])
        if sys.version_info >= (3, 12) and not coverage.get_option("run:branch"):
            # Python's own monitoring hardly slows tests that measure time; it can't measure branches.
            os.environ.setdefault("COVERAGE_CORE", "sysmon")
        coverage.start()
    except Exception as error:  # noqa: BLE001 - the tests matter more, and the stage says why
        if writer:
            writer.write("unmeasured", reason=" ".join(str(error).split()))
        return
    config.ml_pipeline_coverage = coverage


def _least(config: Any) -> float | None:
    """Return the percentage that pytest-cov or the settings of coverage ask for."""
    least = getattr(config.option, "cov_fail_under", None)
    coverage = getattr(config, "ml_pipeline_coverage", None)
    if least is None and coverage:
        least = coverage.get_option("report:fail_under")
    return least


def _reason(report: Any) -> str:
    """Return why a test failed or was skipped, as one line."""
    told = report.longrepr
    crash = getattr(told, "reprcrash", None)
    if crash is not None:
        text = str(crash.message)
    elif isinstance(told, tuple):  # a skip: file, line, reason
        text = str(told[-1])
    else:  # of a collection, pytest's own page, whose last line with an E is the error
        lines = str(told or "").splitlines()
        errors = [line[1:] for line in lines if line.startswith("E ")]
        text = (errors or [line for line in lines if line.strip()] or [""])[-1]
    first = next((line for line in text.splitlines() if line.strip()), "")
    return " ".join(first.split())[:REASON]
