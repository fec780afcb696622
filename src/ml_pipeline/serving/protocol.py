"""The protocol of `/predict`: `{"instances": [...]}` in JSON. The other protocol is `open_inference`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import orjson

from ml_pipeline.common.names import nearest
from ml_pipeline.model.loaded import Answer, Model, Rows
from ml_pipeline.model.signature import Label
from ml_pipeline.model.values import BadInput

JSON = "application/json"


@dataclass(frozen=True)
class Reply:
    """An HTTP response: status, body, media type and further headers."""

    body: bytes
    code: int = 200
    media: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Unread(Exception):
    """The response to a request that is not read to its end."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


@dataclass(frozen=True)
class Call:
    """A request that was read: its rows, and the function that writes the answer to them."""

    rows: Rows
    write: Callable[[Answer], Reply]


class ModelName(TypedDict):
    """Which model answered."""

    name: str
    version: str


class Predictions(TypedDict):
    """The body of an answer to `/predict`."""

    predictions: list[Label]
    probabilities: NotRequired[npt.NDArray[np.float32]]  # [N, C]; in JSON a list for each row
    model: ModelName


def encode(document: object) -> bytes:
    """Return a document as JSON; NaN becomes null, float32 keeps its shortest form."""
    text: bytes = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return text


def decode(body: bytes) -> dict[str, object]:
    """Read a JSON object. Raises `BadInput`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("str is not valid UTF-8"):
            raise BadInput("the body is not JSON: it is not UTF-8", expected="JSON") from None
        raise BadInput(f"the body is not JSON: {error}", expected="JSON") from None
    if type(document) is not dict:
        raise BadInput(f"the body is not a JSON object but {type(document).__name__}", expected="an object")
    return document


def reply(document: object, code: int = 200, **headers: str) -> Reply:
    """Return a document as a response in JSON."""
    return Reply(encode(document), code, headers=tuple(headers.items()))


def require_rows(place: str, rows: int, most: int) -> None:
    """Raise `Unread` where a request has more than `most` rows."""
    if rows > most:
        cause = f"{place}: {rows} rows are more than a request may have, {most} (ML_MAX_ROWS)"
        raise Unread(reply({"error": f"{cause}; send several requests"}, 413))


def read(model: Model, body: bytes, most: int) -> Call:
    """Read `{"instances": [{column: value}]}` of `most` rows at most. Raises `BadInput` and `Unread`."""
    document = decode(body)
    for key in document:
        if key != "instances":
            raise BadInput(f"{key[:60]}: no such key; {nearest(key, ['instances'])}", expected="instances")
    instances = document.get("instances")
    if type(instances) is list:
        require_rows("instances", len(instances), most)
    return Call(model.read(instances), partial(_write, model))


def _write(model: Model, answer: Answer) -> Reply:
    name = ModelName(name=model.signature.name, version=model.signature.version)
    if answer.probabilities is None:
        return Reply(encode(Predictions(predictions=answer.predictions, model=name)))
    document = Predictions(predictions=answer.predictions, probabilities=answer.probabilities, model=name)
    return Reply(encode(document))
