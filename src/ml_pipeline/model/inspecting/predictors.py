"""Check predictor.py without running it: what it imports is in the serving image, not here."""

import ast
from pathlib import Path

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure

CONTRACT = "see the training contract: load(folder) is called once, then predict(rows)"


def check_predictor(path: Path) -> None:
    """Raise `StageFailure` unless the file has functions `load` and `predict` of one argument each."""
    try:
        tree = ast.parse(path.read_bytes(), path.name)
    except (SyntaxError, ValueError) as error:
        raise StageFailure(f"predictor.py can't be parsed: {one_line(error)}", "fix it") from None
    functions = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    # A name that is bound in another way, such as an import from a file beside it, is checked by the server.
    other = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    other |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for name in ("load", "predict"):
        if name not in functions:
            if name in other:
                continue
            raise StageFailure(f"predictor.py has no function {name!r}", CONTRACT)
        arguments = functions[name]
        taken = len(arguments.posonlyargs) + len(arguments.args)
        needed = taken - len(arguments.defaults) + sum(default is None for default in arguments.kw_defaults)
        if needed > 1 or (taken == 0 and arguments.vararg is None):
            raise StageFailure(f"{name} in predictor.py does not take one argument", CONTRACT)
