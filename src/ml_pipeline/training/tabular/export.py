"""One ONNX graph from raw columns to predictions, built node by node.

The same operations in the same order and precision as `columns.encode` and
`network.Network.forward`; `fit` checks that the two agree after every training.
"""

import json
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.tabular.columns import RAW_LIMIT, SCALED_LIMIT, Columns

OPSET, ML_OPSET, IR_VERSION = 18, 2, 10
OUTPUTS = ("prediction", "probabilities")
Array = Any


def build(
    columns: Columns, weights: dict[str, Array], classes: list[Any] | None, moments: tuple[float, float]
) -> Any:
    """The model as an ONNX `ModelProto`; `weights` is the network's state as arrays.

    Inputs: each used column under its own name, [N]: string, or float64 for
    numbers, booleans (0 or 1) and datetimes (epoch seconds). Missing: "" and NaN.
    Outputs: `prediction` [N], of the classes' own type (string, int64 or bool), or
    float64 `output * deviation + mean` where `classes` is None; and, for classes,
    `probabilities`, float32 [N, C] in their order, which the metadata gives as JSON.
    """
    if taken := [name for name in columns.types if name in OUTPUTS]:
        raise StageFailure(
            f"a column is named {taken[0]!r}, as an output of the model",
            "rename it, or name it in data.exclude",
        )
    graph = _Graph()
    state = _members(graph, columns, weights)  # [members, N, outputs]
    if classes is None:
        mean = graph.add("ReduceMean", state, graph.ints(0), keepdims=0)
        precise = graph.add("Cast", graph.add("Squeeze", mean, graph.ints(1)), to=TensorProto.DOUBLE)
        spread = graph.add("Mul", precise, graph.constant(np.array(moments[1])))
        graph.add("Add", spread, graph.constant(np.array(moments[0])), name="prediction")
        outputs = [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, ["N"])]
    else:
        chances = graph.add("Softmax", state, axis=2)
        graph.add("ReduceMean", chances, graph.ints(0), name="probabilities", keepdims=0)
        best = graph.add("ArgMax", "probabilities", axis=1, keepdims=0)
        labels = np.array(classes, object) if isinstance(classes[0], str) else np.array(classes)
        graph.add("Gather", graph.constant(labels), best, name="prediction")
        kind = helper.np_dtype_to_tensor_dtype(labels.dtype)
        outputs = [
            helper.make_tensor_value_info("prediction", kind, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(classes)]),
        ]
    inputs = [
        helper.make_tensor_value_info(
            name, TensorProto.STRING if of == "string" else TensorProto.DOUBLE, ["N"]
        )
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


class _Graph:
    """Nodes and constants as they are added; their names start with a mark no column's does."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Array) -> str:
        name = f"\x1fconstant/{len(self.constants)}"
        value = np.asarray(value)
        if value.dtype == object:
            strings = [text.encode() for text in value]
            self.constants.append(helper.make_tensor(name, TensorProto.STRING, [len(strings)], strings))
        else:
            self.constants.append(
                numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
            )
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node; return its output's name."""
        name = name or f"\x1f{operator}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, domain=domain, **attributes))
        return name

    def clip(self, value: str, limit: float) -> str:
        return self.add("Clip", value, self.constant(np.array(-limit)), self.constant(np.array(limit)))

    def stack(self, names: list[str]) -> str:
        """[N] each → [N, count]."""
        return self.add("Concat", *[self.add("Unsqueeze", name, self.ints(1)) for name in names], axis=1)


def _members(graph: _Graph, columns: Columns, weights: dict[str, Array]) -> str:
    """Raw columns → [members, N, outputs]."""
    parts = _numeric(graph, columns, weights) + _categorical(graph, columns, weights)
    state = graph.add("Concat", *parts, axis=1)
    state = graph.add("Mul", state, graph.constant(weights["scaling"]))
    for layer in range(sum(name.startswith("weights.") for name in weights)):
        state = graph.add("MatMul", state, graph.constant(weights[f"weights.{layer}"]))
        state = graph.add("Relu", graph.add("Add", state, graph.constant(weights[f"biases.{layer}"])))
    state = graph.add("MatMul", state, graph.constant(weights["head_weight"]))
    return graph.add("Add", state, graph.constant(weights["head_bias"]))


def _numeric(graph: _Graph, columns: Columns, weights: dict[str, Array]) -> list[str]:
    """Embedded numeric features [N, F * E] and missing indicators [N, M], where there are any."""
    if not columns.numbers:
        return []
    parts = []
    values = graph.stack(list(columns.numbers))
    gaps = graph.add("IsNaN", values)
    if columns.features:
        affine = columns.affine()
        source = graph.constant(affine.source)
        chosen = graph.add("Gather", graph.clip(values, RAW_LIMIT), source, axis=1)
        if affine.period.any():
            turns = graph.add("Floor", graph.add("Mul", chosen, graph.constant(affine.frequency)))
            chosen = graph.add("Sub", chosen, graph.add("Mul", turns, graph.constant(affine.period)))
        scaled = graph.add("Sub", chosen, graph.constant(affine.center))
        scaled = graph.add("Mul", scaled, graph.constant(affine.scale))
        empty = graph.add("Gather", gaps, source, axis=1)
        scaled = graph.add("Where", empty, graph.constant(np.array(0.0)), scaled)
        scaled = graph.add("Cast", graph.clip(scaled, SCALED_LIMIT), to=TensorProto.FLOAT)
        places = graph.add(
            "Unsqueeze", graph.add("Transpose", scaled, perm=[1, 0]), graph.ints(2)
        )  # [F, N, 1]
        places = graph.add("Sub", places, graph.constant(weights["low"]))
        places = graph.add("Mul", places, graph.constant(weights["inverse"]))
        bounds = graph.constant(np.float32(0)), graph.constant(np.float32(1))
        places = graph.add("Clip", places, *bounds)  # [F, N, B]
        embedded = graph.add("MatMul", places, graph.constant(weights["numeric_weight"]))
        embedded = graph.add("Relu", graph.add("Add", embedded, graph.constant(weights["numeric_bias"])))
        embedded = graph.add("Transpose", embedded, perm=[1, 0, 2])
        size = weights["numeric_weight"].shape[2] * len(columns.features)
        parts.append(graph.add("Reshape", embedded, graph.ints(0, size)))
    if columns.flagged:
        flagged = graph.ints(*[columns.numbers.index(name) for name in columns.flagged])
        parts.append(graph.add("Cast", graph.add("Gather", gaps, flagged, axis=1), to=TensorProto.FLOAT))
    return parts


def _categorical(graph: _Graph, columns: Columns, weights: dict[str, Array]) -> list[str]:
    """Embedded string columns, [N, K * E], where there are any."""
    if not columns.categories:
        return []
    codes = [
        graph.add(
            "LabelEncoder",
            category.column,
            domain="ai.onnx.ml",
            keys_strings=list(category.values),
            values_int64s=[category.offset + 1 + place for place in range(len(category.values))],
            default_int64=category.offset,
        )
        for category in columns.categories
    ]
    embedded = graph.add("Gather", graph.constant(weights["table"]), graph.stack(codes))  # [N, K, E]
    size = weights["table"].shape[1] * len(columns.categories)
    return [graph.add("Reshape", embedded, graph.ints(0, size))]
