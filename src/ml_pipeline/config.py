"""`[tool.ml-pipeline]` as frozen objects; pure: text in, objects or ConfigError out.

The classes below are the schema: a field's name is its key, its annotation the type
that TOML must have, its default what an absent key means.
"""

import dataclasses
import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ml_pipeline.errors import ConfigError

Scalar = str | int | float | bool


@dataclass(frozen=True)
class Column:
    """What values of one column are allowed; rules that are None are not checked."""

    type: Literal["integer", "number", "string", "boolean", "datetime"] | None = None
    min: float | None = None
    max: float | None = None
    nullable: bool = True
    allowed: tuple[Scalar, ...] | None = None
    pattern: str | None = None
    unique: bool = False
    max_missing: float | None = None


@dataclass(frozen=True)
class Data:
    """Where the rows are, what is predicted, and how rows are kept back."""

    path: str
    target: str
    positive: Scalar | None = None
    holdout: float | str = 0.2
    time: str | None = None
    sensitive: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)


@dataclass(frozen=True)
class Train:
    """The user's command, or none for the built-in tabular trainer."""

    command: str | None = None
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gate:
    """A bound on one metric; `max_regression` is how much worse than the baseline is allowed."""

    min: float | None = None
    max: float | None = None
    max_regression: float | None = None
    required: bool = True


@dataclass(frozen=True)
class Serve:
    """What runs in the image; False: the model is not served."""

    runtime: Literal["onnx", "python", False] = "onnx"


@dataclass(frozen=True)
class Deploy:
    """Where a release goes and how."""

    namespace: str = "default"
    replicas: int = 2
    strategy: Literal["rolling", "blue-green", "canary"] = "rolling"
    timeout: int = 300


@dataclass(frozen=True)
class Project:
    """One project's whole configuration."""

    name: str
    task: Literal["classification", "regression"]
    data: Data
    train: Train = Train()
    gates: Mapping[str, Gate] = field(default_factory=dict)
    serve: Serve = Serve()
    deploy: Deploy = Deploy()


def parse(pyproject: str | None, ml_pipeline: str | None) -> Project:
    """Read the configuration from the texts of the two files that may hold it (None: no such file).

    Raises ConfigError, whose one line names the file and the key.
    """
    tables = {}
    for file, text in (("ml-pipeline.toml", ml_pipeline), ("pyproject.toml", pyproject)):
        if text is None:
            continue
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{file} is not TOML: {error}", "mend that line") from None
        table = document if file == "ml-pipeline.toml" else document.get("tool", {}).get("ml-pipeline")
        if table is not None:
            tables[file] = table
    if len(tables) > 1:
        both = "both ml-pipeline.toml and pyproject.toml configure the pipeline"
        raise ConfigError(both, "keep one of them")
    if not tables:
        raise ConfigError(
            "neither ml-pipeline.toml nor [tool.ml-pipeline] in pyproject.toml was found in the source",
            "write one (the README shows fifteen lines) or point --source at the project's folder",
        )
    ((file, table),) = tables.items()
    root = "tool.ml-pipeline" if file == "pyproject.toml" else ""
    project: Project = _Reader(file).section(Project, table, root)
    for cause, hint in _contradictions(project):
        raise ConfigError(f"{file}: {cause}", hint)
    return project


class _Reader:
    """Turns TOML tables into the classes above, and says where it could not."""

    def __init__(self, file: str) -> None:
        self.file = file

    def section(self, cls: type[Any], table: Mapping[str, Any], path: str) -> Any:
        hints = typing.get_type_hints(cls)
        for key in table:
            if key not in hints:
                nearest = difflib.get_close_matches(key, hints, n=1, cutoff=0)[0]
                where = f" in [{path}]" if path else ""
                raise ConfigError(f"{self.file}: unknown key {key!r}{where}", f"did you mean {nearest!r}?")
        for f in dataclasses.fields(cls):
            required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            if required and f.name not in table:
                raise ConfigError(f"{self.file}: {_join(path, f.name)} is missing", "add it")
        return cls(**{key: self.value(hints[key], value, _join(path, key)) for key, value in table.items()})

    def value(self, hint: Any, value: Any, path: str) -> Any:
        """Return `value` as `hint`, one type or a union, wants it."""
        for choice in _choices(hint):
            if _fits(choice, value):
                return self.converted(choice, value, path)
        expected = " or ".join(_name(choice) for choice in _choices(hint) if choice is not type(None))
        raise ConfigError(f"{self.file}: {path} is {_kind(value)}", f"write {expected}")

    def converted(self, choice: Any, value: Any, path: str) -> Any:
        arguments = typing.get_args(choice)
        match _shape(choice):
            case "section":
                return self.section(choice, value, path)
            case "table" if arguments[1] is not Any:
                return {key: self.value(arguments[1], v, _join(path, key)) for key, v in value.items()}
            case "list":
                return tuple(self.value(arguments[0], v, f"{path}[{i}]") for i, v in enumerate(value))
        return value


