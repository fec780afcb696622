"""One ONNX graph from raw columns to predictions, built node by node.

It has the same operations in the same order and precision as `columns.encode` and
`network.Network.forward`. `results` compares the two after every training.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ml_pipeline.training.tabular.columns import RAW_LIMIT, SCALED_LIMIT, Columns
from ml_pipeline.training.tabular.target import Class

OPSET, ML_OPSET, IR_VERSION = 18, 2, 10
OUTPUTS = ("prediction", "probabilities")
Weights = Mapping[str, npt.NDArray[np.float32]]  # the network's state, by name


def build(
    columns: Columns, weights: Weights, classes: Sequence[Class] | None, moments: tuple[float, float]
) -> ModelProto:
    """Return the model as an ONNX graph; `moments` are the target's mean and standard deviation.

    Inputs: each column under its own name, [N]: string, or float64 for numbers, booleans (0 or 1) and
    datetimes (seconds since 1970). A missing value is "" or NaN.
    Outputs: `prediction` [N] has the classes' own type (string, int64 or bool), or is float64
    `output * deviation + mean` if `classes` is None. With classes there is also `probabilities`,
    float32 [N, C], in the order of the metadata `classes` (JSON). Where a column has such a name, the output
    gets another one: the server finds outputs by their shapes too.
    """
    prediction, probabilities = (_free(name, columns) for name in OUTPUTS)
    graph = _Graph()
    state = _members(graph, columns, weights)  # [members, N, outputs]
    if classes is None:
        mean = graph.add("ReduceMean", state, graph.ints(0), keepdims=0)
        precise = graph.add("Cast", graph.add("Squeeze", mean, graph.ints(1)), to=TensorProto.DOUBLE)
        spread = graph.add("Mul", precise, graph.constant(np.array(moments[1])))
        graph.add("Add", spread, graph.constant(np.array(moments[0])), name=prediction)
        outputs = [helper.make_tensor_value_info(prediction, TensorProto.DOUBLE, ["N"])]
    else:
        chances = graph.add("Softmax", state, axis=2)
        graph.add("ReduceMean", chances, graph.ints(0), name=probabilities, keepdims=0)
        best = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
        labels = np.array(classes, object) if isinstance(classes[0], str) else np.array(classes)
        graph.add("Gather", graph.constant(labels), best, name=prediction)
        label_type = helper.np_dtype_to_tensor_dtype(labels.dtype)
        outputs = [
            helper.make_tensor_value_info(prediction, label_type, ["N"]),
            helper.make_tensor_value_info(probabilities, TensorProto.FLOAT, ["N", len(classes)]),
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


def _free(name: str, columns: Columns) -> str:
    while name in columns.types:
        name += "_"
    return name


class _Graph:
    """The nodes and constants of a graph. Their names start with a control character, unlike columns'."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, value: npt.ArrayLike) -> str:
        """Add a constant; return its name."""
        name = f"\x1fconstant/{len(self.constants)}"
        array = np.asarray(value)
        if array.dtype == object:
            strings = [text.encode() for text in array]
            self.constants.append(helper.make_tensor(name, TensorProto.STRING, [len(strings)], strings))
        else:
            self.constants.append(
                numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            )
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, name: str = "", domain: str = "", **attributes: object) -> str:
        """Add a node; return its output's name."""
        name = name or f"\x1f{operator}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, domain=domain, **attributes))
        return name

    def clip(self, value: str, limit: float) -> str:
        return self.add("Clip", value, self.constant(np.array(-limit)), self.constant(np.array(limit)))

    def stack(self, names: list[str]) -> str:
        """Turn `count` values [N] into one of [N, count]; return its name."""
        return self.add("Concat", *[self.add("Unsqueeze", name, self.ints(1)) for name in names], axis=1)


def _members(graph: _Graph, columns: Columns, weights: Weights) -> str:
    """Add all from the raw columns to the members' outputs [members, N, outputs]."""
    parts = _numeric(graph, columns, weights) + _categorical(graph, columns, weights)
    state = graph.add("Concat", *parts, axis=1)
    state = graph.add("Mul", state, graph.constant(weights["scaling"]))
    for layer in range(sum(name.startswith("weights.") for name in weights)):
        state = graph.add("MatMul", state, graph.constant(weights[f"weights.{layer}"]))
        state = graph.add("Relu", graph.add("Add", state, graph.constant(weights[f"biases.{layer}"])))
    state = graph.add("MatMul", state, graph.constant(weights["head_weight"]))
    return graph.add("Add", state, graph.constant(weights["head_bias"]))


def _numeric(graph: _Graph, columns: Columns, weights: Weights) -> list[str]:
    """Add embedded numeric features [N, F * E] and indicators of missing values [N, M], if there are any."""
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


def _categorical(graph: _Graph, columns: Columns, weights: Weights) -> list[str]:
    """Add embedded string columns, [N, K * E], if there are any."""
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
