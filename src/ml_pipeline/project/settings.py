"""What each stage is told, as JSON: its part of the configuration and nothing else.

Narrow documents keep the cache true: a changed gate retrains nothing.
"""

import dataclasses
import json
from typing import Any

from ml_pipeline.project.schema import Project


def data(project: Project) -> str:
    columns = {name: _set_fields(column) for name, column in project.data.columns.items()}
    section = {key: getattr(project.data, key) for key in _DATA_KEYS}
    section |= {key: dataclasses.asdict(getattr(project.data, key)) for key in ("drift", "leakage")}
    return _json(section | {"columns": columns, "task": project.task, "seed": project.train.seed})


_DATA_KEYS = ("path", "target", "positive", "holdout", "time", "reference", "key", "exclude")


def train(project: Project, device: str) -> str:
    section = project.train
    search = dataclasses.asdict(section.search) if section.search else None
    told = {key: getattr(section, key) for key in ("seed", "timeout", "config")}
    return _json(_task(project) | told | {"search": search, "device": device})


def track(project: Project) -> str:
    section = project.train
    return _json(
        {"task": project.task} | {key: getattr(section, key) for key in ("command", "seed", "config")}
    )


def evaluate(project: Project) -> str:
    gates = {name: _set_fields(gate) for name, gate in project.gates.items()}
    groups = {"sensitive": project.data.sensitive, "slices": project.data.slices}
    return _json(_task(project) | {"gates": gates} | groups)


def deploy(project: Project, image: str, version: str | None) -> str:
    section = project.deploy
    return _json(
        {
            "name": project.name,
            "namespace": section.namespace,
            "replicas": section.replicas,
            "strategy": section.strategy,
            "timeout_s": section.timeout,
            "memory_mb": section.memory_mb,
            "gpus": 1 if project.serve.device == "cuda" else 0,
            "image": image,
            "version": version,
        }
    )


def _task(project: Project) -> dict[str, Any]:
    return {"task": project.task, "target": project.data.target, "positive": project.data.positive}


def _set_fields(section: Any) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(section).items() if value is not None}


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True)
