"""How the running image answers the same rows with one column changed."""

import contextlib
import http.client
import json
import math
from collections.abc import Iterator, Sequence

import numpy as np

from ml_pipeline.gate.arrays import Booleans
from ml_pipeline.gate.behaviour import REGRESSION, Behaviour
from ml_pipeline.gate.documents import Instance, Value
from ml_pipeline.gate.probe import Answer, Probe, Service
from ml_pipeline.model.signature import ColumnDocument

MAX_VALUES = 8  # of a sensitive column: the ones that the requests have
UNSEEN = "a value that no row has"
CELLS = 2_000_000  # values in all requests of one kind: with many columns, some of them are changed
FAR = 10  # times the range that the requests have

Rows = Sequence[Instance]


def measure(
    url: str,
    instances: Rows,
    answered: Probe,
    columns: Sequence[ColumnDocument],
    sensitive: Sequence[str],
    *,
    regression: bool,
) -> Behaviour:
    """Ask the running image the same rows with one column changed.

    sensitive_flip_rate: the share of rows whose class changes with some sensitive column's value alone.
    missing_value_flip_rate, missing_value_refusals: without the value of one column that may be missing,
    the share of answers that change, and the share of columns without which the image refuses.
    out_of_range_errors: the share of values far outside the rows' range that the image neither answers
    with finite numbers nor refuses as bad input.
    """
    service, behaviour = Service(url), Behaviour()
    read = [column["name"] for column in columns if column["name"] in sensitive]
    with contextlib.closing(service.connection):
        _flips(behaviour, service, instances, answered, read)
        some = _some(columns, instances)
        if len(some) < len(columns):
            print(f"{len(some)} of the {len(columns)} columns are changed, evenly spread", flush=True)
        _without_values(behaviour, service, instances, answered, some)
        _far_values(behaviour, service, instances, some)
    if regression:
        for name in ("sensitive_flip_rate", "missing_value_flip_rate"):
            behaviour.values.pop(name, None)
            behaviour.intervals.pop(name, None)
            behaviour.missing[name] = REGRESSION
    return behaviour


def _some(columns: Sequence[ColumnDocument], instances: Rows) -> list[ColumnDocument]:
    """Return columns for which all requests together have CELLS values, evenly spread.

    Each column asks for all rows again, of all columns: the time would grow with the square of their number.
    """
    size = max(1, CELLS // max(1, len(instances) * len(columns)))
    places = np.linspace(0, len(columns) - 1, min(size, len(columns))).round().astype(int)
    return [columns[place] for place in sorted(set(places.tolist()))]


def _flips(
    behaviour: Behaviour, service: Service, instances: Rows, answered: Probe, columns: Sequence[str]
) -> None:
    if not columns:
        behaviour.missing["sensitive_flip_rate"] = "the model reads no sensitive column"
        return
    flipped: Booleans = np.zeros(len(instances), dtype=bool)
    for column in columns:
        values = {json.dumps(row[column]): row[column] for row in instances if row[column] is not None}
        for key in sorted(values)[:MAX_VALUES]:
            _, answers = _ask(service, _changed(instances, column, values[key]))
            if answers:
                flipped |= _differ(answers, answered)
    behaviour.share("sensitive_flip_rate", flipped)


def _without_values(
    behaviour: Behaviour,
    service: Service,
    instances: Rows,
    answered: Probe,
    columns: Sequence[ColumnDocument],
) -> None:
    optional = [column["name"] for column in columns if column.get("nullable")]
    if not optional:
        reason = "the model has no column that may be missing"
        behaviour.missing |= dict.fromkeys(("missing_value_flip_rate", "missing_value_refusals"), reason)
        return
    changed, refused = [], 0
    for column in optional:
        _, answers = _ask(service, _changed(instances, column, None))
        if answers:
            changed.append(_differ(answers, answered))
        else:
            refused += 1
    behaviour.values["missing_value_refusals"] = refused / len(optional)
    if changed:
        behaviour.share("missing_value_flip_rate", np.mean(changed, axis=0))
    else:
        behaviour.missing["missing_value_flip_rate"] = "the image refuses every missing value"


def _far_values(
    behaviour: Behaviour, service: Service, instances: Rows, columns: Sequence[ColumnDocument]
) -> None:
    broken = []
    for column in columns:
        for value in _outside(column, [row[column["name"]] for row in instances]):
            status, answers = _ask(service, _changed(instances, column["name"], value))
            refused = 400 <= status < 500
            broken.append(not refused and not (answers and _is_finite(answers)))
    if broken:
        behaviour.values["out_of_range_errors"] = float(np.mean(broken))
    else:
        behaviour.missing["out_of_range_errors"] = "the model reads no numbers and no strings"


def _outside(column: ColumnDocument, values: Sequence[Value]) -> Iterator[Value]:
    if column["type"] == "string":
        yield UNSEEN
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if column["type"] in {"integer", "number"} and numbers:
        room = FAR * (max(numbers) - min(numbers) or 1)
        yield max(numbers) + room
        yield min(numbers) - room


def _changed(instances: Rows, column: str, value: Value) -> list[Instance]:
    return [{**row, column: value} for row in instances]


def _ask(service: Service, rows: Rows) -> tuple[int, Answer | None]:
    """Return the status, and the answer where it is 200; 500 if the connection or the answer is broken."""
    try:
        status, text = service.ask("POST", "/predict", json.dumps({"instances": rows}).encode())
        if status != 200:
            return status, None
        answer: Answer = json.loads(text)
        return (200, answer) if len(answer["predictions"]) == len(rows) else (500, None)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        service.connection.close()
        return 500, None


def _differ(answers: Answer, answered: Probe) -> Booleans:
    pairs = zip(answers["predictions"], answered.predictions, strict=True)
    return np.asarray([one != other for one, other in pairs])


def _is_finite(answer: Answer) -> bool:
    flat = [*answer["predictions"], *(share for row in answer.get("probabilities") or () for share in row)]
    return all(
        value is not None and not (isinstance(value, float) and not math.isfinite(value)) for value in flat
    )
