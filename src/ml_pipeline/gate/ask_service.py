"""Ask a running service of another maker for its answers, over the Open Inference Protocol v2.

    python -m ml_pipeline.gate.ask_service --url http://HOST:PORT --name NAME \
        --input holdout.npz --model-json model.json --output predictions.npz

https://github.com/kserve/open-inference-protocol. Reads and writes what our own batch command does. The
service's inputs must be columns of the data, one tensor [N] or [N, 1] each. Of its outputs one has labels,
or numbers where the task is a regression; one of shape [N, classes] has probabilities, taken to be in the
order of model.json's classes.
"""

import contextlib
import http.client
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypedDict

import numpy as np

from ml_pipeline.common import command_line
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.gate import batches
from ml_pipeline.gate.arrays import Array
from ml_pipeline.gate.documents import Value
from ml_pipeline.gate.probe import Service
from ml_pipeline.model.signature import Label, read_signature

ROWS = 1000  # in one request
Scalar = str | int | float | bool


class Tensor(TypedDict, total=False):
    """A tensor of the protocol, or its description in a model's metadata, which has no data."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Value]


class Metadata(TypedDict, total=False):
    """What the service says of a model."""

    name: str
    inputs: list[Tensor]


HINT = "use a baseline that reads the data's columns and follows the Open Inference Protocol v2"


def answer(url: str, name: str, rows: Path, model_json: Path, output: Path) -> dict[str, object]:
    """Write `predictions` [N] and, if the service returns them, `probabilities` [N, classes]."""
    arrays = batches.read_npz(rows)
    signature = read_signature(model_json)
    types = {column.name: column.type for column in signature.columns}
    service = Service(url)
    with contextlib.closing(service.connection):
        service.wait("/v2/health/ready")
        model = _metadata(service, name)
        path = f"/v2/models/{model.get('name', name)}/infer"
        inputs = [_checked(tensor, arrays) for tensor in model.get("inputs") or []]
        count = len(next(iter(arrays.values())))
        labels: list[Label] = []
        shares: list[list[float]] = []
        for first in range(0, count, ROWS):
            piece = {key: array[first : first + ROWS] for key, array in arrays.items()}
            size = min(ROWS, count - first)
            asked = [_tensor(tensor, piece[tensor["name"]], types[tensor["name"]]) for tensor in inputs]
            document = _json(service, "POST", path, {"inputs": asked})
            outputs: list[Tensor] = document.get("outputs") or []
            predictions, probabilities = _predictions(outputs, size, signature.classes or None)
            labels += predictions
            shares += probabilities or []
    answers: dict[str, Array] = {"predictions": np.asarray(labels)}
    if shares:
        answers["probabilities"] = np.asarray(shares, dtype=np.float64)
    output.parent.mkdir(parents=True, exist_ok=True)
    batches.write_npz(output, answers)
    print(f"{count} rows, at {path}")
    return {"rows": count, "path": path}


def _metadata(service: Service, name: str) -> Metadata:
    """Return the metadata of the model of that name, or of the only one that the service has."""
    status, text = _asked(service, "GET", f"/v2/models/{name}")
    if status == 200:
        metadata: Metadata = _document(text)
        return metadata
    # An extension that Triton and MLServer have.
    listing, index = _asked(service, "POST", "/v2/repository/index", {})
    names = _names(index) if listing == 200 else []
    if len(names) == 1:
        only: Metadata = _json(service, "GET", f"/v2/models/{names[0]}")
        return only
    others = f"; {nearest(name, names)}" if names else ""
    cause = f"the baseline was not built by ml-pipeline, and has no model {name!r} at /v2/models"
    raise StageFailure(f"{cause} (status {status}){others}", HINT)


def _names(index: bytes) -> list[str]:
    """Read the index of a repository; nothing if it is not valid."""
    try:
        return [str(entry["name"]) for entry in json.loads(index)]
    except (ValueError, TypeError, KeyError):
        return []


def _checked(tensor: Tensor, arrays: Mapping[str, Array]) -> Tensor:
    name, shape, datatype = tensor.get("name"), tensor.get("shape"), tensor.get("datatype")
    if name not in arrays:
        cause = f"the baseline reads {name!r}, which is not a column that the model reads"
        raise StageFailure(f"{cause}; {nearest(str(name), arrays)}", HINT)
    if (
        not isinstance(shape, list)
        or len(shape) not in {1, 2}
        or (len(shape) == 2 and shape[1] not in {1, -1})
    ):
        raise StageFailure(f"the baseline's input {name!r} has shape {shape}, not [N] or [N, 1]", HINT)
    if not isinstance(datatype, str):
        raise StageFailure(f"the baseline's input {name!r} has no datatype", HINT)
    return tensor


def _tensor(metadata: Tensor, array: Array, column_type: str) -> Tensor:
    """Return one column as the service reads it, null where a value is missing."""
    datatype = metadata["datatype"]
    values = [_value(value, column_type, datatype) for value in array.tolist()]
    shape = [len(values), 1] if len(metadata["shape"]) == 2 else [len(values)]
    return {"name": metadata["name"], "datatype": datatype, "shape": shape, "data": values}


def _value(value: Scalar, column_type: str, datatype: str) -> Value:
    if isinstance(value, float) and math.isnan(value):
        return None
    if column_type == "datetime" and datatype == "BYTES":
        return datetime.fromtimestamp(float(value), UTC).isoformat()
    if datatype == "BYTES":
        return str(value)
    if datatype == "BOOL":
        return bool(value)
    return float(value) if datatype.startswith(("FP", "BF")) else int(value)


def _predictions(
    outputs: Sequence[Tensor], rows: int, classes: Sequence[Label] | None
) -> tuple[list[Label], list[list[float]] | None]:
    """Return the answers [N] in the output tensors, and the probabilities [N, classes] if there are some."""
    labels: list[Label] | None = None
    shares: list[list[float]] | None = None
    for tensor in outputs:
        shape, data = tensor.get("shape"), np.asarray(tensor.get("data"))
        floats = str(tensor.get("datatype")).startswith(("FP", "BF"))
        if classes and floats and shape == [rows, len(classes)] and data.size == rows * len(classes):
            shares = data.reshape(rows, -1).tolist()
        elif shape in ([rows], [rows, 1]) and data.size == rows and floats == (classes is None):
            labels = data.reshape(rows).tolist()
    if labels is None and shares is not None and classes:
        labels = [classes[int(np.argmax(row))] for row in shares]
    if labels is None:
        text = (
            ", ".join(f"{t.get('name')} {t.get('datatype')} {t.get('shape')}" for t in outputs) or "nothing"
        )
        raise StageFailure(
            f"the baseline answered {rows} rows with {text}, not with a label or a number for each row", HINT
        )
    return labels, shares


def _asked(service: Service, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    try:
        return service.ask(method, path, json.dumps(body).encode() if body is not None else None)
    except (OSError, http.client.HTTPException) as error:
        cause = f"the baseline closed the connection at {path}: {one_line(error)}"
        raise StageFailure(cause, HINT) from None


def _json(service: Service, method: str, path: str, body: object = None) -> Any:
    status, text = _asked(service, method, path, body)
    if status != 200:
        raise StageFailure(f"the baseline answered {status} to {path}: {one_line(text)}", HINT)
    return _document(text)


def _document(text: bytes) -> Any:
    """Return a JSON object. Any: the caller knows which document of the protocol this is."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise StageFailure(f"the baseline's answer is not a JSON object: {one_line(text)}", HINT)
    return document


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Ask the service that the arguments name."""
    parser = command_line.parser("gate.ask_service", __doc__)
    parser.add_argument("--url", required=True, help="URL of the running service, http://HOST:PORT")
    parser.add_argument("--name", required=True, help="name of its model; not used if it has only one")
    parser.add_argument("--input", type=Path, required=True, help="holdout.npz of `evaluate prepare`")
    parser.add_argument("--model-json", type=Path, required=True, help="model.json of the candidate")
    parser.add_argument("--output", type=Path, required=True, help="the .npz file to write")
    options = parser.parse_args(arguments)
    run_stage(
        "predict-baseline",
        lambda: answer(options.url, options.name, options.input, options.model_json, options.output),
    )


if __name__ == "__main__":
    main()
