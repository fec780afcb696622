"""Each stage is shipped with the files that it imports, all of them and no others."""

import ast
from pathlib import Path

import pytest

from ml_pipeline import (
    data,
    gate,
    image,
    pipeline,
    quality,
    release,
    reproducible,
    storage,
    tracking,
    training,
    training_cluster,
)
from ml_pipeline.environments import COMMON

PACKAGE = Path(data.__file__).parent
SHIPPED = {
    "lint": quality.LINT,
    "pytest_run": quality.TEST,
    "storage": storage.PROGRAM,
    "data": data.PROGRAM,
    "train": training.TRAINER,
    "inspect_model": training.INSPECTOR,
    "serve": image.SERVER,
    "predict": image.SERVER,
    "cold_start": (gate.STARTER,),
    "evaluate": gate.JUDGE,
    "ask_service": gate.JUDGE,
    "pack": reproducible.PACKER,
    "push": reproducible.PUSHER,
    "recorded": gate.RECORDER,
    "deploy": release.DEPLOYER,
    "train_job": training_cluster.WATCHER,
    "train_node": (*training.TRAINER, *training_cluster.NODE),
    "report": pipeline.REPORTER,
    "track": tracking.PROGRAM,
}

THERE = {"cold_start": image.SERVER}  # it runs in the image, beside what that has


def module_file(name: str) -> Path | None:
    """Return the file of a module of this package, or None for any other name."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


def imported(file: Path) -> set[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and str(node.value).startswith("ml_pipeline."):
            names.add(str(node.value))  # for importlib
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {path for name in names if name.startswith("ml_pipeline.") and (path := module_file(name))}


def closure(file: Path) -> set[Path]:
    found, waiting = set[Path](), [file]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported(path)
    return found


@pytest.mark.parametrize("program", SHIPPED)
def test_a_stage_is_shipped_with_what_it_imports(program: str) -> None:
    shipped = {
        path
        for pattern in (*COMMON, *SHIPPED[program], *THERE.get(program, ()))
        for path in PACKAGE.glob(pattern)
    }
    shipped |= {path for folder in shipped if folder.is_dir() for path in folder.rglob("*.py")}
    assert closure(PACKAGE / "stages" / f"{program}.py") - shipped == set()


def test_no_file_is_shipped_that_no_program_imports() -> None:
    for files in SHIPPED.values():
        programs = [PACKAGE / f"stages/{name}.py" for name, of in SHIPPED.items() if of is files]
        needed = {path for program in programs for path in closure(program)}
        assert {PACKAGE / file for file in files if not file.endswith("**")} <= needed


def test_every_program_is_known_here() -> None:
    runnable = {path.stem for path in (PACKAGE / "stages").glob("*.py") if "__main__" in path.read_text()}
    assert runnable == set(SHIPPED)
