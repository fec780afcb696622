"""One call of a function: its source, its settings, and the stages that it runs.

A stage is a program in a container that writes its outcome as JSON. `Run.stage`
starts it, reads that document, and raises StageError when the answer is no. It
records every stage for the summary, also the ones that fail.
"""

import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import dagger
from dagger import ReturnType

from ml_pipeline.engine.environments import Environments
from ml_pipeline.engine.paths import OUTCOME, OUTPUT, PYTHON
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import PipelineError, StageError, StagesError
from ml_pipeline.project.schema import Project

T = TypeVar("T")


@dataclass(frozen=True)
class Finished:
    """A stage that passed: the container after it, and what it found out."""

    container: dagger.Container
    details: dict[str, Any]

    async def text(self) -> str:
        """Return what the stage printed for people."""
        return await self.container.stdout()

    @property
    def output(self) -> dagger.Directory:
        return self.container.directory(OUTPUT)


@dataclass
class Run:
    """What one call knows; `records` grows as stages end."""

    source: dagger.Directory
    project: Project
    environments: Environments
    started: float = field(default_factory=time.time)  # seconds since the epoch
    records: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)  # what the summary names besides stages
    outputs: dict[str, dagger.Directory] = field(default_factory=dict)  # by stage, also of one that failed
    objects: dagger.Directory | StageError | None = None  # what storage gave; None: not asked yet

    async def stage(
        self,
        stage: Stage,
        container: dagger.Container,
        arguments: Sequence[str],
        command: Sequence[str] = (),
    ) -> Finished:
        """Run a stage's program to its end; its exec is cached by the engine like any other.

        `command` takes the program's place where an image has its own. Raises StageError: the program's
        own one line, or what is known of its crash.
        """
        name, words = stage.name, [*(command or (PYTHON, "-m", stage.program)), *arguments]
        prepared = (
            container.with_(self.environments.without_index)
            .with_env_variable("ML_OUTCOME", OUTCOME)
            .with_env_variable("ML_STAGE", name)
        )
        ran = prepared.with_exec(words, expect=ReturnType.ANY)
        outcome = await self._outcome(name, ran)
        if outcome["status"] != "passed" and self._is_cached(outcome):
            # A failure is never taken from the cache: its cause may have been outside (memory, a flaky test).
            again = prepared.with_env_variable("ML_RETRY", str(self.started))
            ran = again.with_exec(words, expect=ReturnType.ANY)
            outcome = await self._outcome(name, ran)
        if outcome["status"] == "unfinished":
            raise await self._crashed(name, ran)
        kept = {key: outcome[key] for key in ("status", "seconds", "message", "hint", "details")}
        self._record(name).update(kept, cached=self._is_cached(outcome))
        self.outputs[name] = ran.directory(OUTPUT)
        if outcome["status"] != "passed":
            raise StageError(name, outcome["message"], outcome["hint"])
        return Finished(ran, outcome["details"])

    async def timed(self, stage: Stage, work: Awaitable[T]) -> T:
        """Record work that is the engine's own, no program's; raise StageError where the engine refuses."""
        clock = time.monotonic()
        record = self._record(stage.name)
        try:
            return await work
        except dagger.QueryError as error:
            cause = last_line(error.stderr if isinstance(error, dagger.ExecError) else str(error))
            record |= {"status": "failed", "message": cause, "hint": "see the engine's log above"}
            raise StageError(stage.name, cause, record["hint"]) from None
        finally:
            record["seconds"] = time.monotonic() - clock

    def note(self, failure: PipelineError) -> None:
        """Record a failure that no stage's own record tells of, so that the summary names it too."""
        known = {record["stage"] for record in self.records if record["status"] != "passed"}
        failures = failure.failures if isinstance(failure, StagesError) else (failure,)
        for one in failures:
            if isinstance(one, StageError) and one.stage not in known:
                self._record(one.stage).update(status="failed", message=one.cause, hint=one.hint)

    def _record(self, stage: str) -> dict[str, Any]:
        """Add a stage's record, to be filled in; `cached` is None where the engine does not tell."""
        record: dict[str, Any] = {
            "stage": stage,
            "status": "passed",
            "message": "",
            "hint": "",
            "details": {},
            "cached": None,
        }
        self.records.append(record)
        return record

    async def _outcome(self, name: str, ran: dagger.Container) -> dict[str, Any]:
        try:
            outcome: dict[str, Any] = json.loads(await ran.file(OUTCOME).contents())
        except dagger.QueryError as error:
            raise await self._crashed(name, ran, error) from None
        return outcome

    async def _crashed(
        self, name: str, ran: dagger.Container, error: dagger.QueryError | None = None
    ) -> StageError:
        cause, hint = await self._crash(ran, error)
        self._record(name).update(status="failed", message=cause, hint=hint)
        return StageError(name, cause, hint)

    async def _crash(self, ran: dagger.Container, error: dagger.QueryError | None) -> tuple[str, str]:
        """Say what ended a stage that came to no outcome: cause and hint."""
        hint = "read the stage's log above"
        try:
            code = await ran.exit_code()
            said = last_line(await ran.stderr())
        except dagger.ExecError as killed:
            if killed.exit_code == 137:
                return "ran out of memory or was killed (exit 137)", "give the engine more memory"
            return f"could not be prepared: {last_line(killed.stderr)} (exit {killed.exit_code})", hint
        except dagger.QueryError as unknown:
            cause = last_line(str(error or unknown))
            if "GPU support is not enabled" in cause:
                cause = "a GPU was asked for (--gpu=on), but the engine has no GPU support"
                return cause, "run the engine with it on a machine that has a GPU, or pass --gpu=off"
            return f"could not be started: {cause}", hint
        return f"crashed with exit {code}: {said}", hint

    def _is_cached(self, outcome: dict[str, Any]) -> bool:
        return bool(outcome["started"] < self.started)


