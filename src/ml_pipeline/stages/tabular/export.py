"""One ONNX graph from raw columns to predictions, built node by node.

The same operations in the same order and precision as `columns.encode` and
`network.Network.forward`, so there is no second description of the model to drift.
"""

import json
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ml_pipeline.stages.tabular.columns import RAW_LIMIT, SCALED_LIMIT, Columns

OPSET, ML_OPSET, IR_VERSION = 18, 2, 10
Array = Any


class _Graph:
    """Nodes and constants as they are added; every value is named after its first use."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, to: str = "", domain: str = "", **attributes: Any) -> str:
        name = to or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, domain=domain, **attributes))
        return name

    def clip(self, value: str, low: float, high: float, kind: type) -> str:
        return self.add("Clip", value, self.constant(np.array(low, kind)), self.constant(np.array(high, kind)))

    def stack(self, names: list[str]) -> str:
        """[N] each → [N, count]."""
        return self.add("Concat", *[self.add("Unsqueeze", name, self.ints(1)) for name in names], axis=1)


def build(columns: Columns, weights: dict[str, Array], classes: list[Any] | None, scaling: tuple[float, float]) -> Any:
    """The model as an ONNX `ModelProto`.

    Inputs: each used column under its own name, [N]: string, or float64 for
    numbers, booleans (0 or 1) and moments (epoch seconds). Missing: "" and NaN.
    Outputs: `prediction` [N], of the classes' own type (string, int64 or bool), or
    float64 `output * scaling[1] + scaling[0]` where `classes` is None; and for
    classes `probabilities`, float32 [N, C] in their order, which the metadata gives.
    """
    graph = _Graph()
    parts = [*_numeric(graph, columns, weights), *_categorical(graph, columns, weights)]
    state = graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    state = graph.add("Mul", state, graph.constant(weights["scaling"]))  # [members, N, width]
    depth = sum(name.startswith("weights.") for name in weights)
    for layer in range(depth):
        state = graph.add("MatMul", state, graph.constant(weights[f"weights.{layer}"]))
        state = graph.add("Relu", graph.add("Add", state, graph.constant(weights[f"biases.{layer}"])))
    state = graph.add("MatMul", state, graph.constant(weights["head_weight"]))
    state = graph.add("Add", state, graph.constant(weights["head_bias"]))
    outputs = []
    if classes is None:
        mean = graph.add("ReduceMean", state, graph.ints(0), keepdims=0)
        single = graph.add("Squeeze", mean, graph.ints(1))
        scaled = graph.add("Mul", graph.add("Cast", single, to_type=TensorProto.DOUBLE), graph.constant(np.array(scaling[1])))
        graph.add("Add", scaled, graph.constant(np.array(scaling[0])), to="prediction")
        kind = TensorProto.DOUBLE
    else:
        chances = graph.add("Softmax", state, axis=2)
        graph.add("ReduceMean", chances, graph.ints(0), keepdims=0, to="probabilities")
        best = graph.add("ArgMax", "probabilities", axis=1, keepdims=0)
        labels = np.array(classes, object if isinstance(classes[0], str) else None)
        graph.add("Gather", graph.constant(labels), best, to="prediction")
        kind = helper.np_dtype_to_tensor_dtype(labels.dtype)
        outputs.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(classes)]))
    outputs.insert(0, helper.make_tensor_value_info("prediction", kind, ["N"]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.STRING if of == "string" else TensorProto.DOUBLE, ["N"])
        for name, of in columns.types.items()
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "tabular", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=IR_VERSION,
        producer_name="ml-pipeline",
    )
    if classes is not None:
        helper.set_model_props(model, {"classes": json.dumps(classes)})
    onnx.checker.check_model(model, full_check=True)
    return model
