"""Bottles as a served model wants them."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

Bottle = dict[str, float]


def read(path: Path) -> list[tuple[Bottle, str]]:
    """Return every bottle of a CSV file, and its cultivar."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    cultivars = [row.pop("cultivar") for row in rows]
    bottles = [{name: float(value) for name, value in row.items()} for row in rows]
    return list(zip(bottles, cultivars, strict=True))


def question(bottles: Iterable[Bottle]) -> str:
    """Return the body of POST /predict that asks for these bottles."""
    return json.dumps({"instances": list(bottles)})
