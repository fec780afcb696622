"""Requests as bytes, answers as bytes: JSON, and `{"instances": [...]}`.

What the bytes are served by does not matter here. The other protocol is `open_inference`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from ml_pipeline.common.names import nearest
from ml_pipeline.model.loaded import Answer, Model, Rows
from ml_pipeline.model.values import BadInput

JSON = "application/json"


@dataclass(frozen=True)
class Reply:
    """An answer's bytes, and the headers that tell how to read them."""

    body: bytes
    code: int = 200
    media: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Call:
    """A request that was understood: its rows, and how their answer is written."""

    rows: Rows
    write: Callable[[Answer], Reply]


def encode(document: Any) -> bytes:
    """JSON; NaN becomes null, float32 keeps its shortest form."""
    text: bytes = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return text


def decode(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises `BadInput`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}", expected="JSON") from None
    if type(document) is not dict:
        raise BadInput(f"the body is not a JSON object but {type(document).__name__}", expected="an object")
    return document


def said(document: Any, code: int = 200, **headers: str) -> Reply:
    """A document as JSON."""
    return Reply(encode(document), code, headers=tuple(headers.items()))


def read(model: Model, body: bytes) -> Call:
    """`{"instances": [{column: value}]}`. Raises `BadInput`."""
    document = decode(body)
    for key in document:
        if key != "instances":
            raise BadInput(f"{key[:60]}: no such key; {nearest(key, ['instances'])}", expected="instances")
    return Call(model.read(document.get("instances")), partial(_write, model))


def _write(model: Model, answer: Answer) -> Reply:
    """`{"predictions", "probabilities", "model"}`."""
    document: dict[str, Any] = {"predictions": answer.predictions}
    if answer.probabilities is not None:
        document["probabilities"] = answer.probabilities
    document["model"] = {"name": model.signature.name, "version": model.signature.version}
    return Reply(encode(document))
