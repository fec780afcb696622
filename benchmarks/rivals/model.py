"""The model that all serve: 6 numbers and 8 strings, 38 features, two layers of 64, two classes.

Once as an ONNX graph from raw columns, in a model folder as the pipeline makes them, and once as a plain
torch module of the same weights, for which strings are looked up in Python.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

NUMBERS = [f"number{i}" for i in range(6)]
TEXTS = [f"text{i}" for i in range(8)]
CLASSES = ["no", "yes"]
WORDS = [f"word{i}" for i in range(12)]
CENTRE, SCALE, WIDTH, LAYERS = 50.0, 29.0, 64, 2
ROW: dict[str, Any] = dict.fromkeys(NUMBERS, 40.5) | dict.fromkeys(TEXTS, "word3")


def weights() -> dict[str, Any]:
    random = np.random.default_rng(0)
    arrays = {f"table {name}": random.normal(size=(len(WORDS) + 1, 4)) for name in TEXTS}
    size = len(NUMBERS) + 4 * len(TEXTS)
    for layer in range(LAYERS + 1):
        wide = WIDTH if layer < LAYERS else len(CLASSES)
        arrays |= {
            f"matrix {layer}": random.normal(size=(size, wide)) / size**0.5,
            f"bias {layer}": np.zeros(wide),
        }
        size = wide
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def graph() -> ModelProto:
    made = helper.make_node
    constants = weights() | {"centre": np.float32([CENTRE]), "scale": np.float32([SCALE])}
    nodes, parts = [], []
    for name in NUMBERS:
        nodes += [
            made("Sub", [name, "centre"], [f"{name} moved"]),
            made("Div", [f"{name} moved", "scale"], [f"{name} scaled"]),
        ]
        parts.append(f"{name} scaled")
    for name in TEXTS:
        codes = {"keys_strings": WORDS, "values_int64s": range(1, len(WORDS) + 1), "default_int64": 0}
        nodes += [
            made("LabelEncoder", [name], [f"{name} code"], domain="ai.onnx.ml", **codes),
            made("Gather", [f"table {name}", f"{name} code"], [f"{name} row"]),
            made("Flatten", [f"{name} row"], [f"{name} flat"]),
        ]
        parts.append(f"{name} flat")
    nodes.append(made("Concat", parts, ["layer 0"], axis=1))
    for layer in range(LAYERS + 1):
        nodes.append(made("Gemm", [f"layer {layer}", f"matrix {layer}", f"bias {layer}"], [f"sum {layer}"]))
        if layer < LAYERS:
            nodes.append(made("Relu", [f"sum {layer}"], [f"layer {layer + 1}"]))
    names = {"keys_int64s": [0, 1], "values_strings": CLASSES}
    nodes += [
        made("Softmax", [f"sum {LAYERS}"], ["probabilities"], axis=1),
        made("ArgMax", ["probabilities"], ["index"], axis=1, keepdims=0),
        made("LabelEncoder", ["index"], ["prediction"], domain="ai.onnx.ml", **names),
    ]
    value = helper.make_tensor_value_info
    inputs = [value(name, TensorProto.FLOAT, ["N", 1]) for name in NUMBERS]
    inputs += [value(name, TensorProto.STRING, ["N", 1]) for name in TEXTS]
    outputs = [
        value("prediction", TensorProto.STRING, ["N"]),
        value("probabilities", TensorProto.FLOAT, ["N", len(CLASSES)]),
    ]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    body = helper.make_graph(nodes, "small", inputs, outputs, stored)
    return helper.make_model(body, opset_imports=opsets, ir_version=9)


def record() -> dict[str, Any]:
    """A record of training data, so that what is served also measures drift."""
    rows = 1000
    number = {"kind": "number", "missing": 0, "values": [float(i) / 10 for i in range(rows)], "spread": 29.0,
              "upto": list(range(1, rows + 1)), "below": list(range(rows)), "error": 0.0}  # fmt: skip
    text = {
        "kind": "string",
        "missing": 0,
        "counts": {word: rows // len(WORDS) for word in WORDS},
        "other": 4,
    }
    columns = dict.fromkeys(NUMBERS, number) | dict.fromkeys(TEXTS, text)
    return {"format": 1, "rows": rows, "columns": columns}


def write(folder: Path) -> None:
    """Write the model folder, torch's weights beside it, and a request."""
    columns = [{"name": name, "type": "number", "nullable": True} for name in NUMBERS]
    columns += [{"name": name, "type": "string", "nullable": True} for name in TEXTS]
    signature = {"format": 1, "name": "small", "version": "1", "task": "classification", "runtime": "onnx",
                 "columns": columns, "classes": CLASSES, "positive": "yes", "example": ROW}  # fmt: skip
    (folder / "model.onnx").write_bytes(graph().SerializeToString())
    (folder / "model.json").write_text(json.dumps(signature))
    (folder / "record.json").write_text(json.dumps(record()))
    (folder / "request.json").write_text(json.dumps({"instances": [ROW]}))
    np.savez(folder / "weights.npz", **weights())
