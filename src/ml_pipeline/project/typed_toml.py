"""TOML tables into frozen dataclasses whose annotations are the schema; a mistake becomes one line."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from ml_pipeline.errors import ConfigError


class Reader:
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
