"""Logistic regression: its fit, and the ONNX graph that answers raw columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """P(second class) = sigmoid(row @ weights + bias), on raw values."""

    weights: Array  # [columns]
    bias: float


def fit(
    rows: Array, answers: Array, steps: int, learning_rate: float
) -> tuple[Model, list[float]]:
    """Return the model for rows [N, columns] and answers [N] of 0 and 1, and the loss by step."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scaled = (rows - mean) / scale
    weights, bias, losses = np.zeros(rows.shape[1]), 0.0, []
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-(scaled @ weights + bias)))
        wrong = chance - answers
        weights = weights - learning_rate * scaled.T @ wrong / len(rows)
        bias -= learning_rate * wrong.mean()
        chance = chance.clip(1e-12, 1 - 1e-12)
        loss = answers * np.log(chance) + (1 - answers) * np.log(1 - chance)
        losses.append(-float(loss.mean()))
    return Model(weights / scale, float(bias - mean / scale @ weights)), losses


def graph(model: Model, columns: list[str], classes: list[str]) -> onnx.ModelProto:
    """Return the graph: a float column [N] for each input; prediction [N], probabilities [N, 2]."""
    constants = {
        "weights": model.weights.astype(np.float32)[:, None],
        "bias": np.float32([model.bias]),
        "one": np.float32([1]),
        "last": np.int64([1]),
        "classes": np.array(classes, dtype=object),
    }
    node = helper.make_node
    nodes = [node("Unsqueeze", [name, "last"], [f"{name} 2d"]) for name in columns]
    nodes += [
        node("Concat", [f"{name} 2d" for name in columns], ["rows"], axis=1),
        node("Gemm", ["rows", "weights", "bias"], ["score"]),
        node("Sigmoid", ["score"], ["second"]),
        node("Sub", ["one", "second"], ["first"]),
        node("Concat", ["first", "second"], ["probabilities"], axis=1),
        node("ArgMax", ["probabilities"], ["index"], axis=1, keepdims=0),
        node("Gather", ["classes", "index"], ["prediction"]),
    ]
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "tumours",
        [value(name, TensorProto.FLOAT, ["N"]) for name in columns],
        [
            value("prediction", TensorProto.STRING, ["N"]),
            value("probabilities", TensorProto.FLOAT, ["N", 2]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    proto = helper.make_model(made, opset_imports=opset, ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    return proto
