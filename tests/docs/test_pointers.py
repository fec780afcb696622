"""Code, settings and documents point only to what exists: documents, sections, files, modules, targets."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_pipeline.engine import programs
from tests.documents import ROOT, anchors, targets

pytestmark = pytest.mark.documents

SCANNED = [
    path
    for path in sorted(
        [*ROOT.glob("*.*"), ROOT / "Makefile", *ROOT.glob(".github/**/*.yml"), *ROOT.glob("docs/*.md")]
        + [path for folder in ("src", "lab", "benchmarks", "examples") for path in (ROOT / folder).rglob("*")]
    )
    if path.suffix in {".py", ".md", ".toml", ".yml", ".html", ".txt", ".go", ""} and path.is_file()
]
DOCUMENT = re.compile(r"(?<![\w/.-])((?:[\w-]+/)*[\w-]+\.md)(#[\w-]+)?")
FILE = re.compile(r"(?<![\w/.$}-])([\w*.-]+(?:/[\w*.-]+)+\.(?:py|html|txt|go))\b")
BESIDE = re.compile(r"(?<![\w/.*-])([a-z]\w*\.py)\b")
MODULE = re.compile(r"(?<![\w/.-])ml_pipeline(?:\.[a-z_]\w*)+")
TARGET = re.compile(r"(?:`|^\$ |&& )make ([.\w-]+)", re.MULTILINE)
# Files of a user's project, and what a run writes, are not files of this repository.
PROJECTS_OWN = re.compile(r"predictor\.py|conftest\.py|test_\w+\.py|report\.html|summary\.md|README\.md")
LINK = re.compile(r"https?://\S+")


def broken(path: Path, text: str) -> list[str]:
    """Return the pointers in a file's text that lead nowhere."""
    text = LINK.sub("", text)
    return [*_documents(path, text), *_files(path, text), *_modules(text), *_targets(text)]


def _documents(path: Path, text: str) -> Iterator[str]:
    for name, section in DOCUMENT.findall(text):
        if PROJECTS_OWN.fullmatch(name) and not section:
            continue
        document = next((p for p in (ROOT / name, path.parent / name) if p.is_file()), None)
        if not document or (section and section[1:] not in anchors(document)):
            yield name + section
    if path.is_relative_to(ROOT / "src"):
        # "See the README" leaves the reader to search: a section is named.
        yield from re.findall(r"the README\b.{0,30}", text)


def _files(path: Path, text: str) -> Iterator[str]:
    places = (ROOT, ROOT / "src/ml_pipeline", ROOT / "src", path.parent, ROOT / "lab")
    for name in FILE.findall(text):
        spoken_of = name.startswith(("mymodel/", "wine/")) or PROJECTS_OWN.fullmatch(name.rpartition("/")[2])
        if not spoken_of and not any(any(place.glob(name)) for place in places):
            yield name
    if path.suffix == ".py":
        for name in BESIDE.findall(text):
            if not PROJECTS_OWN.fullmatch(name) and not (path.parent / name).is_file():
                yield name


def _modules(text: str) -> Iterator[str]:
    for name in MODULE.findall(text):
        owner = name.rpartition(".")[0]
        is_attribute = programs.exists(owner) and not programs.path(owner).endswith("__init__.py")
        if not programs.exists(name) and not is_attribute:
            yield name


def _targets(text: str) -> Iterator[str]:
    yield from (f"make {name}" for name in TARGET.findall(text) if name not in targets())


def test_every_pointer_leads_somewhere() -> None:
    nowhere = {
        str(path.relative_to(ROOT)): lost
        for path in SCANNED
        if (lost := broken(path, path.read_text(encoding="utf-8")))
    }
    assert nowhere == {}


@pytest.mark.parametrize(
    "text",
    [
        "see docs/nowhere.md",
        "see docs/training.md#nowhere",
        "see README.md#nowhere",
        "see the README for more",
        "the decision is in gate/nowhere.py",
        "see nowhere.py",
        "python -m ml_pipeline.gate.nowhere --help",
        "run `make nowhere`",
    ],
)
def test_a_pointer_that_leads_nowhere_is_found(text: str) -> None:
    assert broken(Path(programs.__file__), text)


@pytest.mark.parametrize(
    "text",
    [
        "see docs/training.md#gpu",
        "see README.md#your-own-project",
        "see serving/contract.py",
        "see run.py",
        "python -m ml_pipeline.data.validate --help",
        "it writes a predictor.py",
        "run `make check`",
    ],
)
def test_a_pointer_that_leads_somewhere_is_not(text: str) -> None:
    assert broken(Path(programs.__file__), text) == []
