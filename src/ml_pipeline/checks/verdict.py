"""What a run of pytest came to, from what `evidence` wrote and the exit code; pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

NO_TESTS = 5  # pytest's exit code
NONE = "no tests were found"
SHOWN = 5  # of several failing tests
FAILED, SKIPPED, ERROR = "failed", "skipped", "error"


@dataclass(frozen=True)
class Evidence:
    """What was written before pytest ended."""

    collected: tuple[str, ...] = ()  # ids of tests
    outcomes: Mapping[str, str] = field(default_factory=dict)  # by id, of the tests that ran
    reasons: Mapping[str, str] = field(default_factory=dict)  # by id, of what failed or was skipped
    uncollected: tuple[str, ...] = ()  # ids of modules that can't be collected
    skipped_modules: tuple[str, ...] = ()
    ended: bool = False  # pytest itself came to the end of its session
    coverage_below: float | None = None  # the percentage that pytest-cov asks for
    unmeasured: str = ""  # why coverage could not start
    version: str = ""  # of pytest

    @property
    def failures(self) -> tuple[str, ...]:
        """The tests that failed, and the modules that can't be collected."""
        failed = (name for name, outcome in self.outcomes.items() if outcome == FAILED)
        return (*self.uncollected, *failed)

    @property
    def skipped(self) -> int:
        """The number of tests that were skipped, or that failed as they were expected to."""
        return sum(outcome in {SKIPPED, "xfailed"} for outcome in self.outcomes.values())

    @property
    def passed(self) -> int:
        """The number of tests that passed."""
        return sum(outcome == "passed" for outcome in self.outcomes.values())

    @property
    def ran(self) -> int:
        """The number of tests that ran: a skipped test did not."""
        return sum(outcome != SKIPPED for outcome in self.outcomes.values())

    def details(self) -> dict[str, object]:
        """Return the stage's details."""
        return {
            "passed": self.passed,
            "failed": len(self.failures),
            "skipped": self.skipped,
            "failures": list(self.failures),
            "version": self.version,
        }


def read(lines: Iterable[str]) -> Evidence:
    """Return what the plugin's lines say; the last one may be cut off."""
    collected: dict[str, None] = {}
    outcomes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    modules: dict[str, list[str]] = {FAILED: [], SKIPPED: []}
    ended, below, unmeasured, version = False, None, "", ""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        match event["event"]:
            case "start":
                version = event["version"]
            case "collected":
                collected |= dict.fromkeys(event["tests"])
            case "collection":
                modules[event["outcome"]].append(event["id"])
                reasons[event["id"]] = event["reason"]
            case "test":
                name, outcome = event["id"], event["outcome"]
                if outcomes.get(name) != FAILED:  # an error in the teardown comes after a test that passed
                    outcomes[name] = outcome
                    reasons[name] = event["reason"]
            case "end":
                ended, below = True, event["coverage_below"] or None
            case "unmeasured":
                unmeasured = event["reason"]
    failed, skipped = tuple(dict.fromkeys(modules[FAILED])), tuple(dict.fromkeys(modules[SKIPPED]))
    return Evidence(tuple(collected), outcomes, reasons, failed, skipped, ended, below, unmeasured, version)


def nothing_to_run(code: int, evidence: Evidence) -> bool:
    """Tell whether the project has no tests at all. A whole run may accept that."""
    return code == NO_TESTS and not evidence.skipped_modules and not evidence.collected


def failure(code: int, evidence: Evidence, percent: float | None = None) -> tuple[str, str] | None:
    """Return the cause and the hint if the tests failed, or None. `percent` is the coverage."""
    return next(_failures(code, evidence, percent), None)


def _failures(code: int, evidence: Evidence, percent: float | None) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, the most telling first."""
    ran = f"{evidence.ran} of {len(evidence.collected)} tests had run"
    if nothing_to_run(code, evidence):
        yield NONE, "add test_*.py files under tests/"
    if code < 0:
        cause = f"pytest was killed by signal {-code}" + (f"; {ran}" if evidence.collected else "")
        yield cause, "give the engine more memory, or the tests less data"
    if unread := evidence.uncollected:
        cause = (
            f"{_count(len(unread), 'file')} of tests can't be collected: {_named(unread, evidence.reasons)}"
        )
        yield cause, "run `pytest --collect-only` in the project, and fix them or add what they import"
    if evidence.failures:
        total = max(len(evidence.collected), len(evidence.outcomes))
        named = _named(evidence.failures, evidence.reasons)
        early = "" if evidence.ended else "; pytest ended before its tests did"
        cause = f"{len(evidence.failures)} of {total} tests failed: {named}{early}"
        yield cause, "run pytest in the project and fix them"
    if code == 0 and not evidence.ended:
        done = f": {ran}" if evidence.collected else ", before it collected them"
        yield f"pytest ended before its tests did{done}", "find what calls os._exit or sys.exit"
    if code in {0, NO_TESTS} and not evidence.ran:
        yield _none_ran(evidence)
    if code == 0 and len(evidence.outcomes) < len(evidence.collected):
        yield f"pytest ended before its tests did: {ran}", "find what calls pytest.exit"
    least = evidence.coverage_below
    if code and percent is not None and least is not None and percent < least:
        yield below(percent, least)
    if code:
        yield f"pytest exited with code {code}", "read its output above"


def below(percent: float, least: float) -> tuple[str, str]:
    """Return the cause and the hint where less is covered than the project asks for."""
    return (
        f"coverage is {percent:g} %, and the project asks for {least:g} %",
        "test more of it, or lower fail_under in the project's settings",
    )


def _none_ran(evidence: Evidence) -> tuple[str, str]:
    every = [*evidence.skipped_modules, *evidence.outcomes]
    if not every:
        found = _count(len(evidence.collected), "test")
        return f"no test ran, of {found} found", "check pytest's options and hooks, such as --collect-only"
    reason = evidence.reasons.get(every[0], "").removeprefix("Skipped: ")
    cause = f"no test ran: all were skipped ({every[0]}{f': {reason}' if reason else ''})"
    return cause, "let at least one of them run here"


def _named(names: tuple[str, ...], reasons: Mapping[str, str]) -> str:
    reason = reasons.get(names[0], "")
    first = f"{names[0]} ({reason})" if reason else names[0]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join([first, *names[1:SHOWN]]) + more


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
