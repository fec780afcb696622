"""The schema of verdict.json is made from its types."""

import json
from pathlib import Path

from ml_pipeline.gate import verdict_schema


def test_the_schema_is_made_from_the_types() -> None:
    path = Path(verdict_schema.__file__).parent / "verdict.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == verdict_schema.document(), verdict_schema.__doc__


def test_an_optional_key_is_not_required() -> None:
    schema = verdict_schema.document()
    assert set(schema["properties"]) - set(schema["required"]) == {
        "requests",
        "no_interval",
        "notes",
        "row_groups",
        "time_blocks",
        "references",
        "no_better",
        "group_rows",
    }
