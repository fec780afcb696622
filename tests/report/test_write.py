"""The report of runs that ended well, badly and early, made by the program itself."""

import csv
import html.parser
import json
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.browsing import shown_at
from tests.programs import run

pytestmark = pytest.mark.program

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


def test_a_whole_run(tmp_path: Path) -> None:
    history = "epoch,train_loss,val_loss,lr,comment\n1,0.6,0.5,0.1,a\n2,0.5,nan,0.1,b\n3,0.4,0.45,0.1,\n"
    data = {
        "rows": 48842,
        "sha256": "ab",
        "target": {"name": "income"},
        "violations": [],
        "columns": [
            {
                "name": "age",
                "type": "integer",
                "missing": 0,
                "missing_share": 0.0,
                "distinct": 74,
                "median": 37.0,
            },
            {"name": "income", "type": "string", "missing": 2, "missing_share": 0.057, "top": "<=50K"},
        ],
    }
    result = make(
        tmp_path,
        pipeline=pipeline(),
        verdict=VERDICT,
        data=data,
        model={"name": "adult-income", "version": "ab12"},
        history=history,
        junit=JUNIT.replace('<failure message="no"/>', ""),
    )
    assert (result.returncode, result.stderr) == (0, "")
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "junit.xml",
        "report.html",
        "report.json",
        "summary.md",
        "training.png",
    ]
    assert (out / "training.png").read_bytes().startswith(b"\x89PNG")
    page = Page(out / "report.html")
    assert page.addresses == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 6  # one gate, ROC, precision and recall, calibration, loss, lr
    for wanted in (
        "adult-income: may ship",
        "0.8612",
        "6,912",
        "93.3 %",
        "48,842 rows",
        "cached",
        "1 min 36 s",
        "5.7 %",
    ):
        assert wanted in page.text
    text = (out / "summary.md").read_text()
    assert text.startswith("## ✅ adult-income: may ship")
    loss, rate = re.findall(r"```mermaid\n%%[^\n]*\nxychart-beta\n(.*?)\n```", text, re.DOTALL)
    # The series that lacks a value is not drawn: its line would have other distances.
    assert [line.strip() for line in loss.splitlines()] == [
        'title "train_loss"',
        'x-axis "epoch" 1 --> 3',
        "y-axis 0.39 --> 0.61",
        "line [0.6, 0.5, 0.4]",
    ]
    assert rate.endswith("line [0.1, 0.1, 0.1]")
    document = json.loads((out / "report.json").read_text())
    assert document["headline"] == {
        "good": True,
        "title": "adult-income: may ship",
        "why": "1 of 2 gates passed on 9,769 holdout rows",
    }
    assert document["history"]["loss"]["val_loss"] == [[1.0, 0.5], [3.0, 0.45]]
    assert document["tests"] == {**TESTS, "coverage": None}


def test_metrics_stand_by_what_they_tell_and_what_is_missing_has_its_reason(tmp_path: Path) -> None:
    """What the training says of itself is not among what was measured of the image."""
    metrics = {**VERDICT["metrics"], "f1_macro": 0.8, "sensitive_flip_rate": 0.02, "latency_p50_ms": 2.0}
    verdict = {
        **VERDICT,
        "metrics": {**metrics, "worst_slice_accuracy": 0.7, "epochs": 14},
        "differences": {
            "worst_slice_accuracy": {
                "value": -0.08,
                "interval": [-0.4, 0.1],
                "where": "job = smith (62 rows)",
            }
        },
        "not_measured": {"rmse": "a classifier has no such metric", "memory_mb": "there is no /metrics"},
        "digests": {
            "candidate": "sha256:aa",
            "baseline": "sha256:bb",
            "data": "sha256:cc",
            "config": "sha256:dd",
        },
    }
    made = make(tmp_path, pipeline=pipeline(), verdict=verdict, data={"rows": 3, "sha256": "ee"})
    assert (made.returncode, made.stderr) == (0, "")
    text = " ".join(Page(tmp_path / "out" / "report.html").text.split())
    order = ["Quality", "f1_macro", "Fairness and slices", "worst_slice_accuracy", "job = smith (62 rows)"]
    order += ["-0.08[-0.4, 0.1]", "Behaviour", "sensitive_flip_rate", "Speed and size", "2.00 ms"]
    order += [
        "Reported by the training",
        "epochs",
        "Not measured: memory_mb (there is no /metrics)",
        "Lineage",
    ]
    order += [
        "revision3f9c",
        "datasha256:ee",
        "holdoutsha256:cc",
        "settingssha256:dd",
        "filessha256:aa",
        "sha256:bb",
    ]
    places = [text.find(words) for words in order]
    assert -1 not in places
    assert places == sorted(places)
    assert "no such metric" not in text
    assert "cachedsaved 14 s" in text
    assert "| baseline | `sha256:bb` |" in (tmp_path / "out" / "summary.md").read_text()


