"""The second step: least squares in five folds, and how much of the variance each explains."""

import json
import os
from pathlib import Path

import numpy as np

FOLDS = 5


def explained(table: np.ndarray, seed: int) -> list[float]:
    """Return R² on each fold, by a fit to the others."""
    parts = np.array_split(np.random.default_rng(seed).permutation(len(table)), FOLDS)
    found = []
    for held in parts:
        kept = np.setdiff1d(np.arange(len(table)), held)
        weights, *_ = np.linalg.lstsq(table[kept, :-1], table[kept, -1])
        error = table[held, -1] - table[held, :-1] @ weights
        found.append(
            float(
                1
                - (error**2).sum()
                / ((table[held, -1] - table[held, -1].mean()) ** 2).sum()
            )
        )
    return found


def main() -> None:
    """Read the first step's table, write metrics.json."""
    output = Path(os.environ["ML_OUTPUT"])
    found = explained(
        np.load(output / "table.npy", allow_pickle=False), int(os.environ["ML_SEED"])
    )
    (output / "metrics.json").write_text(
        json.dumps({"explained": float(np.mean(found)), "folds": len(found)})
    )
    print(f"explained: {np.mean(found):.3f}")


if __name__ == "__main__":
    main()
