"""The packages that a project needs, read from its own files; the project itself is not built or run."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagger
from dagger import DaggerError, dag

from ml_pipeline.common.lines import last_line
from ml_pipeline.common.names import nearest
from ml_pipeline.engine import crashes, programs
from ml_pipeline.engine.environments import with_torch, with_uv_cache
from ml_pipeline.errors import ConfigError, StageError

RUNTIME_FILES = ("requirements.txt", "requirements-model.txt")
TEST_FILES = ("requirements-test.txt", "requirements-dev.txt")
TEST_GROUPS = ("test", "tests", "dev")
TORCH_IS_THERE = "torch-is-there.txt"
TORCH = (programs.ROOT / programs.pins("torch")).read_text().strip()


# PEP 735: a group's entries are requirements, or {include-group = NAME}.
Groups = Mapping[str, Sequence[str | Mapping[str, str]]]


@dataclass(frozen=True)
class Dependencies:
    """The requirements files of the source, and the requirements that its pyproject.toml lists."""

    files: tuple[str, ...]
    listed: tuple[str, ...]


def runtime(entries: list[str], pyproject: str | None, extras: Iterable[str] = ()) -> Dependencies:
    """Return what the project needs to run: requirements files, [project.dependencies], and `extras` of it.

    Raises ConfigError for an extra that the project does not define.
    """
    project = _table(pyproject).get("project", {})
    listed = list(project.get("dependencies", ()))
    optional: dict[str, list[str]] = project.get("optional-dependencies", {})
    for extra in extras:
        if extra not in optional:
            cause = f"train.extras names {extra!r}, which [project.optional-dependencies] does not define"
            raise ConfigError(cause, nearest(extra, optional))
        listed += optional[extra]
    files = tuple(name for name in RUNTIME_FILES if name in entries)
    return Dependencies(files, tuple(dict.fromkeys(listed)))


def testing(entries: list[str], pyproject: str | None) -> Dependencies:
    """Return what its tests need too: the group or extra named test, tests or dev."""
    base, table = runtime(entries, pyproject), _table(pyproject)
    groups: Groups = table.get("dependency-groups", {})
    extras: dict[str, list[str]] = table.get("project", {}).get("optional-dependencies", {})
    listed = [
        requirement
        for name in TEST_GROUPS
        for requirement in [*_group(groups, name, ()), *extras.get(name, ())]
    ]
    return Dependencies(
        (*base.files, *(name for name in TEST_FILES if name in entries)),
        tuple(dict.fromkeys([*base.listed, *listed])),
    )


def wants_torch(texts: Iterable[str]) -> bool:
    """Return whether a text pins torch as the built-in trainer does: then its layer of 7 GB is shared."""
    pins = {line.partition("#")[0].partition(";")[0].strip() for text in texts for line in text.splitlines()}
    return TORCH in {pin.replace(" ", "") for pin in pins}


def _table(pyproject: str | None) -> dict[str, Any]:  # a TOML document: any keys and values
    return tomllib.loads(pyproject) if pyproject else {}


def _group(groups: Groups, name: str, within: tuple[str, ...]) -> list[str]:
    """Follow PEP 735's include-group; a group that includes itself adds nothing."""
    if name in within:
        return []
    requirements: list[str] = []
    for item in groups.get(name, ()):
        if isinstance(item, str):
            requirements.append(item)
        else:
            requirements += _group(groups, item["include-group"], (*within, name))
    return requirements


async def install(
    stage: str, container: dagger.Container, source: dagger.Directory, packages: Dependencies
) -> dagger.Container:
    """Install into the container's virtual environment; raise StageError with the resolver's own reason."""
    if not packages.files and not packages.listed:
        return container
    folder = dag.directory()
    for name in await source.entries():  # file by file: these are known by their content
        if name.endswith(".txt") and name.startswith(("requirements", "constraints")):
            folder = folder.with_file(name, source.file(name))
    if packages.listed:
        folder = folder.with_new_file("requirements-listed.txt", "\n".join(packages.listed) + "\n")
    texts = [await source.file(name).contents() for name in packages.files]
    files = [*packages.files, *(["requirements-listed.txt"] if packages.listed else [])]
    command = ["uv", "pip", "install", "--quiet", *(word for name in files for word in ("-r", name))]
    if wants_torch([*texts, *packages.listed]):
        container = container.with_(with_torch)
        # uv does not see what the base image has, and would install it again.
        folder = folder.with_new_file(TORCH_IS_THERE, f"{TORCH} ; python_version < '0'\n")
        command += ["--override", TORCH_IS_THERE]
    installed = (
        container.with_mounted_directory("/requirements", folder)
        .with_workdir("/requirements")
        .with_(with_uv_cache)
        .with_exec(command)
        .without_mount("/root/.cache/uv")
        .with_workdir("/")
        .without_mount("/requirements")
    )
    try:
        return await installed.sync()
    except dagger.ExecError as error:
        reason = installer_reason(error.stderr)
        hint = f"fix {' or '.join(packages.files) or 'the dependencies in pyproject.toml'}"
        raise StageError(stage, f"the project's requirements can't be installed: {reason}", hint) from None
    except DaggerError as error:
        cause, hint = crashes.told(error, "see the engine's log")
        raise StageError(stage, f"no environment: {cause}", hint) from None


def installer_reason(output: str) -> str:
    """Return why uv failed, as one line: the innermost cause, which it wraps, without the hints after it."""
    _, arrow, cause = output.rpartition("╰─▶ ")
    paragraphs = cause.split("\n\n") if arrow else [last_line(output) or "uv printed nothing"]
    texts = (" ".join(paragraph.split()) for paragraph in paragraphs)
    return " ".join(text for text in texts if text and not text.startswith("hint:")).rstrip(".")
