"""Runs as their stages leave them, the program that reports them, and the page that it writes."""

import html.parser
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.programs import run

STAGES = [
    {"stage": "test", "status": "passed", "seconds": 14.2, "cached": True, "message": "", "hint": ""},
    {"stage": "train", "status": "passed", "seconds": 96.0, "cached": False, "message": "", "hint": ""},
]
GATE: dict[str, Any] = {
    "metric": "accuracy",
    "value": 0.8612,
    "baseline": 0.87,
    "min": 0.84,
    "max": None,
    "max_regression": 0.02,
    "required": True,
    "status": "passed",
    "reason": "",
    "blocks": False,
}
UNMEASURED: dict[str, Any] = {
    **GATE,
    "metric": "drift_share",
    "value": None,
    "baseline": None,
    "min": None,
    "max": 0.5,
    "max_regression": None,
    "required": False,
    "status": "not-measured",
    "reason": "not measured: nothing in this run measures it",
}
VERDICT: dict[str, Any] = {
    "format": 1,
    "passed": True,
    "model": {"name": "adult-income", "version": "ab12"},
    "rows": 9769,
    "metrics": {"accuracy": 0.8612, "roc_auc": 0.91, "latency_p95_ms": 3.4},
    "baseline": {"accuracy": 0.87},
    "gates": [GATE, UNMEASURED],
    "groups": [
        {"column": "sex", "kind": "sensitive", "group": "Female", "rows": 3000, "accuracy": 0.9},
        {"column": "sex", "kind": "sensitive", "group": "Male", "rows": 12, "accuracy": None},
    ],
    "fairness": [{"column": "sex", "demographic_parity_difference": 0.18}],
    "confusion": {"classes": ["<=50K", ">50K"], "matrix": [[6912, 497], [936, 1430]]},
    "roc": [[0.0, 0.0], [0.1, 0.8], [1.0, 1.0]],
    "precision_recall": [[0.0, 1.0], [0.8, 0.7], [1.0, 0.4]],
    "calibration": [
        {"predicted": 0.1, "observed": 0.12, "rows": 10},
        {"predicted": 0.9, "observed": 0.8, "rows": 9},
    ],
    "skew": {"rows": 200, "differing": 0, "max_difference": 0.0, "first": []},
}
JUNIT = """<testsuites><testsuite name="pytest" tests="2">
<testcase classname="tests.test_a" name="test_one" time="0.25"/>
<testcase classname="tests.test_a" name="test_two" time="0.5"><failure message="no"/></testcase>
</testsuite></testsuites>"""


def make(folder: Path, **files: Any) -> subprocess.CompletedProcess[str]:
    """Write the files that ran (a stem → a document or a text), and run the program on them."""
    source = folder / "input"
    source.mkdir()
    endings = {"history": "csv", "junit": "xml"}
    for stem, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (source / f"{stem}.{endings.get(stem, 'json')}").write_text(text)
    return run("report.write", "--input", source, "--output", folder / "out", MPLCONFIGDIR=str(folder))


TESTS = {"passed": 2, "failed": 0, "skipped": 0, "failures": []}


def pipeline(**changes: Any) -> dict[str, Any]:
    known = {"name": "adult-income", "revision": "3f9c", "status": "passed", "stages": STAGES, "gpu": "off"}
    return {**known, "image": None, "release": None, "notes": [], "tests": TESTS, **changes}


class Page(html.parser.HTMLParser):
    """The text of a page, and every address in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(path.read_text())

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]
