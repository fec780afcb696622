"""MLflow's model registry: one version of each model that passed its gate, and two aliases.

`candidate` is the last version that passed, `champion` the released one.
"""

from pathlib import Path

from ml_pipeline.tracking.answers import ModelAnswer, OneRun, RunInfo, VersionCreated, Versions
from ml_pipeline.tracking.experiment import CANDIDATE, CHAMPION, IMAGE, VERDICT, VERSION, Tracked
from ml_pipeline.tracking.server import Refused, Server

MODEL = "model"  # the folder of a run's artifacts that is registered


def register(server: Server, name: str, run: Tracked, info: RunInfo) -> dict[str, str]:
    """Register a model that passed. The alias `candidate` stays with the last version that did."""
    assert run.version is not None  # noqa: S101
    number = _number(server, name, run.version)
    if run.passed and not number:
        number = _new_version(server, name, run.version, info)
    if not number:
        return {}
    for key in (VERDICT, IMAGE):
        if key in run.tags:
            tag = {"name": name, "version": number, "key": key, "value": run.tags[key]}
            server.send("model-versions/set-tag", tag)
    if run.passed:
        _set_alias(server, name, CANDIDATE, number)
    elif run.passed is False and _aliases(server, name).get(CANDIDATE) == number:
        passed = _loadable(server, name, VERDICT, "passed")
        if passed:
            _set_alias(server, name, CANDIDATE, passed[-1])
        else:
            server.delete("registered-models/alias", {"name": name, "alias": CANDIDATE})
    return {"version": number}


def released(server: Server, name: str, version: str) -> dict[str, str | None]:
    """Set `champion` to the released version; remove it where that model is not registered."""
    number = _number(server, name, version)
    if number:
        _set_alias(server, name, CHAMPION, number)
    elif CHAMPION in _aliases(server, name):
        server.delete("registered-models/alias", {"name": name, "alias": CHAMPION})
    print(f"{CHAMPION} of {name}: {f'version {number}' if number else 'none, for it is not registered'}")
    return {"champion": number}


def describe(model: Path) -> None:
    """Let mlflow.onnx.load_model load the registered model, unless the project has an MLmodel file itself."""
    if (model / "model.onnx").exists() and not (model / "MLmodel").exists():
        (model / "MLmodel").write_text('{"flavors": {"onnx": {"data": "model.onnx"}}}\n')  # JSON is YAML


def _new_version(server: Server, name: str, version: str, info: RunInfo) -> str:
    try:
        server.send("registered-models/create", {"name": name})
    except Refused as refused:
        if refused.code != "RESOURCE_ALREADY_EXISTS":
            raise
    document = {
        "name": name,
        "source": f"{info.artifact_uri}/{MODEL}",
        "run_id": info.run_id,
        "tags": [{"key": VERSION, "value": version}],
    }
    own = str(server.post(VersionCreated, "model-versions/create", document).model_version.version)
    number = _number(server, name, version) or own
    if number != own:  # another call registered the same model at the same moment
        server.delete("model-versions/delete", {"name": name, "version": own})
    return number


def _number(server: Server, name: str, version: str) -> str | None:
    """Return the registry's number of a model's version; None if it is not registered."""
    numbers = _loadable(server, name, VERSION, version)
    return numbers[0] if numbers else None


def _loadable(server: Server, name: str, tag: str, value: str) -> list[str]:
    """Return the numbers of the versions with a tag, oldest first, without those whose run was deleted."""
    query = {"filter": f"name = '{name}' and tags.`{tag}` = '{value}'", "max_results": "1000"}
    versions = server.get(Versions, "model-versions/search", **query).model_versions
    ordered = sorted(versions, key=lambda each: int(each.version))
    return [str(each.version) for each in ordered if _has_run(server, each.run_id)]


def _has_run(server: Server, run_id: str) -> bool:
    answer = server.find(OneRun, "runs/get", run_id=run_id) if run_id else None
    return answer is not None and answer.run.info.lifecycle_stage == "active"


def _set_alias(server: Server, name: str, alias: str, number: str) -> None:
    server.send("registered-models/alias", {"name": name, "alias": alias, "version": number})


def _aliases(server: Server, name: str) -> dict[str, str]:
    """Return alias → version."""
    answer = server.find(ModelAnswer, "registered-models/get", name=name) or ModelAnswer()
    return {entry.alias: str(entry.version) for entry in answer.registered_model.aliases}
