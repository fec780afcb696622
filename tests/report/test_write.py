"""The report of runs that ended well, badly and early, made by the program itself."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.report.runs import GATE, JUNIT, STAGES, TESTS, UNMEASURED, VERDICT, Page, make, pipeline

pytestmark = pytest.mark.program


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
    assert document["tests"] == {**TESTS, "coverage": None, "version": ""}


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
