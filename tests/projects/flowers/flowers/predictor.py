"""Answers requests with the model that lies beside this file."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np

loaded: dict[str, Any] = {}


def load(folder: str) -> None:
    """Load the model and the names of its columns; called once."""
    loaded["model"] = joblib.load(Path(folder) / "model.joblib")
    loaded["columns"] = json.loads((Path(folder) / "columns.json").read_text())


def predict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a species a row, and the probabilities of all in alphabetical order."""
    table = np.array(
        [[row[name] for name in loaded["columns"]] for row in rows], dtype=float
    )
    probabilities = loaded["model"].predict_proba(table)
    names = loaded["model"].classes_[probabilities.argmax(axis=1)]
    return {"predictions": names.tolist(), "probabilities": probabilities}
