"""A run as JUnit XML, which GitHub, GitLab and other CI systems show as tests."""

import re
import xml.etree.ElementTree as ET

from ml_pipeline.common.document import RunDocument, StageRecord
from ml_pipeline.common.verdict import Gate
from ml_pipeline.report import documents, summary

# What XML 1.0 can't hold, such as the escape sequences of a coloured terminal.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(run: RunDocument, own: ET.Element | None) -> bytes:
    """Return suites of the stages and the gates, followed by the project's own suites."""
    root = ET.Element("testsuites", name="ml-pipeline")
    _add(root, "stages", [_stage(stage) for stage in run.stages])
    _add(root, "gates", [_gate(gate) for gate in documents.verdict(run).get("gates", [])])
    if own is not None:
        root.extend(suites(own))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def suites(own: ET.Element) -> list[ET.Element]:
    """Return the test suites of a JUnit document, whether or not it wraps them in <testsuites>."""
    return [own] if own.tag == "testsuite" else own.findall("testsuite")


def _add(root: ET.Element, name: str, cases: list[ET.Element]) -> None:
    if not cases:
        return
    suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(cases)), errors="0")
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
    suite.extend(cases)


def _stage(stage: StageRecord) -> ET.Element:
    case = ET.Element("testcase", classname="pipeline", name=_clean(stage.stage))
    case.set("time", f"{stage.seconds or 0:.3f}")
    message = "; ".join(part for part in (stage.message, stage.hint) if part)
    if stage.status == "failed":
        ET.SubElement(case, "failure", message=_clean(message), type="StageFailure")
    elif stage.status != "passed":
        ET.SubElement(case, "skipped", message=_clean(message or stage.status))
    return case


def _gate(gate: Gate) -> ET.Element:
    case = ET.Element("testcase", classname="gate", name=_clean(gate["metric"]), time="0")
    bounds = summary.threshold(gate)
    message = (
        f"{gate['metric']} {gate['reason'] or summary.measure(gate['metric'], gate['value'])} ({bounds})"
    )
    if gate["blocks"]:
        ET.SubElement(case, "failure", message=_clean(message), type="GateFailure")
    elif gate["status"] != "passed":  # reported, but stops nothing
        kind = gate["status"].replace("-", " ") if gate.get("required", True) else "not required"
        ET.SubElement(case, "skipped", message=_clean(f"{kind}: {message}"))
    return case


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