# What a stage found out, by the name that the summary knows it under.
FINDINGS = {
    "validate-data": "data",
    "train": "training",
    "inspect-model": "model",
    "validate-gate": "verdict",
    "test": "tests",
}


def document(run: Run) -> dict[str, Any]:
    """Return what is known of a run, as the summary reads it."""
    failed = any(record["status"] != "passed" for record in run.records)
    findings = {
        FINDINGS[r["stage"]]: r["details"] for r in run.records if r["stage"] in FINDINGS and r["details"]
    }
    stages = [{key: value for key, value in record.items() if key != "details"} for record in run.records]
    status = "failed" if failed else "passed"
    took = {"seconds": time.time() - run.started, "price_per_hour": run.project.price_per_hour}
    return {"name": run.project.name, "status": status, "stages": stages, **took, **run.facts, **findings}


async def service_port(stage: str, service: dagger.Service, option: str) -> int:
    """Return the port of a service that an option gave. Raises StageError."""
    try:
        ports = await service.ports()
        return await ports[0].port()
    except (dagger.QueryError, IndexError) as error:
        cause, hint = f"{option} can't be reached: {last_line(str(error))}", f"pass {option}=tcp://HOST:PORT"
        raise StageError(stage, cause, f"{hint} of one that is up") from None


def last_line(text: str) -> str:
    """Return the last line that says something, without the trace's number that Dagger ends errors in."""
    lines = re.sub(r"\s*\[traceparent:[^]]*]", "", text).splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


async def side_by_side(*tasks: Callable[[], Awaitable[T]]) -> list[T]:
    """Run tasks at once and to their ends; return their results in order.

    Raises the one failure, or StagesError with all of them, in the tasks' order.
    """
    results: dict[int, T] = {}
    failures: dict[int, StageError] = {}

    async def guarded(index: int, task: Callable[[], Awaitable[T]]) -> None:
        try:
            results[index] = await task()
        except StageError as failure:
            failures[index] = failure

    async with anyio.create_task_group() as group:
        for index, task in enumerate(tasks):
            group.start_soon(guarded, index, task)
    if len(failures) > 1:
        raise StagesError([failures[index] for index in sorted(failures)])
    for failure in failures.values():
        raise failure
    return [results[index] for index in sorted(results)]
