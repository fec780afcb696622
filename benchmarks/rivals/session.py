"""ONNX Runtime as one would use it without us: rows in, documents out, nothing checked."""

import os
from typing import Any

import numpy as np
import onnxruntime


class Session:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = f"{os.environ['ML_MODEL']}/model.onnx"
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._types = {
            node.name: object if node.type == "tensor(string)" else np.float32
            for node in self._session.get_inputs()
        }

    def feeds(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {name: np.array([[row[name]] for row in rows], kind) for name, kind in self._types.items()}

    def run(self, feeds: dict[str, Any]) -> list[Any]:
        return list(self._session.run(["prediction", "probabilities"], feeds))

    def predict(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        predictions, probabilities = self.run(self.feeds(rows))
        return {"predictions": predictions.tolist(), "probabilities": probabilities.tolist()}