def test_the_page_fits_a_phone_and_a_screen(browser: Any, tmp_path: Path) -> None:
    rows = [{"column": "a, b", "kind": "sensitive", "group": "a long name, another", "rows": 99}]
    rows[0] |= dict.fromkeys(
        ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate"), 0.1234
    )
    verdict = {
        **VERDICT,
        "groups": rows,
        "intervals": {"roc_auc": [0.9, 0.92]},
        "baseline": VERDICT["metrics"],
    }
    column = {
        "name": "a_name_of_some_length",
        "type": "string",
        "distinct": 9999,
        "top": "a value of some length",
    }
    made = make(tmp_path, pipeline=pipeline(), verdict=verdict, data={"rows": 9, "columns": [column]})
    assert made.returncode == 0
    for width in (390, 1280):
        shown_at(browser, width, f"file://{tmp_path}/out/report.html")
        assert browser.execute_script(TOO_WIDE) == []


TOO_WIDE = """return [...document.querySelectorAll('html, .scroll')]
    .filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.textContent)"""


def test_a_failed_gate_and_failed_tests_reach_every_form(tmp_path: Path) -> None:
    failed = {**GATE, "min": 0.99, "status": "failed", "reason": "0.8612 is below min 0.99", "blocks": True}
    message = "accuracy 0.8612 is below min 0.99 (9,769 holdout rows)"
    stage = {
        "stage": "validate-gate",
        "status": "failed",
        "seconds": 3.0,
        "cached": False,
        "message": message,
        "hint": "improve the model",
    }
    verdict = {**VERDICT, "passed": False, "gates": [failed, UNMEASURED]}
    tests = {"passed": 1, "failed": 1, "skipped": 0, "failures": ["tests.test_a::test_two"]}
    known = pipeline(status="failed", stages=[*STAGES, stage], tests=tests)
    assert make(tmp_path, pipeline=known, verdict=verdict, junit=JUNIT).returncode == 0
    out = tmp_path / "out"
    page = Page(out / "report.html")
    for wanted in (
        "adult-income: do not ship",
        message,
        "To do: improve the model",
        "tests.test_a::test_two",
    ):
        assert wanted in page.text
    assert not (out / "training.png").exists()
    root = ET.parse(out / "junit.xml").getroot()  # noqa: S314 - written a moment ago
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    assert set(cases) == {
        ("pipeline", "test"),
        ("pipeline", "train"),
        ("pipeline", "validate-gate"),
        ("gate", "accuracy"),
        ("gate", "drift_share"),
        ("tests.test_a", "test_one"),
        ("tests.test_a", "test_two"),
    }
    broken = {key for key, case in cases.items() if case.find("failure") is not None}
    assert broken == {("pipeline", "validate-gate"), ("gate", "accuracy"), ("tests.test_a", "test_two")}
    assert cases["gate", "drift_share"].find("skipped") is not None
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    assert (suites["gates"].get("failures"), suites["gates"].get("skipped")) == ("1", "1")


def test_intervals_slices_and_open_gates_are_shown(tmp_path: Path) -> None:
    undecided = {
        **GATE,
        "interval": [0.8551, 0.8671],
        "difference": {"value": -0.0088, "interval": [-0.0121, -0.0054], "where": ""},
        "status": "not-enough-evidence",
        "reason": "0.8612 [0.8551, 0.8671] is on both sides of min 0.86",
    }
    slices = {
        "metric": "accuracy",
        "looked_at": 1204,
        "min_rows": 50,
        "worst": [
            {
                "slice": "education = 10th",
                "rows": 278,
                "value": 0.7,
                "interval": [0.55, 0.81],
                "baseline": 0.75,
                "difference": {"value": -0.05, "interval": [-0.1, 0.01]},
            },
            {"slice": "a", "rows": 50, "value": 0, "interval": None, "baseline": None, "difference": None},
        ],
    }
    verdict = {
        **VERDICT,
        "gates": [undecided],
        "slices": slices,
        "intervals": {"roc_auc": [0.9, 0.92]},
        "fairness": [{"column": "sex", "x_ratio": 0.5, "intervals": {"x_ratio": [0.4, 0.6]}}],
    }
    result = make(tmp_path, pipeline=pipeline(), verdict=verdict)
    assert (result.returncode, result.stderr) == (0, "")
    page = Page(tmp_path / "out" / "report.html")
    for wanted in (
        "? not enough evidence",
        "[0.8551, 0.8671]",
        "-0.0088 [-0.0121, -0.0054]",
        "the worst of 1,204 with at least 50 rows",
        "0.7 [0.55, 0.81]",
        "[0.9, 0.92]",
        "x ratio 0.5 [0.4, 0.6]",
    ):
        assert wanted in page.text
    assert 'class="interval"' in (tmp_path / "out" / "report.html").read_text()
    (case,) = ET.parse(tmp_path / "out" / "junit.xml").getroot().iterfind(".//testcase[@classname='gate']")  # noqa: S314
    assert case.find("skipped") is not None


