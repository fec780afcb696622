"""The training command: a pipeline of scikit-learn, and the predictor that answers with it."""

import json
import os
import shutil
from pathlib import Path

import joblib
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

TARGET = "species"


def fit(frame: pl.DataFrame, seed: int) -> Pipeline:
    """Return a model whose columns are the frame's, without the target, in their order."""
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))
    return model.fit(frame.drop(TARGET).to_numpy(), frame[TARGET].to_numpy())


def main() -> None:
    """Train on ML_DATA; write the model, its columns and the predictor to ML_OUTPUT."""
    frame = pl.read_parquet(os.environ["ML_DATA"])
    output = Path(os.environ["ML_OUTPUT"])
    model = fit(frame, int(os.environ["ML_SEED"]))
    joblib.dump(model, output / "model.joblib")
    (output / "columns.json").write_text(json.dumps(frame.drop(TARGET).columns))
    shutil.copy(Path(__file__).with_name("predictor.py"), output)
    print(f"fitted on {frame.height} flowers")


if __name__ == "__main__":
    main()
