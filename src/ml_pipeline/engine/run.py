"""One call of a function: its source, its settings, and the stages that it runs.

A stage is a program in a container that writes its outcome as JSON. `Run.stage` starts it, reads that
document, and raises StageError when the stage failed. Every stage is recorded for the summary, also one that
failed.
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio
import dagger
from dagger import ReturnType

from ml_pipeline.common.document import (
    Details,
    Image,
    Lint,
    ProjectTests,
    ReleaseRecord,
    RunDocument,
    Split,
    StageRecord,
    Tracking,
    Training,
    part,
)
from ml_pipeline.common.outcome import OUTCOME_VARIABLE, STAGE_VARIABLE
from ml_pipeline.engine import crashes
from ml_pipeline.engine.environments import Environments
from ml_pipeline.engine.paths import OUTCOME, OUTPUT, PYTHON
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import ConfigError, PipelineError, StageError, StagesError
from ml_pipeline.project.schema import Project

T = TypeVar("T")
# A stage's status; the last is a crash's.
PASSED, SKIPPED, FAILED, UNFINISHED = "passed", "skipped", "failed", "unfinished"
FINE = frozenset({PASSED, SKIPPED})


@dataclass(frozen=True)
class Outcome:
    """What a stage's program wrote about itself; see common/outcome.py."""

    status: str
    message: str
    hint: str
    started: float  # seconds since the epoch
    seconds: float | None = None
    details: Details = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """A stage that passed, or had nothing to do: the container after it, and its details."""

    container: dagger.Container
    details: Details

    async def text(self) -> str:
        """Return what the stage printed for people."""
        return await self.container.stdout()

    @property
    def output(self) -> dagger.Directory:
        """The stage's output folder."""
        return self.container.directory(OUTPUT)


