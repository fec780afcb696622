"""A model's signature, `model.json`: its name, the columns it takes, the classes it answers."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_pipeline.common.outcome import StageFailure

TYPES = ("integer", "number", "string", "boolean", "datetime")
TRAIN_AGAIN = "train again, so that the pipeline writes the signature"


@dataclass(frozen=True)
class Column:
    """A column that the model takes. `type` is one of TYPES; a null in it is allowed if `nullable`."""

    name: str
    type: str
    nullable: bool


@dataclass(frozen=True)
class Signature:
    """What a served model says of itself. `classes` is empty for regression."""

    name: str
    version: str
    task: str
    runtime: str
    columns: tuple[Column, ...]
    classes: tuple[Any, ...]
    example: dict[str, Any]
    document: dict[str, Any]  # model.json as it is


def read_signature(folder: Path) -> Signature:
    """Read and check `folder`/model.json. Raises `StageFailure`."""
    path = folder / "model.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        signature = Signature(
            name=document["name"],
            version=document["version"],
            task=document["task"],
            runtime=document["runtime"],
            columns=tuple(
                Column(column["name"], column["type"], bool(column["nullable"]))
                for column in document["columns"]
            ),
            classes=tuple(document.get("classes") or ()),
            example=dict(document["example"]),
            document=document,
        )
    except OSError as error:
        cause = f"{path} can't be read ({error.strerror})"
        raise StageFailure(cause, "mount the model's folder, or name it by ML_MODEL or --model") from None
    except KeyError as error:
        raise StageFailure(f"{path} has no {error.args[0]!r}", TRAIN_AGAIN) from None
    except (ValueError, TypeError) as error:
        raise StageFailure(f"{path} is no signature ({error})", TRAIN_AGAIN) from None
    _check(signature, path)
    return signature


def _check(signature: Signature, path: Path) -> None:
    unknown = [column for column in signature.columns if column.type not in TYPES]
    if unknown:
        cause = f"{path} gives column {unknown[0].name!r} the type {unknown[0].type!r}"
        raise StageFailure(cause, f"use one of {', '.join(TYPES)}")
    if signature.task not in {"classification", "regression"} or signature.runtime not in {"onnx", "python"}:
        cause = f"{path} has task {signature.task!r} and runtime {signature.runtime!r}"
        raise StageFailure(cause, TRAIN_AGAIN)
    if signature.task == "classification" and len(signature.classes) < 2:
        raise StageFailure(f"{path} names {len(signature.classes)} classes", TRAIN_AGAIN)
    if not signature.columns:
        raise StageFailure(f"{path} names no columns", TRAIN_AGAIN)
