"""Which files of this package a program needs: those that its imports reach, and what lies beside them.

The import lines are the only list. So a stage's container never lacks a file, and an edit elsewhere in the
package reruns nothing.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
NAME, ROOT = PACKAGE.name, PACKAGE.parents[1]
_IMPORT = re.compile(
    rf"""^[ \t]*(?:from[ ]+({NAME}[\w.]*)[ ]+import[ ]+(\([^)]*\)|[^\n#]+)|import[ ]+({NAME}[\w.]*))""",
    re.MULTILINE | re.VERBOSE,
)
# A file that is no Python, beside the module that opens it, such as page.html.
_FILE = re.compile(r"""["']([\w.]+\.(?:html|json))["']""")
# A module that is loaded or started by its name.
_NAMED = re.compile(rf"""(?:import_module\(|"-m",|"--module",)\s*"({NAME}(?:\.[a-z_]\w*)+)\"""")


@cache
def files(*modules: str) -> Mapping[str, str]:
    """Return path → text of all that the modules need, such as "ml_pipeline/data/validate.py".

    Paths are relative to the folder that the package is in, and in order. Raises FileNotFoundError for
    a module that does not exist.
    """
    texts: dict[str, str] = {}
    for module in sorted(closure(*modules)):
        texts |= _texts(module)
    return texts


def pins(name: str) -> str:
    """Return where a list of pins is: "model", which training and serving share, or one of requirements/."""
    return "requirements-model.txt" if name == "model" else f"src/{NAME}/requirements/{name}.txt"


def path(module: str) -> str:
    """Return a module's file, as a key of `files`. Raises FileNotFoundError."""
    if module not in _modules():
        raise FileNotFoundError(f"{module} is not a module of {NAME}")
    return _modules()[module]


def exists(module: str) -> bool:
    """Whether this package has such a module or package."""
    return module in _modules()


def closure(*modules: str) -> frozenset[str]:
    """Return the names of the modules that these import, directly or not, with them and their packages."""
    reached: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += [*imported(module), *_packages(module)]
    return frozenset(reached)


@cache
def imported(module: str) -> frozenset[str]:
    """Return the modules of this package that a module's own lines import or name."""
    return frozenset(_mentioned(_texts(module)[path(module)])) if exists(module) else frozenset()


@cache
def _texts(module: str) -> Mapping[str, str]:
    """Return path → text of a module and of the files that it names. Raises FileNotFoundError."""
    own = path(module)
    folder, _, _ = own.rpartition("/")
    texts = {own: (PACKAGE.parent / own).read_text(encoding="utf-8")}
    waiting = [own]
    while waiting:
        for name in _FILE.findall(texts[waiting.pop()]):
            file = f"{folder}/{name}"
            if file not in texts and (PACKAGE.parent / file).is_file():
                texts[file] = (PACKAGE.parent / file).read_text(encoding="utf-8")
                waiting.append(file)
    return texts


def _mentioned(text: str) -> Iterator[str]:
    modules = _modules()
    for package, names, module in _IMPORT.findall(text):
        yield package or module
        for name in re.findall(r"(\w+)(?:\s+as\s+\w+)?\s*(?:,|$|\))", names):
            if f"{package}.{name}" in modules:
                yield f"{package}.{name}"
    yield from (name for name in _NAMED.findall(text) if name in modules)


def _packages(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


@cache
def _modules() -> Mapping[str, str]:
    """Return the name of each module and package of ours → its file, relative to the package's folder."""
    files = (path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py"))
    return {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in files}
