"""Typed access to the fields of Kubernetes objects, which are JSON.

A field that is absent, or that holds a value of another type, is an empty value: the API server leaves out
what is empty, so no reader may depend on a field that is there.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Object: TypeAlias = Mapping[str, Json]


def at(value: Json, *path: str) -> Json:
    """Return the value at a path of keys, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def text(value: Json, *path: str) -> str:
    """Return the string at a path, or ""."""
    field = at(value, *path)
    return field if isinstance(field, str) else ""


def integer(value: Json, *path: str) -> int:
    """Return the integer at a path, or 0."""
    field = at(value, *path)
    return field if isinstance(field, int) else 0


def table(value: Json, *path: str) -> Object:
    """Return the object at a path, or an empty one."""
    field = at(value, *path)
    return field if isinstance(field, Mapping) else {}


def objects(value: Json, *path: str) -> list[Object]:
    """Return the objects of the list at a path, or an empty list."""
    field = at(value, *path)
    return [each for each in field if isinstance(each, Mapping)] if isinstance(field, list | tuple) else []


def name_of(thing: Object) -> str:
    """Return an object's name."""
    return text(thing, "metadata", "name")


def labels_of(thing: Object) -> Object:
    """Return an object's labels."""
    return table(thing, "metadata", "labels")


def annotations_of(thing: Object) -> Object:
    """Return an object's annotations."""
    return table(thing, "metadata", "annotations")


def containers_of(thing: Object) -> list[Object]:
    """Return the containers in the pod template of a Deployment, a ReplicaSet or a Job."""
    return objects(thing, "spec", "template", "spec", "containers")
