"""What the server takes and answers, as an OpenAPI document made from the model's own columns."""

from typing import Any

from ml_pipeline.model.loaded import Model
from ml_pipeline.model.signature import Column

_TYPES: dict[str, list[dict[str, Any]]] = {
    "integer": [{"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}],
    "number": [{"type": "number"}],
    "string": [{"type": "string"}],
    "boolean": [{"type": "boolean"}],
    "datetime": [{"type": "string", "format": "date-time"}, {"type": "number"}],
}
_ERRORS = {"413": "the body is too large", "422": "a value is wrong", "503": "too many requests wait"}


def document(model: Model) -> dict[str, Any]:
    """OpenAPI 3.1, of `/predict`. A value that is allowed by it may still be beyond the graph's types."""
    signature = model.signature
    row = {
        "type": "object",
        "properties": {column.name: _schema(column) for column in model.columns},
        "required": [column.name for column in model.columns if not column.nullable],
        "additionalProperties": False,
    }
    request = {
        "type": "object",
        "properties": {"instances": {"type": "array", "minItems": 1, "items": row}},
        "required": ["instances"],
        "additionalProperties": False,
        "example": {"instances": [signature.example]},
    }
    label: dict[str, Any] = {"enum": list(signature.classes)} if signature.classes else {"type": "number"}
    shares = {"type": "array", "items": {"type": ["number", "null"]}}
    texts = {"name": {"const": signature.name}, "version": {"const": signature.version}}
    answer = {
        "type": "object",
        "properties": {
            "predictions": {"type": "array", "items": label},
            "probabilities": {"type": "array", "items": shares},
            "model": {"type": "object", "properties": texts},
        },
        "required": ["predictions", "model"],
    }
    error = {
        "type": "object",
        "properties": {
            "error": {"type": "string"},
            "row": {"type": "integer", "description": "counted from 0"},
            "column": {"type": "string"},
            "expected": {"type": "string"},
        },
        "required": ["error"],
    }
    replies = {"200": {"description": "one prediction a row", "content": _json(answer)}}
    replies |= {code: {"description": text, "content": _json(error)} for code, text in _ERRORS.items()}
    operation = {
        "operationId": "predict",
        "summary": "Predict rows",
        "requestBody": {"required": True, "content": _json(request)},
        "responses": replies,
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": signature.name, "version": signature.version},
        "paths": {"/predict": {"post": operation}},
    }


def _schema(column: Column) -> dict[str, Any]:
    kinds = _TYPES[column.type] + ([{"type": "null"}] if column.nullable else [])
    if column.type == "string" and not column.nullable:
        kinds = [{"type": "string", "minLength": 1}]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
