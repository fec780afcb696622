"""Train simple models on the candidate's training rows, and let them answer the holdout.

    python -m ml_pipeline.gate.references --config settings.json --train train.parquet \\
        --holdout holdout.parquet --output references.npz

A metric of the candidate means little alone: these say what the same rows give without any work. `constant`
answers each row alike (the classes' shares, or the mean), `linear` is a logistic or ridge regression, and
`boosting` scikit-learn's gradient boosting; all with scikit-learn's own settings. On large tables they learn
from a part of the rows, so that this takes seconds.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, TypedDict, cast

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml_pipeline.columns.arrays import to_array
from ml_pipeline.columns.types import CATEGORICAL
from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import run_stage
from ml_pipeline.gate import batches
from ml_pipeline.gate.answers import Task, truth_of
from ml_pipeline.gate.arrays import Floats, Integers
from ml_pipeline.model.inspecting import facts
from ml_pipeline.model.signature import Column

MAX_ROWS, MAX_CELLS = 50_000, 5_000_000  # that they learn from: cells are rows times columns or classes
MAX_VALUES = 250  # of a category; gradient boosting takes 255
SHOWN_TO_LINEAR = 30  # values of a category with a weight of their own


class Settings(TypedDict):
    """What the gate's settings say that matters here."""

    task: str
    target: str


class Model(Protocol):
    """An estimator of scikit-learn."""

    def fit(self, features: Floats, target: npt.NDArray[np.generic]) -> "Model": ...
    def predict(self, features: Floats) -> Floats: ...


class Classifier(Model, Protocol):
    """One that knows its classes' probabilities."""

    classes_: Integers

    def predict_proba(self, features: Floats) -> Floats: ...


class Details(TypedDict):
    """The outcome's details."""

    rows: int  # that they learned from
    columns: int


@dataclass(frozen=True)
class Encoder:
    """The features as numbers [N, F], NaN where one is missing; a category's values by how common they are.

    A column of which the training rows have one value, or none, tells nothing and is left out.
    """

    columns: Sequence[Column]
    codes: Mapping[str, Mapping[str, int]]  # of each categorical column: value → code

    @classmethod
    def of(cls, rows: pl.DataFrame, columns: Sequence[Column]) -> "Encoder":
        """Learn the codes from the training rows [N]."""
        codes = {each.name: _common(rows[each.name]) for each in columns if each.type in CATEGORICAL}
        features = cls(columns, codes).features(rows)
        return cls(
            [column for column, values in zip(columns, features.T, strict=True) if _varies(values)], codes
        )

    @property
    def categorical(self) -> list[bool]:
        """Whether each feature is a code [F]."""
        return [column.type in CATEGORICAL for column in self.columns]

    def features(self, rows: pl.DataFrame) -> Floats:
        """Return the features [N, F]."""
        features = np.empty((rows.height, len(self.columns)), order="F")
        for index, column in enumerate(self.columns):
            values = rows[column.name]
            if column.type in CATEGORICAL:
                known = self.codes[column.name]
                coded = values.cast(pl.String).replace_strict(known, default=None, return_dtype=pl.Float64)
                features[:, index] = coded.fill_null(np.nan).to_numpy()
            else:
                features[:, index] = to_array(values, column.type)
        features[~np.isfinite(features)] = np.nan
        return features

    def for_linear(self, features: Floats) -> Floats:
        """Return them with a column of 0 and 1 for each common value of a category."""
        parts = []
        for index, column in enumerate(self.columns):
            values = features[:, [index]]
            if column.type in CATEGORICAL:
                shown = np.arange(min(SHOWN_TO_LINEAR, len(self.codes[column.name])))
                values = (values == shown).astype(np.float64)
            parts.append(values)
        return np.hstack(parts)


def _varies(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return bool(known.size and known.min() < known.max())


def _common(column: pl.Series) -> dict[str, int]:
    """Return the code of each common value, the commonest first."""
    counted = column.cast(pl.String).drop_nulls().alias("value").value_counts()
    ordered = counted.sort(["count", "value"], descending=[True, False])["value"].head(MAX_VALUES)
    return {value: code for code, value in enumerate(ordered)}


def answer(settings: Settings, train: Path, holdout: Path, output: Path) -> Details:
    """Write NAME → probabilities [N, C], or values [N] for a regression; and the classes as JSON."""
    rows, asked = facts.read_rows(train, settings["target"]), batches.read_holdout(holdout)
    classes = facts.classes(rows[settings["target"]], settings["task"])
    columns = [column for column in facts.columns(rows, settings["target"]) if column.name in asked.columns]
    width = max(len(columns), len(classes or ()), 1)
    learned = rows[batches.sample(rows.height, min(MAX_ROWS, max(MAX_CELLS // width, 1000)))]
    encoder = Encoder.of(learned, columns)
    answers: dict[str, Floats] = {}
    task = Task(classes)
    truth, target = (truth_of(each, settings["target"], task) for each in (rows, learned))
    if classes is None:
        answers["constant"] = np.full(asked.height, truth[np.isfinite(truth)].mean())
    else:
        shares = np.bincount(truth, minlength=len(classes)) / len(truth)
        answers["constant"] = np.tile(shares, (asked.height, 1))
    fitted = np.isfinite(target)
    if encoder.columns and len(np.unique(target[fitted])) > 1:
        features, others = encoder.features(learned)[fitted], encoder.features(asked)
        for name, (model, shown) in _models(encoder, regression=classes is None).items():
            with warnings.catch_warnings():  # a logistic regression that is not quite done will do here
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(shown(features), target[fitted])
            answers[name] = _answers(model, shown(others), len(classes) if classes else None)
    output.parent.mkdir(parents=True, exist_ok=True)
    batches.write_npz(output, {**answers, "classes": np.array([json.dumps(classes)])})
    print(f"{', '.join(answers)}: trained on {learned.height:,} rows, {asked.height:,} rows answered")
    return {"rows": learned.height, "columns": len(columns)}


def _models(encoder: Encoder, *, regression: bool) -> dict[str, tuple[Model, Callable[[Floats], Floats]]]:
    """Return each model that learns, and how it is shown the features."""
    linear = Ridge() if regression else LogisticRegression(max_iter=300)
    impute = SimpleImputer(keep_empty_features=True)
    trees = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    boosting = trees(categorical_features=encoder.categorical, early_stopping=False, random_state=0)
    return {
        "linear": (make_pipeline(impute, StandardScaler(), linear), encoder.for_linear),
        "boosting": (boosting, lambda features: features),
    }


def _answers(model: Model, asked: Floats, classes: int | None) -> Floats:
    """Return values [N], or probabilities [N, C]: 0 for classes that the model's rows lacked."""
    if classes is None:
        return model.predict(asked)
    fitted = cast("Classifier", model)
    shares = np.zeros((len(asked), classes))
    shares[:, fitted.classes_] = fitted.predict_proba(asked)
    return shares


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program on the command line's arguments."""
    parser = command_line.parser("gate.references", __doc__)
    parser.add_argument("--config", type=Path, required=True, help="settings as JSON: task, target")
    parser.add_argument("--train", type=Path, required=True, help="train.parquet of `split`")
    parser.add_argument("--holdout", type=Path, required=True, help="holdout.parquet of `split`")
    parser.add_argument("--output", type=Path, required=True, help="the .npz file to write")
    options = parser.parse_args(arguments)
    settings: Settings = json.loads(options.config.read_text(encoding="utf-8"))
    run_stage("references", lambda: answer(settings, options.train, options.holdout, options.output))


if __name__ == "__main__":
    main()
