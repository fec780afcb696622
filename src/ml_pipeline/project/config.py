"""The configuration, read and checked; pure: text in, a Project or ConfigError out."""

import codecs
import math
import re
import tomllib
from collections.abc import Iterator

from ml_pipeline.common.metrics.direction import is_higher_better
from ml_pipeline.common.metrics.metric import Metric
from ml_pipeline.common.metrics.table import METRICS
from ml_pipeline.common.reading import DocumentError, read
from ml_pipeline.errors import ConfigError
from ml_pipeline.project.data_rules import Column
from ml_pipeline.project.schema import Gate, Project, Train

_DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?"

_MOST_TRIALS = 10_000


def parse(pyproject: str | None, ml_pipeline: str | None) -> Project:
    """Read the configuration from the texts of the two files that may hold it (None: no such file).

    Raises ConfigError, whose one line names the file and the key.
    """
    tables = {}
    for file, text in (("ml-pipeline.toml", ml_pipeline), ("pyproject.toml", pyproject)):
        if text is None:
            continue
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{file} is not TOML: {error}", "fix that line") from None
        table = document if file == "ml-pipeline.toml" else _tool(document)
        if table is not None:
            tables[file] = table
    if len(tables) > 1:
        both = "both ml-pipeline.toml and pyproject.toml configure the pipeline"
        raise ConfigError(both, "keep one of them")
    if not tables:
        raise ConfigError(
            "neither ml-pipeline.toml nor [tool.ml-pipeline] in pyproject.toml was found in the source",
            "write one (see README.md#your-own-project), or point --source at the project's folder",
        )
    ((file, table),) = tables.items()
    try:
        project = read(Project, table, "tool.ml-pipeline" if file == "pyproject.toml" else "")
    except DocumentError as error:
        raise ConfigError(f"{file}: {error.problem}", error.hint) from None
    for cause, hint in _contradictions(project):
        raise ConfigError(f"{file}: {cause}", hint)
    return project


def _tool(pyproject: dict[str, object]) -> object:
    """Return the value of [tool.ml-pipeline], or None if there is none."""
    tool = pyproject.get("tool")
    return tool.get("ml-pipeline") if isinstance(tool, dict) else None


def _contradictions(project: Project) -> Iterator[tuple[str, str]]:
    """Yield what the schema can't say of a single key, as cause and hint."""
    for key, label in (("name", project.name), ("deploy.namespace", project.deploy.namespace)):
        if not re.fullmatch(_DNS_LABEL, label):
            hint = "use at most 53 lower-case letters, digits and inner hyphens"
            yield f"{key} = {label!r} is not a valid name in a cluster", hint
    if not project.name[0].isalpha():  # of a Service, whose names have stricter rules than a namespace's
        yield f"name = {project.name!r} is not a valid name in a cluster", "let it begin with a letter"
    yield from _data_contradictions(project)
    yield from _train_contradictions(project.train)
    for name, gate in project.gates.items():
        yield from _gate_contradictions(f"gates.{name}", gate, METRICS.get(name))
        if gate.better_than is not None and not project.serve.runtime:
            yield f"gates.{name}.better_than needs an image (serve.runtime = false)", "remove it"
        if name in {"shadow_agreement", "shadow_difference"} and not project.data.requests:
            yield f"gates.{name} needs recorded requests", "name their file in data.requests"
    if project.serve.device == "cuda" and project.serve.runtime != "python":
        hint = 'remove it, or let training write a predictor.py and set serve.runtime = "python"'
        yield 'serve.device = "cuda" needs serve.runtime = "python"', hint


def _gate_contradictions(key: str, gate: Gate, metric: Metric | None) -> Iterator[tuple[str, str]]:
    if not any(bound is not None for bound in (gate.min, gate.max, gate.max_regression, gate.better_than)):
        yield f"{key} has no bound", "give it min, max, max_regression or better_than"
    if gate.better_than is not None and (metric is None or metric.family != "quality"):
        yield f"{key}.better_than needs a metric of the model's answers", "remove it, or use another metric"
    if _crossed(gate):
        yield f"{key} has min = {gate.min} above max = {gate.max}", "no model can pass; swap them"
    if gate.confidence is not None and metric and not metric.has_interval:
        yield f"{key} has a confidence, but this metric has no interval", "remove the key"
    of_groups = metric is not None and metric.family in {"slices", "fairness"}
    if gate.insufficient is not None and gate.confidence is None and not of_groups:
        yield f"{key}.insufficient needs a confidence", "add confidence = 0.95, or remove it"


