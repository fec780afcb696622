"""Which files of this package a program needs: those that its imports reach, and what lies beside them.

The import lines are the only list. So a stage's container never lacks a file, and an edit elsewhere in the
package reruns nothing.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
NAME = PACKAGE.name
_IMPORT = re.compile(
    rf"""^[ \t]*(?:from[ ]+({NAME}[\w.]*)[ ]+import[ ]+(\([^)]*\)|[^\n#]+)|import[ ]+({NAME}[\w.]*))""",
    re.MULTILINE | re.VERBOSE,
)
_FILE = re.compile(r"""["']([\w.]+\.(?:html|json))["']""")
# A module that is loaded or started by its name.
_NAMED = re.compile(rf"""(?:import_module\(|"-m",|"--module",)\s*"({NAME}(?:\.[a-z_]\w*)+)\"""")


@cache
def files(*modules: str) -> Mapping[str, str]:
    """Return path → text of all that the modules need, such as "ml_pipeline/data/validate.py".

    Paths are relative to the folder that the package is in, and in order. Raises FileNotFoundError for
    a module that does not exist.
    """
    found: dict[str, str] = {}
    for module in sorted(closure(*modules)):
        own = PACKAGE.parent / path(module)
        for file in (own, *_beside(own)):
            found[file.relative_to(PACKAGE.parent).as_posix()] = file.read_text(encoding="utf-8")
    return found


def pins(name: str) -> str:
    """Return a list of pins: "model", which training and serving share, or one of requirements/."""
    own = PACKAGE / "requirements" / f"{name}.txt"
    return (PACKAGE.parents[1] / "requirements-model.txt" if name == "model" else own).read_text()


def path(module: str) -> str:
    """Return a module's file, as a key of `files`. Raises FileNotFoundError."""
    found = _path(module)
    if found is None:
        raise FileNotFoundError(f"{module} is not a module of {NAME}")
    return found.relative_to(PACKAGE.parent).as_posix()


def exists(module: str) -> bool:
    """Whether this package has such a module or package."""
    return _path(module) is not None


def closure(*modules: str) -> frozenset[str]:
    """Return the names of the modules that these import, directly or not, with them and their packages."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [*imported(module), *_packages(module)]
    return frozenset(found)


@cache
def imported(module: str) -> frozenset[str]:
    """Return the modules of this package that a module's own lines import or name."""
    own = _path(module)
    return frozenset(_mentioned(own.read_text(encoding="utf-8"))) if own else frozenset()


def _mentioned(text: str) -> Iterator[str]:
    for package, names, module in _IMPORT.findall(text):
        yield package or module
        for name in re.findall(r"(\w+)(?:\s+as\s+\w+)?\s*(?:,|$|\))", names):
            if _path(f"{package}.{name}"):
                yield f"{package}.{name}"
    yield from (name for name in _NAMED.findall(text) if _path(name))


def _beside(own: Path) -> Iterator[Path]:
    """Yield the files that are no Python and that a file names, such as page.html, and what these name."""
    for name in dict.fromkeys(_FILE.findall(own.read_text(encoding="utf-8"))):
        file = own.with_name(name)
        if file != own and file.is_file():
            yield file
            yield from _beside(file)


def _packages(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


@cache
def _path(module: str) -> Path | None:
    """Return a module's file, a package's __init__.py, or None where there is no such module."""
    base = PACKAGE.parent.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
