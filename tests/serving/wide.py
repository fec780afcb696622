"""A graph whose rows take memory, and no column of which is required."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.programs import signature

HIDDEN = 2048  # 8 kB of memory for each row, and for a while twice as much
COLUMNS = [
    {"name": "size", "type": "number", "nullable": True},
    {"name": "note", "type": "string", "nullable": True},
]


def wide_model(folder: Path) -> Path:
    """Write a regression: the mean of HIDDEN numbers, each of which is the size."""
    make, value = helper.make_node, helper.make_tensor_value_info
    nodes = [
        make("IsNaN", ["size"], ["lost"]),
        make("Where", ["lost", "zero", "size"], ["known"]),
        make("MatMul", ["known", "ones"], ["hidden"]),
        make("Sigmoid", ["hidden"], ["squashed"]),
        make("LabelEncoder", ["note"], ["noted"], domain="ai.onnx.ml",
             keys_strings=["good"], values_floats=[1.0], default_float=0.0),
        make("ReduceMean", ["squashed"], ["mean"], axes=[1], keepdims=1),
        make("Add", ["mean", "noted"], ["sum"]),
        make("Flatten", ["sum"], ["prediction"], axis=1),
    ]  # fmt: skip
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        numpy_helper.from_array(np.ones((1, HIDDEN), np.float32), "ones"),
    ]
    inputs = [
        value("size", TensorProto.FLOAT, ["N", 1]),
        value("note", TensorProto.STRING, ["N", 1]),
    ]
    body = helper.make_graph(
        nodes, "wide", inputs, [value("prediction", TensorProto.FLOAT, ["N", 1])], constants
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(body, opset_imports=opsets, ir_version=9), folder / "model.onnx")
    document = signature(
        task="regression", columns=COLUMNS, classes=None, positive=None, example={"size": 1.0, "note": "good"}
    )
    (folder / "model.json").write_text(json.dumps(document))
    return folder
