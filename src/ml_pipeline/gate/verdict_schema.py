"""Print gate/verdict.schema.json, which is made from the types in common/verdict.py.

python -m ml_pipeline.gate.verdict_schema > src/ml_pipeline/gate/verdict.schema.json
"""

import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, Union

from ml_pipeline.common import command_line, verdict

# Any: type hints are values of no common type, and a schema is any JSON.
Schema = dict[str, Any]

NAMES: Mapping[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
SHARED: Mapping[str, object] = {
    "interval": verdict.Interval,
    "difference": verdict.Difference,
    "gate": verdict.Gate,
}
# Objects with further keys, each a metric.
OPEN = (verdict.Group, verdict.ColumnFairness)


def document() -> Schema:
    """Return the schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "verdict.json",
        "description": "What the gate found out about one candidate. A number that is not finite is null.",
        **_plain(verdict.Verdict),
        "$defs": {name: _plain(hint) for name, hint in SHARED.items()},
    }


def _schema(hint: Any) -> Schema:
    """Return a type's schema, or the reference to it."""
    for name, shared in SHARED.items():
        if hint == shared:
            return {"$ref": f"#/$defs/{name}"}
    return _plain(hint)


def _plain(hint: Any) -> Schema:
    origin = typing.get_origin(hint)
    if origin is not None:
        return _BY_ORIGIN[origin](hint, *typing.get_args(hint))
    return _object(hint) if typing.is_typeddict(hint) else {"type": NAMES[hint]}


def _annotated(hint: Any, inner: Any, *_: Any) -> Schema:
    keywords: Schema = {}
    for metadata in hint.__metadata__:
        keywords |= metadata
    return _schema(inner) | keywords


def _optional(_: Any, *members: Any) -> Schema:
    """Return the schema of a value that may be null."""
    schema = _schema(next(member for member in members if member is not type(None)))
    if "$ref" in schema or "properties" in schema:
        return {"oneOf": [{"type": "null"}, schema]}
    return schema | {"type": [schema["type"], "null"]}


def _choice(_: Any, *values: str | int) -> Schema:
    return {"const": values[0]} if len(values) == 1 else {"enum": list(values)}


def _mapping(_: Any, _key: Any, value: Any) -> Schema:
    return {"type": "object", "additionalProperties": _schema(value)}


def _array(_: Any, item: Any) -> Schema:
    return {"type": "array", **({} if item is Any else {"items": _schema(item)})}


def _tuple(_: Any, *items: Any) -> Schema:
    return {"type": "array", "items": _schema(items[0]), "minItems": len(items), "maxItems": len(items)}


def _object(hint: Any) -> Schema:
    keys = typing.get_type_hints(hint, include_extras=True)
    return {
        "type": "object",
        "properties": {key: _schema(value) for key, value in keys.items()},
        "required": [key for key in keys if key in hint.__required_keys__],
        "additionalProperties": _schema(verdict.Number) if hint in OPEN else False,
    }


_BY_ORIGIN: Mapping[object, Callable[..., Schema]] = {
    NotRequired: lambda _, inner: _schema(inner),
    Annotated: _annotated,
    Union: _optional,
    types.UnionType: _optional,
    Literal: _choice,
    Mapping: _mapping,
    Sequence: _array,
    tuple: _tuple,
}


def main() -> None:
    """Print the schema."""
    parser = command_line.parser("gate.verdict_schema", __doc__)
    parser.parse_args()
    print(json.dumps(document(), indent=1))


if __name__ == "__main__":
    main()
