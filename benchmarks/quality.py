"""The quality of the built-in trainer, compared with scikit-learn's models, all with default settings.

    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/quality.py
    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/quality.py --data=digits --seeds=2

Each seed makes another split, with a quarter of the rows for testing (stratified by class), and is the
models' own seed too. The built-in trainer ("ours") predicts with the ONNX graph that it exports, from raw
columns. MLPClassifier and MLPRegressor get scaled numbers and one-hot categories, HistGradientBoosting gets
categories. The output is the accuracy (in %) or the RMSE on the test rows, as mean and standard deviation
over the seeds, and the median time of a training. The last line is one JSON object: for each data set, the
difference of ours to each model in points of accuracy, or the share by which our RMSE is lower.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
from sklearn import datasets
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from ml_pipeline.training.tabular import columns, fit

Answers = Callable[[pl.DataFrame], Any]
TARGET = 85.0  # % of Adult's test rows; training.py measures the time to reach it
Reach = tuple[float, float]  # seconds, and the accuracy after them


@dataclass(frozen=True)
class Table:
    """Rows whose target is the column "target"."""

    rows: pl.DataFrame
    task: str

    @property
    def texts(self) -> list[str]:
        """The columns of strings, without the target."""
        return [name for name, dtype in self.rows.schema.items() if dtype == pl.String and name != "target"]


def table(name: str) -> Table:
    """Return one of the data sets."""
    if name == "adult":
        rows = pl.read_parquet(ROOT / "examples" / "adult" / "adult.parquet")
        return Table(rows.rename({"income": "target"}), "classification")
    if name == "friedman":
        x, y = datasets.make_friedman1(2_000, noise=1.0, random_state=0)
        return Table(_named(x, y), "regression")
    data = getattr(datasets, f"load_{name}")()
    return Table(_named(data.data, data.target), "regression" if name == "diabetes" else "classification")


def _named(x: Any, y: Any) -> pl.DataFrame:
    return pl.DataFrame({f"x{index}": column for index, column in enumerate(x.T)} | {"target": y})


def ours(rows: pl.DataFrame, task: str, seed: int, device: str = "cpu") -> Answers:
    folder = Path(tempfile.mkdtemp())
    with contextlib.redirect_stdout(io.StringIO()):
        fit.fit(rows, "target", task, {}, folder, fit.Place(seed, device, folder))
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [node.name for node in session.get_inputs()]
    return lambda held: session.run(["prediction"], {name: columns.raw(held[name]) for name in names})[0]


def perceptron(rows: pl.DataFrame, task: str, seed: int) -> Answers:
    model = (MLPClassifier if task == "classification" else MLPRegressor)(random_state=seed)
    texts = Table(rows, task).texts
    numbers = [name for name in rows.columns if name not in [*texts, "target"]]
    shaped = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), texts), (StandardScaler(), numbers)
    )
    fitted = make_pipeline(shaped, model).fit(rows.drop("target").to_pandas(), rows["target"].to_numpy())
    return lambda held: fitted.predict(held.to_pandas())


def boosting(rows: pl.DataFrame, task: str, seed: int) -> Answers:
    model_class = (
        HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    )
    texts = Table(rows, task).texts

    def shaped(frame: pl.DataFrame) -> Any:
        return frame.to_pandas().astype(dict.fromkeys(texts, "category"))

    model = model_class(random_state=seed, categorical_features="from_dtype")
    fitted = model.fit(shaped(rows.drop("target")), rows["target"].to_numpy())
    return lambda held: fitted.predict(shaped(held))


MODELS = {"ours": ours, "MLP": perceptron, "HistGradientBoosting": boosting}
DATA = ("adult", "digits", "breast_cancer", "wine", "diabetes", "friedman")


def score(answers: Any, truth: Any, task: str) -> float:
    """Return the accuracy in %, or the RMSE."""
    if task == "classification":
        return 100 * float(np.mean(np.asarray(answers) == truth))
    return float(np.sqrt(np.mean((answers - truth) ** 2)))


def compare(name: str, seeds: int) -> dict[str, float]:
    """Print a row of the table, and return how much better ours is than each other model."""
    whole = table(name)
    scores: dict[str, list[float]] = {model: [] for model in MODELS}
    seconds: dict[str, list[float]] = {model: [] for model in MODELS}
    for seed in range(seeds):
        strata = whole.rows["target"].to_numpy() if whole.task == "classification" else None
        places = np.arange(whole.rows.height)
        train_places, test_places = train_test_split(
            places, test_size=0.25, random_state=seed, stratify=strata
        )
        training, holdout = whole.rows[train_places], whole.rows[test_places]
        for model, train in MODELS.items():
            clock = time.perf_counter()
            answer = train(training, whole.task, seed)
            seconds[model].append(time.perf_counter() - clock)
            predictions = answer(holdout.drop("target"))
            scores[model].append(score(predictions, holdout["target"].to_numpy(), whole.task))
    middle = {model: statistics.mean(values) for model, values in scores.items()}
    cells = [
        f"{middle[model]:.2f} ± {statistics.stdev(values) if seeds > 1 else 0:.2f} "
        f"({statistics.median(seconds[model]):.1f} s)"
        for model, values in scores.items()
    ]
    measure = "accuracy" if whole.task == "classification" else "RMSE"
    print(f"| {name} | {whole.rows.height:,} | {measure} | {' | '.join(cells)} |", flush=True)
    if whole.task == "classification":
        return {model: round(middle["ours"] - middle[model], 3) for model in MODELS if model != "ours"}
    return {model: round(1 - middle["ours"] / middle[model], 4) for model in MODELS if model != "ours"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", action="append", choices=DATA, help="a data set; may be repeated (default: all)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="number of splits (default: 5)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="sklearn")  # the MLP does not converge in 200 iterations
    print(f"| data | rows | measure | {' | '.join(MODELS)} |\n|---|---|---|{'---|' * len(MODELS)}")
    print(json.dumps({name: compare(name, options.seeds) for name in options.data or DATA}))


if __name__ == "__main__":
    main()
