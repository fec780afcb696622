"""One table of the five types, which schema, signature, server and OpenAPI read."""

import math
from typing import get_args

import pytest

from ml_pipeline.columns import types


def test_each_type_has_a_form_and_no_other_has() -> None:
    assert tuple(types.FORMS) == types.TYPES == get_args(types.ColumnType)
    assert {*types.TYPES, *types.NOT_FEATURES} == set(get_args(types.TableType))


@pytest.mark.parametrize("column_type", types.TYPES)
def test_the_datatype_that_the_server_names_is_one_that_it_takes(column_type: str) -> None:
    form = types.FORMS[column_type]
    assert form.datatype in form.datatypes
    assert form.exact <= form.python


def test_a_column_is_compared_by_size_or_by_value() -> None:
    assert set(types.TYPES) == types.ORDERED | types.CATEGORICAL
    assert not types.ORDERED & types.CATEGORICAL


def test_only_the_two_types_of_numbers_stand_for_each_other() -> None:
    pairs = {(one, other) for one in types.TYPES for other in types.TYPES if types.compatible(one, other)}
    assert pairs - {(name, name) for name in types.TYPES} == {("integer", "number"), ("number", "integer")}


def test_missing_values() -> None:
    assert types.missing_value("string") == ""
    numbers = [types.missing_value(name) for name in types.TYPES if name != "string"]
    assert all(isinstance(value, float) and math.isnan(value) for value in numbers)


def test_json_schema() -> None:
    assert types.json_schema("number", nullable=False) == {"type": "number"}
    assert types.json_schema("boolean", nullable=True) == {"anyOf": [{"type": "boolean"}, {"type": "null"}]}
    assert types.json_schema("string", nullable=False) == {"type": "string", "minLength": 1}
    assert types.json_schema("string", nullable=True) == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert len(types.json_schema("datetime", nullable=True)["anyOf"]) == 3  # type: ignore[arg-type]
