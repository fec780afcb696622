"""Everything to look at in one folder: HTML, Markdown, JSON, JUnit and the learning curves.

The report is made of whatever ran: a run that failed early has a shorter report, but always one.
"""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from ml_pipeline.common import command_line
from ml_pipeline.common.document import RunDocument, as_json, from_json
from ml_pipeline.common.outcome import run_stage
from ml_pipeline.report import curves, junit, mermaid, page, summary

FORMAT = 1  # of report.json
DOCUMENTS = ("data", "model", "verdict")  # each in a file of its own


def report(source: Path, output: Path) -> dict[str, object]:
    """Read what ran from `source` and write report.html, summary.md, report.json, junit.xml, training.png."""
    notes: list[str] = []
    run = _run(source, notes)
    tests = _xml(source / "junit.xml", notes)
    panels = curves.panels(_text(source / "history.csv", notes) or "", notes)
    run = replace(run, notes=(*run.notes, *notes))

    output.mkdir(parents=True, exist_ok=True)
    headline = asdict(summary.headline(run))
    document = {"format": FORMAT, "headline": headline, **as_json(run), "history": panels}
    (output / "report.json").write_text(json.dumps(document, indent=1) + "\n")
    charts = mermaid.section(panels)
    (output / "summary.md").write_text(summary.markdown(run) + (f"\n{charts}\n" if charts else ""))
    (output / "junit.xml").write_bytes(junit.document(run, tests))
    (output / "report.html").write_text(page.html(run, panels))
    if panels:
        curves.plot(panels, output / "training.png")
    print(f"{headline['title']}: {headline['why']}")
    return {"files": sorted(path.name for path in output.iterdir()), **headline}


def _run(source: Path, notes: list[str]) -> RunDocument:
    """Return the run with the documents beside it; a file that can't be used becomes a note."""
    document = dict(_json(source / "pipeline.json", notes))
    for name in DOCUMENTS:
        if part := _json(source / f"{name}.json", notes):
            document[name] = part
    try:
        return from_json(document)
    except ValueError as error:
        notes.append(f"pipeline.json can't be read: {error}")
        return RunDocument()


def _text(path: Path, notes: list[str]) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        notes.append(f"{path.name} can't be read: {error}")
        return None


def _json(path: Path, notes: list[str]) -> Mapping[str, object]:
    """Return a JSON object, or an empty one where the file is absent or not one."""
    text = _text(path, notes)
    try:
        document = json.loads(text) if text is not None else {}
    except ValueError as error:
        notes.append(f"{path.name} is not JSON: {error}")
        return {}
    return document if isinstance(document, dict) else {}


def _xml(path: Path, notes: list[str]) -> ET.Element | None:
    text = _text(path, notes)
    try:
        return ET.fromstring(text) if text is not None else None  # noqa: S314 - written by the project's pytest
    except ET.ParseError as error:
        notes.append(f"{path.name} is not XML: {error}")
        return None


def main() -> None:
    """Write the report that the arguments name."""
    parser = command_line.parser("report.write", __doc__)
    files = "pipeline.json, data.json, model.json, verdict.json, history.csv, junit.xml"
    parser.add_argument("--input", type=Path, required=True, help=f"a folder with any of {files}")
    parser.add_argument(
        "--output", type=Path, required=True, help="the folder to write to; it is made if it does not exist"
    )
    arguments = parser.parse_args()
    run_stage("report", lambda: report(arguments.input, arguments.output))


if __name__ == "__main__":
    main()
