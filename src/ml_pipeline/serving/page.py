"""The page at `/`: fill in a row, see what the model says of it."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_pipeline.model.loaded import Model

_PAGE = Path(__file__).with_name("page.html")
_SHOWN = 50  # values of a column that the page proposes


@dataclass(frozen=True)
class Page:
    """The page, and the headers that keep it to itself."""

    html: bytes
    headers: dict[str, str]


def page(model: Model, folder: Path) -> Page:
    """The page about a model, of whose record, if there is one, it knows strings' values.

    The policy names the page's own script and style by their digests: nothing else runs, and nothing is
    asked of any other server.
    """
    facts = {
        "name": model.signature.name,
        "version": model.signature.version,
        "columns": [
            {"name": column.name, "type": column.type, "nullable": column.nullable}
            for column in model.columns
        ],
        "classes": list(model.signature.classes),
        "example": model.signature.example,
        "known": _known(folder, {column.name for column in model.columns if column.type == "string"}),
    }
    text = json.dumps(facts, ensure_ascii=False)
    # As data and not as a script, so that its digest need not be known; "<" can't end the element.
    html = _PAGE.read_text(encoding="utf-8").replace("{{facts}}", text.replace("<", "\\u003c"))
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest(html, 'script')}",
            f"style-src {_digest(html, 'style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    return Page(html.encode(), headers | {"Referrer-Policy": "no-referrer"})


def _digest(html: str, element: str) -> str:
    found = re.search(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    digest = hashlib.sha256(found[1].encode() if found else b"").digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _known(folder: Path, names: set[str]) -> dict[str, list[str]]:
    """The most frequent values of the training rows' strings; nothing where there is no such record."""
    try:
        columns: dict[str, Any] = json.loads((folder / "record.json").read_text(encoding="utf-8"))["columns"]
        return {
            name: sorted(sorted(column["counts"], key=lambda value: -column["counts"][value])[:_SHOWN])
            for name, column in columns.items()
            if name in names
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
