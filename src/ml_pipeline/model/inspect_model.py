"""Check what training wrote, and write the model's signature, model.json.

    python -m ml_pipeline.model.inspect_model --model FOLDER --data train.parquet \\
        --record record.json --text text.json --config settings.json --name NAME --output OUT

model.onnx is opened as the serving image opens it, and has to answer an example and some training rows.
predictor.py is only parsed. For a folder with metrics.json alone, the signature's runtime is null. If all is
well, OUT gets the files of the image, model.json, and record.json: the summary of the training data, with
which later data is compared, and for a graph also of its predictions for these rows.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, NotRequired, TypedDict

import polars as pl

from ml_pipeline.columns.text import NO_RULES, TextRules
from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.distributions.record import Record, RecordError, read, write
from ml_pipeline.model.inspecting import facts
from ml_pipeline.model.inspecting.answers import distribution
from ml_pipeline.model.inspecting.graphs import inspect_graph
from ml_pipeline.model.inspecting.predictors import check_predictor
from ml_pipeline.model.signature import Column, Label, Signature
from ml_pipeline.serving.contract import RECORD, SIGNATURE


class Rules(TypedDict):
    """What a column's schema says that matters here."""

    nullable: NotRequired[bool]


class Settings(TypedDict):
    """What the train stage's settings say that matters here."""

    task: str
    target: str
    positive: NotRequired[Label | None]
    columns: NotRequired[dict[str, Rules]]


class Details(TypedDict):
    """The outcome's details."""

    version: str
    runtime: str | None
    classes: list[Label] | None
    positive: Label | None  # of two classes
    chosen: bool  # whether it is the rarer one, because data.positive is not set
    columns: int


def inspect(
    folder: Path,
    data: Path,
    record: Path,
    settings: Settings,
    name: str,
    output: Path,
    rules: TextRules = NO_RULES,
) -> Details:
    """Check the model in `folder`; write the files of its image, with model.json, into `output`.

    Returns the outcome's details. Raises `StageFailure`.
    """
    runtime = _runtime(folder)
    target, positive = settings["target"], settings.get("positive")
    rows = facts.read_rows(data, target)
    columns = facts.columns(rows, target)
    classes = facts.classes(rows[target], settings["task"])
    answers = None
    if runtime == "onnx":
        schema = settings.get("columns") or {}
        required = {column for column, rules in schema.items() if rules.get("nullable") is False}
        columns, classes = inspect_graph(folder / "model.onnx", rows, columns, classes, required)
        answers = distribution(folder / "model.onnx", rows, columns, classes)
    elif runtime == "python":
        check_predictor(folder / "predictor.py")
    if positive is not None and classes is not None and positive not in classes:
        raise StageFailure(
            f"data.positive is {positive!r}, which is not a class of {target!r}",
            f"the classes are {', '.join(map(repr, classes[:8]))}",
        )
    signature = Signature(
        name=name,
        version=facts.version(folder),
        task=settings["task"],
        runtime=runtime,
        columns=tuple(_with_rules(column, rules) for column in columns),
        classes=tuple(classes or ()),
        positive=_positive(positive, rows[target], classes),
        example=facts.example(rows, columns),
    )
    for path in facts.served(folder):
        copy = output / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(signature.document(), indent=1, ensure_ascii=False)
    (output / SIGNATURE).write_text(text + "\n", encoding="utf-8")
    if answers:
        write(replace(_recorded(record), predictions=answers), output / RECORD)
    else:
        shutil.copyfile(record, output / RECORD)
    what = {"onnx": "model.onnx", "python": "predictor.py", None: "metrics alone"}[runtime]
    print(f"{what}, version {signature.version}: {len(columns)} columns, classes {classes}")
    return {
        "version": signature.version,
        "runtime": runtime,
        "classes": classes,
        "positive": signature.positive,
        "chosen": signature.positive is not None and positive is None,
        "columns": len(columns),
    }


def _positive(named: Label | None, target: pl.Series, classes: list[Label] | None) -> Label | None:
    """Return which of two classes counts as 1: the one that is named, else the rarer one."""
    if classes is None or len(classes) != 2:
        return None
    if named is not None:
        return named
    first, second = (int((target == label).sum()) for label in classes)
    rarer = classes[0] if first < second else classes[1]
    print(f"data.positive is not set: {rarer!r}, the rarer class, counts as positive")
    return rarer


def _with_rules(column: Column, rules: TextRules) -> Column:
    is_time = column.type == "datetime"
    return replace(
        column,
        missing=rules.missing,
        decimal="," if column.name in rules.commas else ".",
        format=rules.formats.get(column.name) if is_time else None,
    )


def _text(path: Path | None) -> TextRules:
    if path is None:
        return NO_RULES
    document = json.loads(path.read_text(encoding="utf-8"))
    return TextRules(tuple(document["missing"]), frozenset(document["commas"]), document["formats"])


def _recorded(path: Path) -> Record:
    try:
        return read(path)
    except RecordError as error:
        raise StageFailure(f"{path} can't be read: {error}", "split the data again") from None


def _runtime(folder: Path) -> str | None:
    for runtime, name in (("onnx", "model.onnx"), ("python", "predictor.py"), (None, "metrics.json")):
        if (folder / name).is_file():
            return runtime
    cause = f"{folder} has none of model.onnx, predictor.py and metrics.json"
    raise StageFailure(cause, "let the training write one of them")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the inspection with the command line's arguments."""
    parser = command_line.parser("model.inspect_model", __doc__)
    parser.add_argument("--model", type=Path, required=True, help="the folder that training wrote")
    parser.add_argument(
        "--data", type=Path, required=True, help="the training rows: train.parquet of `split`"
    )
    parser.add_argument(
        "--record", type=Path, required=True, help="the record of these rows: record.json of `split`"
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="the settings of the train stage: a JSON file"
    )
    parser.add_argument("--text", type=Path, help="how their texts were read: text.json of `split`")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--output", type=Path, required=True, help="the folder for the image's files")
    options = parser.parse_args(arguments)

    def body() -> dict[str, object]:
        settings = json.loads(options.config.read_text(encoding="utf-8"))
        paths = options.model, options.data, options.record
        return {**inspect(*paths, settings, options.name, options.output, _text(options.text))}

    run_stage("inspect-model", body)


if __name__ == "__main__":
    main()
