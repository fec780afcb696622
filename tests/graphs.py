"""Graphs for the inspection, good and bad, and rows for them."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from onnx import TensorProto, helper


def members(rows: int = 60) -> pl.DataFrame:
    """Return rows for the graph of `programs`, some values missing; each note is different."""
    start = datetime(2024, 1, 1)
    return pl.DataFrame(
        {
            "age": [20 + row % 41 for row in range(rows)],
            "job": ["clerk", "clerk", "smith", None] * (rows // 4),
            "member": [True, True, None] * (rows // 3),
            "seen": [start + timedelta(days=row) if row % 5 else None for row in range(rows)],
            "note": [f"note of {row}" for row in range(rows)],
            "club": ["yes", "no"] * (rows // 2),
        }
    )


def simple(
    inputs: dict[str, int] | None = None,
    nodes: list[Any] | None = None,
    outputs: dict[str, tuple[int, list[Any]]] | None = None,
    batch: Any = "N",
) -> bytes:
    """Return a graph of `age` alone: P(yes) = age / 100, as [N, 2]; its constants can be used in `nodes`."""
    constants = [
        helper.make_tensor("hundred", TensorProto.FLOAT, [], [100.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("names", TensorProto.STRING, [2], [b"no", b"maybe"]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
    ]
    first = [
        helper.make_node("Div", ["age", "hundred"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "last"], ["yes"]),
        helper.make_node("Sub", ["one", "yes"], ["no"]),
        helper.make_node("Concat", ["no", "yes"], ["chances"], axis=1),
    ]
    outputs = {"chances": (TensorProto.FLOAT, [batch, 2])} if outputs is None else outputs
    body = helper.make_graph(
        first + (nodes or []),
        "simple",
        [
            helper.make_tensor_value_info(name, kind, [batch])
            for name, kind in (inputs or {"age": TensorProto.FLOAT}).items()
        ],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        constants,
    )
    return bytes(
        helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    )