def _choices(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in {typing.Union, types.UnionType}
    return typing.get_args(hint) if is_union else (hint,)


def _shape(choice: Any) -> str:
    if dataclasses.is_dataclass(choice):
        return "section"
    shapes = {Mapping: "table", tuple: "list", Literal: "literal"}
    return shapes.get(typing.get_origin(choice), "scalar")


def _fits(choice: Any, value: Any) -> bool:
    match _shape(choice):
        case "section" | "table":
            return isinstance(value, dict)
        case "list":
            return isinstance(value, list)
        case "literal":  # False is not 0 here
            return any(value == a and type(value) is type(a) for a in typing.get_args(choice))
    return type(value) is choice or (choice is float and type(value) is int)


def _contradictions(project: Project) -> Iterator[tuple[str, str]]:
    """Yield what no single key can tell, as cause and hint."""
    for key, label in (("name", project.name), ("deploy.namespace", project.deploy.namespace)):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?", label):
            hint = "use at most 53 lower-case letters, digits and inner hyphens"
            yield f"{key} = {label!r} is no DNS label", hint
    yield from _data_contradictions(project)
    for name, gate in project.gates.items():
        if gate.min is None and gate.max is None and gate.max_regression is None:
            yield f"gates.{name} has no bound", "give it min, max or max_regression"
        if _crossed(gate):
            yield f"gates.{name} has min = {gate.min} above max = {gate.max}", "no model can pass; swap them"
    if project.deploy.replicas < 1:
        yield f"deploy.replicas = {project.deploy.replicas}", "use 1 or more"


def _data_contradictions(project: Project) -> Iterator[tuple[str, str]]:
    data = project.data
    if isinstance(data.holdout, float | int) and not 0 < data.holdout < 1:
        yield f"data.holdout = {data.holdout} is no fraction", "use a number between 0 and 1, or a path"
    for key, path in (("data.path", data.path), ("data.holdout", data.holdout)):
        if isinstance(path, str) and (path.startswith("/") or ".." in path.split("/")):
            yield f"{key} = {path!r} leaves the source", "use a path inside the project's folder"
    if data.target in data.exclude:
        yield f"data.exclude names the target {data.target!r}", "take it out of the list"
    if project.task == "regression" and data.positive is not None:
        yield "data.positive is for classification", 'remove it, or set task = "classification"'
    for name, column in data.columns.items():
        key = f"data.columns.{name}"
        if _crossed(column):
            yield f"{key} has min = {column.min} above max = {column.max}", "swap them"
        if column.pattern is not None and not _compiles(column.pattern):
            yield f"{key}.pattern = {column.pattern!r} is no regular expression", "mend it"


def _crossed(bounds: Gate | Column) -> bool:
    return bounds.min is not None and bounds.max is not None and bounds.min > bounds.max


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


_NAMES: Mapping[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def _kind(value: Any) -> str:
    name = _NAMES.get(type(value), f"a {type(value).__name__}")
    if isinstance(value, bool):
        return _toml(value)
    return f"{_toml(value)}, {name}" if isinstance(value, str | int | float) else name


def _name(choice: Any) -> str:
    match _shape(choice):
        case "section" | "table":
            return "a table"
        case "list":
            return "a list"
        case "literal":
            return " or ".join(_toml(allowed) for allowed in typing.get_args(choice))
    return _NAMES[choice]


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