def _data_contradictions(project: Project) -> Iterator[tuple[str, str]]:
    data = project.data
    for key, path in (
        ("data.path", data.path), ("data.holdout", data.holdout), ("data.reference", data.reference),
        ("data.requests", data.requests),
    ):  # fmt: skip
        if isinstance(path, str):
            yield from _place_contradictions(key, path)
    if data.target in data.exclude:
        yield f"data.exclude names the target {data.target!r}", "remove it from the list"
    if data.group in {data.target, data.time} - {None}:
        yield (
            f"data.group = {data.group!r} is the target or the time too",
            "name another column, or remove it",
        )
    if data.group and data.time:
        hint = "remove one of them"
        yield "data.group and data.time each decide which rows are held out", hint
    if data.encoding and not _is_encoding(data.encoding):
        yield f"data.encoding = {data.encoding!r} is not an encoding", 'use one such as "utf-8" or "cp1252"'
    if project.task == "regression" and data.positive is not None:
        yield "data.positive is for classification", 'remove it, or set task = "classification"'
    for name, column in data.columns.items():
        key = f"data.columns.{name}"
        if column.format is not None and column.type != "datetime":
            yield f'{key}.format needs type = "datetime"', f"set {key}.type, or remove the format"
        if column.format is not None and "%" not in column.format:
            yield f"{key}.format = {column.format!r} has no directive", 'use those of strptime: "%m/%d/%Y"'
        if _crossed(column):
            yield f"{key} has min = {column.min} above max = {column.max}", "swap them"
        if column.pattern is not None and not _compiles(column.pattern):
            yield f"{key}.pattern = {column.pattern!r} is not a regular expression", "fix it, or remove it"


def _place_contradictions(key: str, path: str) -> Iterator[tuple[str, str]]:
    scheme, is_url, place = path.partition("://")
    if is_url and scheme != "s3":
        yield f"{key} = {path!r} has the scheme {scheme!r}", "use s3://BUCKET/KEY, or a path in the source"
    elif is_url and not re.match(r"[A-Za-z0-9][\w.-]*(/|$)", place):
        yield f"{key} = {path!r} has no bucket", "use s3://BUCKET/KEY"
    elif path.startswith("/") or ".." in path.split("/"):
        yield f"{key} = {path!r} is outside the source", "use a path inside the project's folder"


def _train_contradictions(train: Train) -> Iterator[tuple[str, str]]:
    if train.timeout is not None and not train.command:
        yield (
            "train.timeout needs a train.command",
            "remove it; train.config.epochs limits the built-in trainer",
        )
    if train.extras and not train.command:
        yield "train.extras need a train.command", "remove them; the built-in trainer has its own packages"
    if not train.search:
        return
    if not train.search.parameters:
        yield "train.search.parameters is empty", "name at least one, such as learning_rate = [0.003, 0.01]"
    for name, values in train.search.parameters.items():
        if not values:
            yield f"train.search.parameters.{name} is empty", "give it values to try, or remove it"
    if train.search.mode is None and is_higher_better(train.search.metric) is None:
        cause = f"train.search.metric = {train.search.metric!r} does not say whether more of it is better"
        yield cause, 'set train.search.mode = "min" or "max"'
    combinations = math.prod(len(values) for values in train.search.parameters.values())
    if combinations > _MOST_TRIALS and (train.search.trials or combinations) > _MOST_TRIALS:
        yield (
            f"train.search has {combinations:,} combinations",
            "set train.search.trials to draw some of them",
        )


def _crossed(bounds: Gate | Column) -> bool:
    low, high = bounds.min, bounds.max
    # Texts, which are times, are compared by the stage.
    return isinstance(low, float | int) and isinstance(high, float | int) and low > high


def _is_encoding(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