def test_the_trials_of_a_search_are_shown_best_first(tmp_path: Path) -> None:
    def trial(number: int, value: float | None, message: str = "") -> dict[str, Any]:
        status = "failed" if message else "passed"
        settings = {"number": number, "parameters": {"width": 2**number, "optimizer": "<adam>"}}
        return settings | {"status": status, "value": value, "seconds": 3.2, "message": message}

    trials = [trial(1, 0.5), trial(2, None, "no memory"), trial(3, 0.25)]
    search = {"metric": "validation_loss", "mode": "min", "best": 3, "trials": trials}
    made = make(tmp_path, pipeline=pipeline(training={"trainer": "built-in", "search": search}))
    assert made.returncode == 0, made.stderr
    text = Page(tmp_path / "out" / "report.html").text
    _, found, table = " ".join(text.split()).partition("Search 3 trials, by the least validation_loss")
    assert found
    rows = "3 ✓ 8 <adam> 0.253.2 s 1 2 <adam> 0.53.2 s 2 4 <adam> failed3.2 s no memory"
    assert table.startswith(f" trialwidthoptimizervalidation_losstime {rows}")


def test_a_run_that_failed_early_has_a_report(tmp_path: Path) -> None:
    crashed = {"stage": "validate-data", "status": "failed", "message": "ran out of memory", "cached": False}
    assert make(tmp_path, pipeline=pipeline(status="failed", stages=[crashed])).returncode == 0
    assert "validate-data: ran out of memory" in Page(tmp_path / "out" / "report.html").text


def test_an_empty_folder_has_a_report(tmp_path: Path) -> None:
    assert make(tmp_path).returncode == 0
    assert "nothing ran" in Page(tmp_path / "out" / "report.html").text


def test_broken_files_become_notes(tmp_path: Path) -> None:
    result = make(tmp_path, pipeline=pipeline(), verdict="{", junit="<a>", history="epoch\n1\n")
    assert result.returncode == 0
    text = Page(tmp_path / "out" / "report.html").text
    assert "verdict.json is not JSON" in text
    assert "junit.xml is not XML" in text


def test_what_the_project_wrote_is_escaped_everywhere(tmp_path: Path) -> None:
    evil = r"<script>alert(1)</script>$\frac$" + "\x1b[31m"
    stage = {**STAGES[0], "stage": evil, "status": "failed", "message": evil, "hint": evil}
    gate = {**GATE, "metric": evil, "reason": evil}
    table = {
        "columns": [{"name": evil, "type": evil, "top": evil}],
        "rows": 1,
        "violations": [{"message": evil}],
    }
    confusion = {"classes": [evil, "b"], "matrix": [[1, 0], [0, 1]]}
    groups = [{"column": evil, "kind": "slice", "group": evil, "rows": 40, "accuracy": 0.5}]
    result = make(
        tmp_path,
        pipeline=pipeline(name=evil, notes=[evil], stages=[stage], image={"reference": evil}),
        verdict={
            **VERDICT,
            "gates": [gate],
            "metrics": {evil: 1.0},
            "confusion": confusion,
            "groups": groups,
        },
        data=table,
        model={"name": evil},
        history=f"epoch,{evil}\n1,2\n",
    )
    assert (result.returncode, result.stderr) == (0, "")
    page = Page(tmp_path / "out" / "report.html")
    assert "script" not in page.tags
    assert page.text.count("alert(1)") >= 12
    text = (tmp_path / "out" / "summary.md").read_text()
    assert "<script>" not in re.sub(r"`[^`]*`", "", text).replace(r"\<script>", "")
    ET.parse(tmp_path / "out" / "junit.xml")  # noqa: S314 - written a moment ago; escape codes would not parse


@pytest.mark.parametrize(
    ("gate", "bars"),
    [
        ({"value": -1.5, "min": -2.0, "max": None, "baseline": None}, 1),
        ({"value": 0.0, "min": 0.0, "max": 0.0, "baseline": None}, 1),
        ({"value": 1e9, "min": None, "max": 2e9, "baseline": 1.0}, 1),
        ({"value": None, "min": 0.1, "max": None, "baseline": None}, 0),
    ],
)
def test_odd_numbers_are_drawn(tmp_path: Path, gate: dict[str, Any], bars: int) -> None:
    verdict = {**VERDICT, "gates": [{**GATE, **gate}], "roc": None, "precision_recall": None}
    verdict |= {"calibration": None, "confusion": None}
    assert make(tmp_path, pipeline=pipeline(), verdict=verdict).returncode == 0
    assert Page(tmp_path / "out" / "report.html").tags.count("svg") == bars


def test_many_curves_are_cut_and_that_is_noted(tmp_path: Path) -> None:
    rows = [["epoch", *(f"m{i}" for i in range(6))], ["1", *"123456"]]
    with (tmp_path / "history.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert make(tmp_path, pipeline=pipeline(), history=(tmp_path / "history.csv").read_text()).returncode == 0
    page = Page(tmp_path / "out" / "report.html")
    assert page.tags.count("svg") == 4
    assert "only m0, m1, m2, m3 are drawn" in page.text
