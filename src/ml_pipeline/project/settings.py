"""The settings of each stage, as JSON: its part of the configuration and nothing else.

Narrow documents keep the cache true: a changed gate retrains nothing.
"""

import dataclasses
import json
from collections.abc import Mapping

from ml_pipeline.common.metrics.direction import is_higher_better
from ml_pipeline.project.data_rules import Column
from ml_pipeline.project.schema import Gate, Project, Search

_DATA_KEYS = (
    "path", "target", "positive", "holdout", "time", "reference", "key", "exclude", "group", "unlabelled",
    "missing", "decimal", "separator", "encoding",
)  # fmt: skip


def data(project: Project) -> str:
    """Return the settings of `validate-data` and `split`."""
    columns = {name: _set_fields(column) for name, column in project.data.columns.items()}
    section = {key: getattr(project.data, key) for key in _DATA_KEYS}
    section |= {key: dataclasses.asdict(getattr(project.data, key)) for key in ("drift", "leakage")}
    return _json(section | {"columns": columns, "task": project.task, "seed": project.train.seed})


def train(project: Project, device: str) -> str:
    """Return the settings of `train` and of `inspect-model`; `device` is "cpu" or "cuda"."""
    section = project.train
    search = _search(section.search) if section.search else None
    options = {key: getattr(section, key) for key in ("seed", "timeout", "config")}
    return _json(_task(project) | options | {"search": search, "device": device})


def _search(search: Search) -> dict[str, object]:
    mode = search.mode or ("max" if is_higher_better(search.metric) else "min")
    return dataclasses.asdict(search) | {"mode": mode}


def track(project: Project) -> str:
    """Return the settings of `track`: the parameters of a run."""
    section = project.train
    return _json(
        {"task": project.task} | {key: getattr(section, key) for key in ("command", "seed", "config")}
    )


def references(project: Project) -> str:
    """Return the settings of `references`."""
    return _json({"task": project.task, "target": project.data.target})


def evaluate(project: Project) -> str:
    """Return the settings of `validate-gate`."""
    common = {"insufficient": project.insufficient} if project.insufficient else {}
    gates = {name: common | _set_fields(gate) for name, gate in project.gates.items()}
    groups = {key: getattr(project.data, key) for key in ("sensitive", "slices", "group", "time")}
    return _json(_task(project) | {"gates": gates} | groups)


def deploy(
    project: Project,
    image: str,
    version: str | None,
    *,
    by: str = "",
    commit: str | None = None,
    verdict: str | None = None,
    drains: bool = False,
) -> str:
    """Return the settings of `deploy` and `rollback`; `image` is "" where none is released.

    `by`, `commit` and `verdict` are for the ledger of releases; `drains` is what the image's label says.
    """
    section = project.deploy
    return _json(
        {
            "name": project.name,
            "namespace": section.namespace,
            "replicas": section.replicas,
            "timeout_s": section.timeout,
            "memory_mb": section.memory_mb,
            "gpus": 1 if project.serve.device == "cuda" else 0,
            "drains": drains,
            "strategy": section.strategy,
            "keep_s": section.keep,
            "watch_s": section.watch,
            "insufficient": section.insufficient,
            "tolerances": dataclasses.asdict(section.tolerances),
            "image": image,
            "version": version,
            "by": by,
            "commit": commit,
            "verdict": verdict,
        }
    )


def _task(project: Project) -> dict[str, object]:
    return {"task": project.task, "target": project.data.target, "positive": project.data.positive}


def _set_fields(section: Column | Gate) -> dict[str, object]:
    return {key: value for key, value in dataclasses.asdict(section).items() if value is not None}


def _json(document: Mapping[str, object]) -> str:
    return json.dumps(document, indent=1, sort_keys=True)
