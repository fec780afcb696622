"""Stand-ins for what the engine gives a run: a container whose commands end as a test says."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dagger

from ml_pipeline.engine.paths import OUTCOME
from ml_pipeline.engine.run import Run
from ml_pipeline.project.schema import Project


class _Request:
    """Stands for the request that an error answers."""

    document = None


@dataclass(frozen=True)
class _Error:
    message: str
    extensions: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


def query_error(message: str) -> dagger.QueryError:
    return dagger.QueryError([_Error(message)], _Request())  # type: ignore[list-item, arg-type]


def exec_error(code: int, stderr: str) -> dagger.ExecError:
    extensions = {"_type": "EXEC_ERROR", "cmd": ["x"], "exitCode": code, "stdout": "", "stderr": stderr}
    return dagger.ExecError([_Error("exit code", extensions)], _Request())  # type: ignore[list-item, arg-type]


def outcome(status: str = "passed", **changes: Any) -> str:
    """Return an outcome.json as a program writes it."""
    document = {"status": status, "message": "", "hint": "", "started": 2e9, "seconds": 1.5, "details": {}}
    return json.dumps({**document, **changes})


@dataclass(frozen=True)
class End:
    """How a command ends; `text` is its outcome, or the error that reading it comes to."""

    text: str | Exception
    code: int | Exception = 0
    stderr: str = ""


@dataclass(frozen=True)
class Container:
    """Remembers what it is asked; its commands end one after the other as `ends` says."""

    ends: Sequence[End] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

    def with_(self, step: Callable[["Container"], "Container"]) -> "Container":
        return step(self)

    def with_env_variable(self, name: str, value: str) -> "Container":
        return replace(self, variables={**self.variables, name: value})

    def with_exec(self, words: Sequence[str], expect: dagger.ReturnType) -> "Container":
        assert expect == dagger.ReturnType.ANY
        # A command that is tried again has another variable.
        end = self.ends[1 if "ML_RETRY" in self.variables else 0]
        return replace(self, ends=[end], commands=(*self.commands, tuple(words)))

    def file(self, path: str) -> "Container":
        assert path == OUTCOME
        return self

    async def contents(self) -> str:
        return _result(self.ends[0].text)

    async def exit_code(self) -> int:
        return _result(self.ends[0].code)

    async def stderr(self) -> str:
        return self.ends[0].stderr

    def directory(self, path: str) -> str:
        return path


def _result(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


@dataclass(frozen=True)
class Service:
    """A service with ports, or one that can't be reached."""

    numbers: Sequence[int] | Exception

    async def ports(self) -> list["Port"]:
        return [Port(number) for number in _result(self.numbers)]


@dataclass(frozen=True)
class Port:
    number: int

    async def port(self) -> int:
        return self.number


class Environments:
    """No index that a stage must not see."""

    gpu = "off"

    def without_index(self, container: Container) -> Container:
        return container


def run(project: Project) -> Run:
    """Return a run that started in 2001: an outcome of before that is from the cache."""
    return Run(None, project, Environments(), started=1e9)  # type: ignore[arg-type]
