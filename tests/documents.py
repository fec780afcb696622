"""What tests read of the documents: their blocks of code and the names of their sections."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
OTHERS = [
    *sorted(path for path in ROOT.glob("*.md") if path != README),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "lab/README.md",
    ROOT / "examples/adult/README.md",
]


def blocks(path: Path, language: str) -> list[str]:
    """Return the blocks of code of one language."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the names of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def targets() -> list[str]:
    """Return what `make` can make."""
    return re.findall(r"^([.\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
