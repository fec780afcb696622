"""A program's files are what its imports reach: none is missing, and none is there for nothing."""

import ast
import itertools
import sys
from functools import cache
from pathlib import Path

import pytest

from ml_pipeline.engine import programs
from ml_pipeline.engine.programs import PACKAGE
from tests.imports import MODULES, parsed, tree

ROOT = PACKAGE.parents[1]
PROGRAMS = [
    module for module in MODULES if '__name__ == "__main__"' in programs.files(module)[programs.path(module)]
]
ENGINE_SIDE = {"dagger", "anyio"}


def started(module: str) -> set[str]:
    """Return the modules that one loads or starts by their names: importlib's and `python -m`'s words."""
    found = set[str]()
    for node in ast.walk(tree(module)):
        words = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
        texts = [word.value if isinstance(word, ast.Constant) else "" for word in words]
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(text) for text in texts[:1]}
        found |= {str(name) for flag, name in itertools.pairwise(texts) if flag in {"-m", "--module"}}
    return {name for name in found if name.startswith("ml_pipeline.")}


def reached(module: str) -> frozenset[str]:
    """Return what a module imports, directly or not, with the packages of all."""
    found, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [*parsed(name), *([name.rpartition(".")[0]] if "." in name else [])]
    return frozenset(found)


@cache
def imported_from_elsewhere(module: str) -> frozenset[str]:
    """Return the top-level names that a module's own lines import."""
    names = set[str]()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return frozenset(names - {"ml_pipeline"})


def roots(modules: frozenset[str]) -> set[str]:
    """Return the top-level names of all that the modules import from elsewhere."""
    return {name for module in modules for name in imported_from_elsewhere(module)}


def test_scanning_finds_the_imports_that_the_parser_finds() -> None:
    by_parsing = {module: parsed(module) | started(module) for module in MODULES}
    assert {module: programs.imported(module) for module in MODULES} == by_parsing


def test_the_programs_are_those_that_the_documents_speak_of() -> None:
    assert len(PROGRAMS) > 20
    assert {"ml_pipeline.serving.serve", "ml_pipeline.gate.evaluate"} < set(PROGRAMS)


def test_no_program_reaches_the_engines_library() -> None:
    engine_side = {program: roots(programs.closure(program)) & ENGINE_SIDE for program in PROGRAMS}
    assert {program: names for program, names in engine_side.items() if names} == {}


def test_the_module_itself_needs_dagger_anyio_and_the_standard_library_only() -> None:
    assert roots(reached("ml_pipeline.main")) - set(sys.stdlib_module_names) == ENGINE_SIDE


def test_files_that_a_module_names_come_with_it() -> None:
    assert "ml_pipeline/serving/page.html" in programs.files("ml_pipeline.serving.serve")
    report = programs.files("ml_pipeline.report.write")
    assert {"ml_pipeline/report/report.html", "ml_pipeline/report/drift.html"} < set(report)
    assert not any(name.endswith(".html") for name in programs.files("ml_pipeline.model.inspect_model"))


def test_a_program_has_nothing_of_the_rooms_that_it_does_not_import() -> None:
    inspecting = programs.files("ml_pipeline.model.inspect_model")
    serving = {name for name in inspecting if name.startswith("ml_pipeline/serving/")}
    assert serving == {"ml_pipeline/serving/__init__.py", "ml_pipeline/serving/contract.py"}


def test_the_packages_of_a_module_come_with_it() -> None:
    files = programs.files("ml_pipeline.training.tabular.fit")
    packages = ("ml_pipeline", "ml_pipeline/training", "ml_pipeline/training/tabular")
    assert {f"{package}/__init__.py" for package in packages} < set(files)


def test_a_module_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"ml_pipeline\.data\.nowhere is not a module"):
        programs.files("ml_pipeline.data.nowhere")


def test_packages_run_nothing_when_they_are_imported() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        (only,) = ast.parse(path.read_text()).body
        assert isinstance(only, ast.Expr), path.relative_to(Path(ROOT))


def test_a_program_s_help_has_its_own_name_and_shows_its_examples_as_they_are_written() -> None:
    """The parser of common/command_line.py does that, so all of them come from there."""
    silent = {"ml_pipeline.training.torchrun", *(m for m in PROGRAMS if m.startswith("ml_pipeline.stages."))}
    for module in set(PROGRAMS) - silent:
        text = programs.files(module)[programs.path(module)]
        assert f'parser("{module.removeprefix("ml_pipeline.")}", __doc__' in text, module
    own = [m for m in MODULES if "argparse.ArgumentParser(" in programs.files(m)[programs.path(m)]]
    assert own == ["ml_pipeline.common.command_line"]
