"""Fields of Kubernetes objects: what is absent, or of another type, is empty."""

from ml_pipeline.cluster import fields

POD = {
    "metadata": {"name": "one", "labels": {"a": "b"}},
    "status": {"phase": "Running", "restarts": 2, "conditions": [{"type": "Ready"}, "odd"]},
    "spec": None,
}


def test_a_field_is_read_by_its_path() -> None:
    assert fields.text(POD, "status", "phase") == "Running"
    assert fields.integer(POD, "status", "restarts") == 2
    assert fields.table(POD, "metadata", "labels") == {"a": "b"}
    assert fields.objects(POD, "status", "conditions") == [{"type": "Ready"}]
    assert fields.name_of(POD) == "one"


def test_an_absent_field_is_empty() -> None:
    for path in (("gone",), ("spec", "gone"), ("status", "phase", "gone")):
        assert fields.at(POD, *path) is None
        assert fields.text(POD, *path) == ""
        assert fields.integer(POD, *path) == 0
        assert fields.table(POD, *path) == {}
        assert fields.objects(POD, *path) == []


def test_a_field_of_another_type_is_empty() -> None:
    assert fields.text(POD, "status", "restarts") == ""
    assert fields.integer(POD, "status", "phase") == 0
    assert fields.objects(POD, "status", "phase") == []
    assert fields.table(POD, "status", "conditions") == {}