@dataclass
class Run:
    """What one call knows; it grows as stages end."""

    source: dagger.Directory
    project: Project
    environments: Environments
    started: float = field(default_factory=time.time)  # seconds since the epoch
    stages: list[StageRecord] = field(default_factory=list)  # in the order of their ends
    details: dict[str, Details] = field(default_factory=dict)  # by the part of the document
    outputs: dict[str, dagger.Directory] = field(default_factory=dict)  # by stage, also of one that failed
    notes: list[str] = field(default_factory=list)
    revision: str | None = None  # the git commit of the source
    gpu: str | None = None  # the training's device and its GPUs
    image: Image | None = None  # the published one
    release: ReleaseRecord | None = None
    tracking: Tracking | None = None
    objects: dagger.Directory | StageError | None = None  # from object storage; None: not asked yet

    async def stage(
        self,
        stage: Stage,
        container: dagger.Container,
        arguments: Sequence[str],
        command: Sequence[str] = (),
    ) -> Finished:
        """Run a stage's program to its end; its exec is cached by the engine like any other.

        `command` takes the program's place where an image has its own. Raises StageError with the program's
        own message, or with what is known of its crash.
        """
        words = [*(command or (PYTHON, "-m", stage.program)), *arguments]
        prepared = (
            container.with_(self.environments.without_index)
            .with_env_variable(OUTCOME_VARIABLE, OUTCOME)
            .with_env_variable(STAGE_VARIABLE, stage.name)
        )
        ran = prepared.with_exec(words, expect=ReturnType.ANY)
        outcome = await self._outcome(stage.name, ran)
        if outcome.status not in FINE and self._is_cached(outcome):
            # A failure is never taken from the cache: its cause may have been outside (memory, a flaky test).
            again = prepared.with_env_variable("ML_RETRY", str(self.started))
            ran = again.with_exec(words, expect=ReturnType.ANY)
            outcome = await self._outcome(stage.name, ran)
        if outcome.status == UNFINISHED:
            raise await self._crashed(stage.name, ran)
        self.stages.append(
            StageRecord(
                stage.name,
                outcome.status,
                outcome.seconds,
                self._is_cached(outcome),
                outcome.message,
                outcome.hint,
            )
        )
        self.outputs[stage.name] = ran.directory(OUTPUT)
        if stage.part and outcome.details:
            self.details[stage.part] = outcome.details
        if outcome.status not in FINE:
            raise StageError(stage.name, outcome.message, outcome.hint)
        return Finished(ran, outcome.details)

    async def timed(self, stage: Stage, work: Awaitable[T]) -> T:
        """Record work that the engine does itself, without a program; raise StageError where it refuses."""
        clock = time.monotonic()
        try:
            result = await work
        except dagger.QueryError as error:
            failure = StageError(stage.name, *crashes.told(error, "see the engine's log above"))
            self._add(failure, time.monotonic() - clock)
            raise failure from None
        self.stages.append(StageRecord(stage.name, seconds=time.monotonic() - clock))
        return result

    def note(self, failure: PipelineError) -> None:
        """Record a failure that no stage's own record shows, so that the summary names it too."""
        match failure:
            case StagesError():
                for one in failure.failures:
                    self.note(one)
            case ConfigError():
                self.note(StageError("config", failure.cause, failure.hint))
            case StageError() if self._failed(failure.stage) is None:
                self._add(failure)

    def amend(self, failure: StageError) -> StageError:
        """Let a stage's record show this failure instead of its own; return the failure, to be raised."""
        index = self._failed(failure.stage)
        if index is None:
            self._add(failure)
        else:
            self.stages[index] = replace(self.stages[index], message=failure.cause, hint=failure.hint)
        return failure

    def document(self) -> RunDocument:
        """Return what is known of the run so far."""
        return RunDocument(
            name=self.project.name,
            status=PASSED if all(record.status in FINE for record in self.stages) else FAILED,
            revision=self.revision,
            gpu=self.gpu,
            started=self.started,
            seconds=time.time() - self.started,
            price_per_hour=self.project.price_per_hour,
            notes=tuple(self.notes),
            stages=tuple(self.stages),
            image=self.image,
            release=self.release,
            tracking=self.tracking,
            lint=_part(Lint, self.details, "lint"),
            tests=_part(ProjectTests, self.details, "tests"),
            data=self.details.get("data", {}),
            split=_part(Split, self.details, "split"),
            training=_part(Training, self.details, "training"),
            model=self.details.get("model", {}),
            verdict=self.details.get("verdict", {}),
        )

    def _add(self, failure: StageError, seconds: float | None = None) -> None:
        record = StageRecord(failure.stage, FAILED, seconds, None, failure.cause, failure.hint)
        self.stages.append(record)

    def _failed(self, stage: str) -> int | None:
        """Return the place of a stage's last record that says it failed."""
        places = [i for i, one in enumerate(self.stages) if one.stage == stage and one.status == FAILED]
        return places[-1] if places else None

    async def _outcome(self, stage: str, ran: dagger.Container) -> Outcome:
        try:
            text = await ran.file(OUTCOME).contents()
        except dagger.QueryError as error:
            raise await self._crashed(stage, ran, error) from None
        return part(Outcome, json.loads(text), f"the outcome of {stage}")

    async def _crashed(
        self, stage: str, ran: dagger.Container, error: dagger.QueryError | None = None
    ) -> StageError:
        failure = StageError(stage, *await crashes.explain(ran, error))
        self._add(failure)
        return failure

    def _is_cached(self, outcome: Outcome) -> bool:
        return outcome.started < self.started


def _part(kind: type[T], details: Mapping[str, Details], name: str) -> T | None:
    return part(kind, details[name], name) if name in details else None


async def service_port(stage: str, service: dagger.Service, option: str) -> int:
    """Return the port of a service that an option gave. Raises StageError."""
    hint = f"pass {option}=tcp://HOST:PORT of a server that is up"
    try:
        ports = await service.ports()
        if ports:
            return await ports[0].port()
    except dagger.QueryError as error:
        raise StageError(stage, f"{option} can't be reached: {crashes.reason(error)}", hint) from None
    raise StageError(stage, f"the service of {option} has no port", hint)


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
