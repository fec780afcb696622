"""The page at `/`: a form for one row, and the model's answer to it."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ml_pipeline.distributions.record import Categories, Record
from ml_pipeline.model.loaded import Model

_PAGE = Path(__file__).with_name("page.html")
_SUGGESTED = 50  # values of a column


@dataclass(frozen=True)
class Page:
    """The page, and the headers that keep it from loading or running anything else."""

    html: bytes
    headers: dict[str, str]


def page(model: Model, record: Record | None) -> Page:
    """Return the page about a model; it suggests values of strings from the record of the training rows.

    Its Content-Security-Policy names its own script and style by their digests: no other script or style
    works, and the page asks no other server.
    """
    signature = model.signature
    texts = [column.name for column in model.columns if column.type == "string"]
    facts = {
        "name": signature.name,
        "version": signature.version,
        "columns": [{"name": c.name, "type": c.type, "nullable": c.nullable} for c in model.columns],
        "classes": list(signature.classes),
        "example": dict(signature.example),
        "suggestions": {name: _frequent(record, name) for name in texts},
    }
    text = json.dumps(facts, ensure_ascii=False)
    # The facts are data and not a script, so they need no digest; without "<" they can't end their element.
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
    match = re.search(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    digest = hashlib.sha256(match[1].encode() if match else b"").digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _frequent(record: Record | None, name: str) -> list[str]:
    """Return the most frequent values of a column of the training rows, in alphabetical order."""
    column = record.columns.get(name) if record else None
    if not isinstance(column, Categories):
        return []
    counts = column.counts
    return sorted(sorted(counts, key=lambda value: -counts[value])[:_SUGGESTED])
