"""Views of the project's folder: each stage sees only what it reads, so that nothing else reruns it."""

from collections.abc import Sequence

import dagger
from dagger import dag

from ml_pipeline.project.schema import Project

DOCUMENTS = ["**/*.md", "**/*.rst", "docs/**", "LICENSE*"]
UNTRAINED = [*DOCUMENTS, ".github/**", ".gitlab-ci.yml", "Makefile"]
LINTED = ["**/*.py", "**/*.pyi", "**/*.ipynb", "**/py.typed", "**/ruff.toml", "**/.ruff.toml"]
SETTINGS = ["**/pyproject.toml", "mypy.ini", ".mypy.ini", "setup.cfg"]
TESTS = ["tests/**", "test/**", "**/test_*.py", "**/conftest.py"]


def linted(source: dagger.Directory) -> dagger.Directory:
    """Return the Python files and the settings of ruff and mypy."""
    return source.filter(include=[*LINTED, *SETTINGS], gitignore=True)


def tested(source: dagger.Directory) -> dagger.Directory:
    """Return everything but documents: an edit of a README runs no test."""
    return source.filter(exclude=[*DOCUMENTS, ".git"], gitignore=True)


def trained(source: dagger.Directory, project: Project) -> dagger.Directory:
    """Return the code that a training command may see: neither the data (the holdout is in it) nor tests."""
    hidden = [*UNTRAINED, *TESTS, ".git", "ml-pipeline.toml", *project.data.paths]
    hidden += [project.data.requests] if project.data.requests else []
    return source.filter(exclude=hidden, gitignore=True)


async def data(source: dagger.Directory, paths: Sequence[str]) -> dagger.Directory:
    """Return the data files of these paths alone; a path that does not exist is left out.

    The cache knows each file by its content. Files that .gitignore names are kept: data is often among them.
    """
    files = dag.directory()
    for path in paths:
        if await source.exists(path, expected_type=dagger.ExistsType.DIRECTORY_TYPE):
            files = files.with_directory(path, source.directory(path))
            continue
        for file in await source.glob(path):
            if not file.endswith("/"):
                files = files.with_file(file, source.file(file))
    return files


async def text(source: dagger.Directory, name: str) -> str | None:
    """Return a top-level file's text, or None where there is no such file."""
    if name not in await source.entries():
        return None
    return await source.file(name).contents()


async def revision(source: dagger.Directory) -> str | None:
    """Return the git commit of the source, or None where it has none or a format that is not known."""
    if ".git/" not in await source.entries():
        return None
    entries = await source.glob(".git/**")
    if ".git/HEAD" not in entries:
        return None
    head = (await source.file(".git/HEAD").contents()).strip()
    if not head.startswith("ref: "):
        return head
    reference = head.removeprefix("ref: ")
    if f".git/{reference}" in entries:
        return (await source.file(f".git/{reference}").contents()).strip()
    if ".git/packed-refs" in entries:
        for line in (await source.file(".git/packed-refs").contents()).splitlines():
            if line.endswith(f" {reference}"):
                return line.split()[0]
    return None
