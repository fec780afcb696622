"""Requests and answers of the server as an OpenAPI document, made from the model's own columns."""

from collections.abc import Mapping

from ml_pipeline.columns.types import json_schema
from ml_pipeline.model.loaded import Model

_ERRORS = {
    "408": "the body did not arrive in time",
    "413": "the body is too large, or it has too many rows",
    "415": "the body is compressed, but not with gzip or deflate",
    "422": "the body is not JSON, or a value is wrong",
    "503": "too many requests wait; try again after the seconds of Retry-After",
}


def document(model: Model) -> dict[str, object]:
    """Return an OpenAPI 3.1 document of `/predict`.

    The server still refuses some values that the document allows: those that the graph's types can't hold.
    """
    signature = model.signature
    row = {
        "type": "object",
        "properties": {c.name: json_schema(c.type, nullable=c.nullable) for c in model.columns},
        "required": [column.name for column in model.columns if not column.nullable],
        "additionalProperties": False,
    }
    request = {
        "type": "object",
        "properties": {"instances": {"type": "array", "minItems": 1, "items": row}},
        "required": ["instances"],
        "additionalProperties": False,
        "example": {"instances": [dict(signature.example)]},
    }
    label: dict[str, object] = {"enum": list(signature.classes)} if signature.classes else {"type": "number"}
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
    replies = {
        "200": {
            "description": "one prediction for each row, in the order of the rows",
            "content": _json(answer),
        }
    }
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


def _json(schema: Mapping[str, object]) -> dict[str, object]:
    return {"application/json": {"schema": schema}}
