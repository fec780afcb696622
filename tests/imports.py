"""What the modules of the package import, by Python's own parser; and the rooms that this joins."""

import ast
from functools import cache

from ml_pipeline.engine import programs
from ml_pipeline.engine.programs import NAME, PACKAGE

MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
)
# What an image is, which rooms below the server need too: a room of its own in one file.
CONTRACT = f"{NAME}.serving.contract"


@cache
def tree(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse((PACKAGE.parent / programs.path(module)).read_text(encoding="utf-8"))


@cache
def parsed(module: str) -> frozenset[str]:
    """Return the modules and packages of this package that a module imports."""
    names = set[str]()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in names if name.startswith(NAME) and programs.exists(name))


def room(module: str) -> str:
    """Return the room of a module: the folder that it is in, or the module itself where it is in none."""
    return "contract" if module == CONTRACT else module.split(".")[1]


def arrows() -> dict[tuple[str, str], list[str]]:
    """Return (room, imported room) → the imports that make this arrow, as "module imports module"."""
    between: dict[tuple[str, str], list[str]] = {}
    for module in MODULES:
        for imported in sorted(parsed(module) & set(MODULES)):
            if room(module) != room(imported):
                both = room(module), room(imported)
                between.setdefault(both, []).append(f"{module} imports {imported}")
    return between


def reduced(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the transitive reduction of a graph without circles: no arrow that a longer way replaces."""
    direct = {high: {low for top, low in pairs if top == high} for high, _ in pairs}

    def below(name: str) -> set[str]:
        reached, waiting = set[str](), [*direct.get(name, ())]
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting += direct.get(one, ())
        return reached

    reachable = {name: below(name) for pair in pairs for name in pair}
    return {
        (high, low)
        for high, low in pairs
        if not any(low in reachable[other] for other in direct[high] - {low})
    }
