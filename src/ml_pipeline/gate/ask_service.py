"""Let a running service of another maker answer the holdout, over the Open Inference Protocol v2.

    python -m ml_pipeline.gate.ask_service --url http://HOST:PORT --name NAME \
        --input holdout.npz --model-json model.json --output predictions.npz

https://github.com/kserve/open-inference-protocol. Reads and writes what our own batch command does. The
service's inputs must be columns of the data, one tensor [N] or [N, 1] each. Of its outputs one has labels,
or numbers where the task is a regression; one of shape [N, classes] has probabilities, taken to be in the
order of model.json's classes.
"""

import argparse
import contextlib
import http.client
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.gate import batches
from ml_pipeline.gate.probe import Service
from ml_pipeline.model.signature import read_signature

ROWS = 1000  # in one request
HINT = "give a baseline that reads the data's columns and keeps to the protocol"


def answer(url: str, name: str, rows: Path, model_json: Path, output: Path) -> dict[str, Any]:
    """Write `predictions` [N] and, where the service tells them, `probabilities` [N, classes]."""
    arrays, signature = batches.read_npz(rows), read_signature(model_json)
    kinds = {column.name: column.type for column in signature.columns}
    service = Service(url)
    with contextlib.closing(service.connection):
        service.wait("/v2/health/ready")
        model = _metadata(service, name)
        path = f"/v2/models/{model.get('name', name)}/infer"
        inputs = [_checked(tensor, arrays) for tensor in model.get("inputs") or []]
        count = len(next(iter(arrays.values())))
        labels: list[Any] = []
        shares: list[Any] = []
        for first in range(0, count, ROWS):
            piece = {key: array[first : first + ROWS] for key, array in arrays.items()}
            size = min(ROWS, count - first)
            asked = [_tensor(tensor, piece[tensor["name"]], kinds[tensor["name"]]) for tensor in inputs]
            document = _json(service, "POST", path, {"inputs": asked})
            told, probable = _understood(document.get("outputs") or [], size, signature.classes or None)
            labels += told
            shares += probable or []
    found = {"predictions": np.asarray(labels)}
    if shares:
        found["probabilities"] = np.asarray(shares, dtype=np.float64)
    output.parent.mkdir(parents=True, exist_ok=True)
    batches.write_npz(output, found)
    print(f"{count} rows, at {path}")
    return {"rows": count, "path": path}


def _metadata(service: Service, name: str) -> dict[str, Any]:
    """Return the metadata of the model of that name, or of the only one that the service has."""
    status, text = _asked(service, "GET", f"/v2/models/{name}")
    if status == 200:
        return _document(text)
    # An extension that Triton and MLServer have.
    found, listed = _asked(service, "POST", "/v2/repository/index", {})
    names = _names(listed) if found == 200 else []
    if len(names) == 1:
        return _json(service, "GET", f"/v2/models/{names[0]}")
    there = f"; {nearest(name, names)}" if names else ""
    cause = f"the baseline speaks neither our protocol nor, of a model {name!r}, the Open Inference one"
    raise StageFailure(f"{cause} (status {status}){there}", HINT)


def _names(listed: bytes) -> list[str]:
    """Read a repository's index; nothing where it is none."""
    try:
        return [str(entry["name"]) for entry in json.loads(listed)]
    except (ValueError, TypeError, KeyError):
        return []


def _checked(tensor: Mapping[str, Any], arrays: Mapping[str, Any]) -> Mapping[str, Any]:
    name, shape, datatype = (tensor.get(key) for key in ("name", "shape", "datatype"))
    if name not in arrays:
        cause = f"the baseline reads {name!r}, which is no column of the model's"
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


def _tensor(described: Mapping[str, Any], array: Any, kind: str) -> dict[str, Any]:
    """Return one column as the service wants it, null where a value is missing."""
    datatype = described["datatype"]
    values = [_value(value, kind, datatype) for value in array.tolist()]
    shape = [len(values), 1] if len(described["shape"]) == 2 else [len(values)]
    return {"name": described["name"], "datatype": datatype, "shape": shape, "data": values}


def _value(value: Any, kind: str, datatype: str) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if kind == "datetime" and datatype == "BYTES":
        return datetime.fromtimestamp(value, UTC).isoformat()
    if datatype == "BYTES":
        return str(value)
    if datatype == "BOOL":
        return bool(value)
    return float(value) if datatype.startswith(("FP", "BF")) else int(value)


def _understood(
    outputs: Sequence[Mapping[str, Any]], rows: int, classes: Sequence[Any] | None
) -> tuple[list[Any], list[Any] | None]:
    """Return the answers [N] in the output tensors, and the probabilities [N, classes] if there are some."""
    labels: list[Any] | None = None
    shares: list[Any] | None = None
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
        told = (
            ", ".join(f"{t.get('name')} {t.get('datatype')} {t.get('shape')}" for t in outputs) or "nothing"
        )
        raise StageFailure(f"the baseline answered {rows} rows with {told}: no label or number a row", HINT)
    return labels, shares


def _asked(service: Service, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    try:
        return service.ask(method, path, json.dumps(body).encode() if body is not None else None)
    except (OSError, http.client.HTTPException) as error:
        cause = f"the baseline broke off at {path}: {one_line(error)}"
        raise StageFailure(cause, HINT) from None


def _json(service: Service, method: str, path: str, body: Any = None) -> dict[str, Any]:
    status, text = _asked(service, method, path, body)
    if status != 200:
        raise StageFailure(f"the baseline answered {status} to {path}: {one_line(text)}", HINT)
    return _document(text)


def _document(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StageFailure(f"the baseline answered no JSON object: {one_line(text)}", HINT)
    return found


def main(given: Sequence[str] | None = None) -> None:
    """Ask the service that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipeline.gate.ask_service",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", required=True, help="the running service, http://HOST:PORT")
    parser.add_argument("--name", required=True, help="its model; where it has one only, that is taken")
    parser.add_argument("--input", type=Path, required=True, help="holdout.npz of `evaluate prepare`")
    parser.add_argument("--model-json", type=Path, required=True, help="the candidate's signature")
    parser.add_argument("--output", type=Path, required=True, help="predictions, .npz")
    told = parser.parse_args(given)
    run_stage(
        "predict-baseline", lambda: answer(told.url, told.name, told.input, told.model_json, told.output)
    )


if __name__ == "__main__":
    main()
