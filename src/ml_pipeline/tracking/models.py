"""MLflow's model registry: one version of each model that passed its gate, and two aliases.

`candidate` is the last that passed, `champion` what is released.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_pipeline.tracking.experiment import CANDIDATE, CHAMPION, IMAGE, VERDICT, VERSION, Tracked
from ml_pipeline.tracking.server import Refused, Server

MODEL = "model"  # the folder of a run's artifacts that is registered


def register(server: Server, name: str, wanted: Tracked, run: Mapping[str, Any]) -> dict[str, Any]:
    """Register what passed the gate; take the candidate's name from what does not pass it any more."""
    assert wanted.version is not None  # noqa: S101
    number = _registered(server, name, wanted.version)
    if wanted.passed and not number:
        number = _new_version(server, name, wanted.version, run)
    if not number:
        return {}
    for key in (VERDICT, IMAGE):
        if key in wanted.tags:
            tag = {"name": name, "version": number, "key": key, "value": wanted.tags[key]}
            server.post("model-versions/set-tag", tag)
    if wanted.passed:
        _alias(server, name, CANDIDATE, number)
    elif wanted.passed is False and _aliases(server, name).get(CANDIDATE) == number:
        server.delete("registered-models/alias", {"name": name, "alias": CANDIDATE})
    return {"version": number}


def released(server: Server, name: str, version: str) -> dict[str, Any]:
    """Let `champion` be what is released: of a model that is not registered, no version is."""
    number = _registered(server, name, version)
    if number:
        _alias(server, name, CHAMPION, number)
    elif CHAMPION in _aliases(server, name):
        server.delete("registered-models/alias", {"name": name, "alias": CHAMPION})
    print(f"{CHAMPION} of {name}: {f'version {number}' if number else 'none, for it is not registered'}")
    return {"champion": number}


def describe(model: Path) -> None:
    """Let MLflow load the registered model (mlflow.onnx.load_model), unless the project has seen to that."""
    if (model / "model.onnx").exists() and not (model / "MLmodel").exists():
        (model / "MLmodel").write_text('{"flavors": {"onnx": {"data": "model.onnx"}}}\n')  # JSON is YAML


def _new_version(server: Server, name: str, version: str, run: Mapping[str, Any]) -> str:
    try:
        server.post("registered-models/create", {"name": name})
    except Refused as refused:
        if refused.code != "RESOURCE_ALREADY_EXISTS":
            raise
    document = {
        "name": name,
        "source": f"{run['artifact_uri']}/{MODEL}",
        "run_id": run["run_id"],
        "tags": [{"key": VERSION, "value": version}],
    }
    return str(server.post("model-versions/create", document)["model_version"]["version"])


def _registered(server: Server, name: str, version: str) -> str | None:
    """Return the number of a model version, by MLflow's count."""
    wanted = {"filter": f"name = '{name}' and tags.`{VERSION}` = '{version}'", "max_results": "1"}
    found = server.get("model-versions/search", **wanted).get("model_versions")
    return str(found[0]["version"]) if found else None


def _alias(server: Server, name: str, alias: str, number: str) -> None:
    server.post("registered-models/alias", {"name": name, "alias": alias, "version": number})


def _aliases(server: Server, name: str) -> dict[str, str]:
    """Return alias → version."""
    model = (server.found("registered-models/get", name=name) or {}).get("registered_model", {})
    return {entry["alias"]: str(entry["version"]) for entry in model.get("aliases", [])}
