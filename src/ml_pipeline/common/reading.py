"""Reads a document (a TOML table, a JSON object) into a frozen dataclass, whose annotations are the schema.

    settings = read(Settings, json.loads(text))

A field's name is its key, and its default is what an absent key means. Annotations may be `str`, `bool`,
`int`, `float` (an integer fits too, and stays one), `Literal`, other dataclasses, `tuple[T, ...]`,
`tuple[T, T]`, `Mapping[str, T]`, unions of these with None or with each other, `Annotated[T, Bounds(…)]`, and
`object` or `Any`, which take everything. Of a union the first member that fits is read, so at most one
member may be a dataclass.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure

T = TypeVar("T")


class DocumentError(ValueError):
    """A document does not fit its schema.

    `path` is the key, such as "data.columns.age.min", and "" for the document itself. `problem` is a clause
    that names the key, `hint` what to do.
    """

    def __init__(self, path: str, problem: str, hint: str) -> None:
        super().__init__(f"{problem}; {hint}")
        self.path = path
        self.problem = problem
        self.hint = hint


@dataclass(frozen=True)
class Bounds:
    """Limits of a number: `Annotated[int, Bounds(minimum=1)]`. `above` and `below` exclude the limit itself.

    `problem` and `hint` replace the words of the error.
    """

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    problem: str = "is out of range"
    hint: str = ""

    def check(self, number: float, path: str) -> None:
        """Raise DocumentError for a number outside the limits, NaN included."""
        within = (
            (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )
        if not within:
            raise DocumentError(
                path, f"{path} = {number} {self.problem}", self.hint or f"use {self._limits()}"
            )

    def _limits(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return f"a number between {self.minimum:g} and {self.maximum:g}"
        limits = (
            ("{:g} or more", self.minimum),
            ("more than {:g}", self.above),
            ("{:g} or less", self.maximum),
            ("less than {:g}", self.below),
        )
        return " and ".join(text.format(limit) for text, limit in limits if limit is not None)


def read(kind: type[T], document: object, path: str = "", *, ignore_unknown: bool = False) -> T:
    """Return the document as a `kind`, which is a dataclass or any other annotation.

    `path` is the document's own name in errors. `ignore_unknown` skips unknown keys, for documents that
    another version may have written. Raises DocumentError.
    """
    return typing.cast("T", _Reader(ignore_unknown).value(kind, document, path))


def read_settings(kind: type[T], path: Path) -> T:
    """Return a stage's settings, a JSON file. Raises StageFailure."""
    try:
        return read(kind, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        cause = f"the settings {path} can't be read ({error.strerror})"
        raise StageFailure(cause, "check --config") from None
    except DocumentError as error:
        raise StageFailure(f"the settings are wrong: {error.problem}", error.hint) from None
    except ValueError as error:
        raise StageFailure(f"the settings {path} are not JSON ({error})", "check --config") from None


@dataclass(frozen=True)
class _Reader:
    ignore_unknown: bool

    def value(self, annotation: object, value: object, path: str) -> object:
        """Return `value` as its annotation, one type or a union, says."""
        choices = _choices(annotation)
        for choice in choices:
            bare, bounds = _bare(choice)
            if _fits(bare, value):
                for each in bounds:
                    each.check(typing.cast("float", value), path)
                return self._converted(bare, value, path)
        expected = " or ".join(_name(_bare(choice)[0]) for choice in choices if choice is not type(None))
        raise DocumentError(path, f"{path or 'the document'} is {_kind(value)}", f"write {expected}")

    def _converted(self, annotation: object, value: object, path: str) -> object:
        arguments = typing.get_args(annotation)
        if isinstance(value, Mapping):
            if dataclasses.is_dataclass(annotation):
                return self._instance(typing.cast("type[object]", annotation), value, path)
            if arguments:
                return {key: self.value(arguments[1], v, _join(path, key)) for key, v in value.items()}
        if isinstance(value, list | tuple) and arguments:
            if arguments[-1] is Ellipsis:
                arguments = (arguments[0],) * len(value)
            if len(value) != len(arguments):
                raise DocumentError(path, f"{path} has {len(value)} values", f"write {len(arguments)}")
            members = zip(arguments, value, strict=True)
            return tuple(self.value(kind, v, f"{path}[{i}]") for i, (kind, v) in enumerate(members))
        return value

    def _instance(self, cls: type[object], table: Mapping[str, object], path: str) -> object:
        annotations = typing.get_type_hints(cls, include_extras=True)
        unknown = [key for key in table if key not in annotations]
        if unknown and not self.ignore_unknown:
            where = f" in [{path}]" if path else ""
            hint = nearest(unknown[0], annotations)
            raise DocumentError(_join(path, unknown[0]), f"unknown key {unknown[0]!r}{where}", hint)
        for field in dataclasses.fields(typing.cast("Any", cls)):  # typing has no name for "any dataclass"
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if required and field.name not in table:
                key = _join(path, field.name)
                raise DocumentError(key, f"{key} is missing", "add it")
        values = {
            key: self.value(annotations[key], value, _join(path, key))
            for key, value in table.items()
            if key in annotations
        }
        return typing.cast("Callable[..., object]", cls)(**values)


def _choices(annotation: object) -> tuple[object, ...]:
    is_union = typing.get_origin(annotation) in {typing.Union, types.UnionType}
    return typing.get_args(annotation) if is_union else (annotation,)


def _bare(annotation: object) -> tuple[object, tuple[Bounds, ...]]:
    """Return an annotation without its bounds, and these."""
    if typing.get_origin(annotation) is not Annotated:
        return annotation, ()
    bare, *metadata = typing.get_args(annotation)
    return bare, tuple(each for each in metadata if isinstance(each, Bounds))


def _fits(annotation: object, value: object) -> bool:
    """Whether a value is what an annotation without its bounds says, leaving aside what is inside of it."""
    origin = typing.get_origin(annotation) or annotation
    if origin is Literal:  # False is not 0 here
        allowed = typing.get_args(annotation)
        return any(value == each and type(value) is type(each) for each in allowed)
    if dataclasses.is_dataclass(annotation) or origin in {dict, Mapping}:
        return isinstance(value, Mapping)
    if origin is tuple:
        return isinstance(value, list | tuple)
    if origin in {object, Any}:
        return True
    return type(value) is origin or (origin is float and type(value) is int)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


_NAMES: Mapping[object, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    list: "a list",
    tuple: "a list",
    dict: "a table",
    Mapping: "a table",
    type(None): "null",
}


def _kind(value: object) -> str:
    """Return what a wrong value is, as the reader of an error knows it."""
    name = _NAMES.get(type(value), f"a {type(value).__name__}")
    if isinstance(value, bool):
        return _literal(value)
    return f"{_literal(value)}, {name}" if isinstance(value, str | int | float) else name


def _name(annotation: object) -> str:
    """Return what an annotation asks for."""
    origin = typing.get_origin(annotation) or annotation
    if origin is Literal:
        return " or ".join(_literal(allowed) for allowed in typing.get_args(annotation))
    return "a table" if dataclasses.is_dataclass(annotation) else _NAMES[origin]


def _literal(value: object) -> str:
    """Return a string, number or truth value as TOML and JSON write it, cut off where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:99]}…"
