"""A model's signature, `model.json`: its name, the columns it takes, the classes it answers.

All that read the file read it here; `inspect_model` writes it. Standard library only.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from ml_pipeline.columns.text import Decimal
from ml_pipeline.common.outcome import StageFailure

FORMAT = 1  # the only one so far; it has been in the file since there is such a file
TYPES = ("integer", "number", "string", "boolean", "datetime")
TRAIN_AGAIN = "train again, so that the pipeline writes the signature"
RUN_INSPECT = "run inspect-model, which writes it"

Label = str | int | float | bool  # a class


class ColumnDocument(TypedDict):
    """One entry of `columns`."""

    name: str
    type: str
    nullable: bool
    # Only where the training data needed them; see Column.
    missing: NotRequired[list[Label]]
    decimal: NotRequired[str]
    format: NotRequired[str]


class SignatureDocument(TypedDict):
    """`model.json` as JSON has it."""

    format: int
    name: str
    version: str
    task: str  # classification or regression
    runtime: str | None  # onnx or python; None: metrics alone, nothing that can be served
    columns: list[ColumnDocument]
    classes: list[Label] | None  # in the order of the probabilities; None for a regression
    positive: Label | None  # of two classes, the one that metrics count as 1
    example: dict[str, object]


@dataclass(frozen=True)
class Column:
    """A column that the model takes. `type` is one of TYPES; a null in it is allowed if `nullable`.

    `missing` are values that stand for null. `decimal` is the sign in numbers of a CSV. `format` says how
    times are written that are not ISO 8601, in strptime's directives.
    """

    name: str
    type: str
    nullable: bool
    missing: tuple[Label, ...] = ()
    decimal: Decimal = "."
    format: str | None = None

    def document(self) -> ColumnDocument:
        """Return the entry of `columns` in model.json."""
        document = ColumnDocument(name=self.name, type=self.type, nullable=self.nullable)
        if self.missing:
            document["missing"] = list(self.missing)
        if self.decimal != ".":
            document["decimal"] = self.decimal
        if self.format:
            document["format"] = self.format
        return document


@dataclass(frozen=True)
class Signature:
    """What a model says of itself; see SignatureDocument. `classes` is empty for a regression."""

    name: str
    version: str
    task: str
    runtime: str | None
    columns: tuple[Column, ...]
    classes: tuple[Label, ...] = ()
    positive: Label | None = None
    example: Mapping[str, object] = field(default_factory=dict)

    def document(self) -> SignatureDocument:
        """Return the content of model.json."""
        return SignatureDocument(
            format=FORMAT,
            name=self.name,
            version=self.version,
            task=self.task,
            runtime=self.runtime,
            columns=[column.document() for column in self.columns],
            classes=None if self.task == "regression" else list(self.classes),
            positive=self.positive,
            example=dict(self.example),
        )


def read_signature(path: Path, hint: str = RUN_INSPECT) -> Signature:
    """Read and check a model.json. Raises `StageFailure`, with `hint` where the file can't be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StageFailure(f"{path} can't be read ({error.strerror})", hint) from None
    except ValueError as error:
        raise StageFailure(f"{path} is not JSON ({error})", TRAIN_AGAIN) from None
    if not isinstance(document, dict):
        raise StageFailure(f"{path} is not a JSON object", TRAIN_AGAIN)
    _check(document, path)
    return Signature(
        name=document["name"],
        version=document["version"],
        task=document["task"],
        runtime=document["runtime"],
        columns=tuple(map(column_of, document["columns"])),
        classes=tuple(document.get("classes") or ()),
        positive=document.get("positive"),
        example=document["example"],
    )


def column_of(document: ColumnDocument) -> Column:
    """Return a column as model.json has it, and as it was checked."""
    return Column(
        document["name"],
        document["type"],
        bool(document.get("nullable")),
        tuple(document.get("missing", ())),
        "," if document.get("decimal") == "," else ".",
        document.get("format"),
    )


def _check(document: dict[str, object], path: Path) -> None:
    if document.get("format") != FORMAT:
        cause = f"{path} has format {document.get('format')!r}, and this version reads format {FORMAT} only"
        raise StageFailure(cause, "train again, or use the version of ml-pipeline that wrote it")
    for key in ("name", "version", "task", "runtime", "columns", "example"):
        if key not in document:
            raise StageFailure(f"{path} has no {key!r}", TRAIN_AGAIN)
    classes, positive = document.get("classes"), document.get("positive")
    expected = {
        "name": ("a string", isinstance(document["name"], str)),
        "version": ("a string", isinstance(document["version"], str)),
        "task": ("classification or regression", document["task"] in ("classification", "regression")),
        "runtime": ("onnx, python or null", document["runtime"] in ("onnx", "python", None)),
        "columns": ("a list", isinstance(document["columns"], list)),
        "classes": ("a list of labels", classes is None or _are_labels(classes)),
        "positive": ("a label", positive is None or _are_labels([positive])),
        "example": ("an object", isinstance(document["example"], dict)),
    }
    for key, (words, fits) in expected.items():
        if not fits:
            cause = f"{path} has {key} {document.get(key)!r}, expected {words}"
            raise StageFailure(cause[:400], TRAIN_AGAIN)
    for column in cast("list[object]", document["columns"]):
        _check_column(column, path)


def _check_column(column: object, path: Path) -> None:
    if not isinstance(column, dict) or not isinstance(column.get("name"), str):
        raise StageFailure(f"{path} has a column without a name", TRAIN_AGAIN)
    if column.get("type") not in TYPES:
        cause = f"{path} gives column {column['name']!r} the type {column.get('type')!r}"
        raise StageFailure(cause, f"use one of {', '.join(TYPES)}")
    if not isinstance(column.get("nullable"), bool):
        raise StageFailure(f"{path} does not say whether column {column['name']!r} is nullable", TRAIN_AGAIN)
    if not _are_labels(column.get("missing", [])) or not isinstance(column.get("format", ""), str):
        raise StageFailure(f"{path} has wrong rules for column {column['name']!r}", TRAIN_AGAIN)


def _are_labels(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, Label) for value in values)
