"""Everything to look at in one folder: HTML, Markdown, JSON, JUnit and the learning curves.

It is made of whatever ran: a run that failed early has a shorter report, never none.
"""

import argparse
import csv
import io
import json
import logging
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ml_pipeline.common import wording
from ml_pipeline.common.outcome import run_stage
from ml_pipeline.report import charts, histograms, junit, mermaid, summary, tables

DOCUMENTS = ("data", "model", "verdict")
SPLITS = ("train", "val", "valid", "validation", "test")  # train_loss and val_loss share a panel
MAX_PANELS = 4

Panel = dict[str, list[tuple[float, float]]]


def report(source: Path, output: Path) -> dict[str, Any]:
    """Read what ran from `source` and write report.html, summary.md, report.json, junit.xml, training.png."""
    notes: list[str] = []
    run = _json(source / "pipeline.json", notes) or {}
    run |= {name: found for name in DOCUMENTS if (found := _json(source / f"{name}.json", notes))}
    own = _xml(source / "junit.xml", notes)
    curves = panels(_text(source / "history.csv", notes) or "", notes)
    run["notes"] = [*(run.get("notes") or []), *notes]

    output.mkdir(parents=True, exist_ok=True)
    first = summary.headline(run)
    document = {"format": 1, "headline": asdict(first), **run, "history": curves}
    (output / "report.json").write_text(json.dumps(document, indent=1) + "\n")
    drawn = mermaid.section(curves)
    (output / "summary.md").write_text(summary.markdown(run) + (f"\n{drawn}\n" if drawn else ""))
    (output / "junit.xml").write_bytes(junit.document(run, own))
    (output / "report.html").write_text(page(run, curves))
    if curves:
        plot(curves, output / "training.png")
    print(f"{first.title}: {first.why}")
    return {"files": sorted(path.name for path in output.iterdir()), **asdict(first)}


def page(run: Mapping[str, Any], curves: Mapping[str, Panel]) -> str:
    """Return the HTML page; every value of the run is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {name: getattr(summary, name) for name in ("threshold", "measure", "duration")}
    environment.globals |= {name: getattr(wording, name) for name in ("number", "shown", "difference")}
    verdict, stages = run.get("verdict") or {}, run.get("stages") or []
    html: str = environment.get_template("report.html").render(
        first=summary.headline(run),
        facts=summary.facts(run),
        confidence=(verdict.get("method") or {}).get("confidence", 0.95),
        metrics=tables.metrics(verdict),
        lineage=summary.lineage(run),
        bullet=charts.bullet,
        histogram=histograms.histogram,
        curves={title: _curve(title, panel) for title, panel in curves.items()},
        roc=_unit_square(
            verdict.get("roc"), "ROC", "false positive rate", "true positive rate", diagonal=True
        ),
        precision_recall=_unit_square(
            verdict.get("precision_recall"), "precision", "recall", "precision", diagonal=False
        ),
        calibration=_calibration(verdict),
        groups=tables.groups(verdict.get("groups", [])),
        stages=stages,
        longest=max([0.001, *(stage.get("seconds") or 0 for stage in stages)]),
        notes=run.get("notes") or [],
        data=run.get("data") or {},
        search=(run.get("training") or {}).get("search"),
        tests=run.get("tests") or {},
        verdict=verdict,
    )
    return html


def panels(text: str, notes: list[str]) -> dict[str, Panel]:
    """Return the curves of a history.csv by panel: what is measured → series → points [epoch, value].

    Columns that are not numbers are left out, and so are values that are not finite.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    found: dict[str, Panel] = {}
    for column in rows[0] if rows else ():
        if column in {"epoch", "step", None}:
            continue
        points = [
            (x, y)
            for index, row in enumerate(rows)
            if (y := _number(row[column])) is not None
            and (x := _number(row.get("epoch"), index + 1.0)) is not None
        ]
        if points:
            split, _, rest = column.partition("_")
            found.setdefault(rest if split in SPLITS and rest else column, {})[column] = points
    if len(found) > MAX_PANELS:
        notes.append(f"history.csv: only {', '.join(list(found)[:MAX_PANELS])} are drawn")
    return dict(list(found.items())[:MAX_PANELS])


def plot(curves: Mapping[str, Panel], path: Path) -> None:
    """Draw the learning curves side by side as one PNG."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its font cache on slow machines
    from matplotlib.figure import Figure  # noqa: PLC0415 - most of the time that a report takes

    figure = Figure(figsize=(4.2 * len(curves), 3.2), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False)
    for axis, (title, panel) in zip(axes[0], curves.items(), strict=True):
        for points in panel.values():
            axis.plot([p[0] for p in points], [p[1] for p in points], marker="o", markersize=3)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        # The names are the project's: a dollar sign in them starts no formula.
        axis.set_title(_printable(title), parse_math=False)
        for text in axis.legend([_printable(label) for label in panel], frameon=False).get_texts():
            text.set_parse_math(False)
    figure.savefig(path, dpi=120)


def _curve(title: str, panel: Panel) -> tuple[Markup, list[str]]:
    few = max(len(points) for points in panel.values()) <= 30
    return charts.lines(panel, x="epoch", title=title, dots=few), list(panel)


def _unit_square(points: Any, name: str, x: str, y: str, *, diagonal: bool) -> Markup | None:
    """Draw a curve of shares; None where the holdout has none."""
    if not points:
        return None
    unit = (0.0, 1.0)
    return charts.lines({name: points}, x=x, y=y, x_range=unit, y_range=unit, diagonal=diagonal)


def _calibration(verdict: Mapping[str, Any]) -> Markup | None:
    bins = verdict.get("calibration")
    if not bins:
        return None
    unit, points = (0.0, 1.0), [(b["predicted"], b["observed"]) for b in bins]
    return charts.lines(
        {"model": points},
        x="predicted probability",
        y="observed share",
        x_range=unit,
        y_range=unit,
        diagonal=True,
        dots=True,
    )


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _number(text: Any, default: float | None = None) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return default
    return value if math.isfinite(value) else default


def _text(path: Path, notes: list[str]) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        notes.append(f"{path.name} can't be read: {error}")
        return None


def _json(path: Path, notes: list[str]) -> dict[str, Any] | None:
    text = _text(path, notes)
    try:
        found = json.loads(text) if text is not None else None
    except ValueError as error:
        notes.append(f"{path.name} is not JSON: {error}")
        return None
    return found if isinstance(found, dict) else None


def _xml(path: Path, notes: list[str]) -> ET.Element | None:
    text = _text(path, notes)
    try:
        return ET.fromstring(text) if text is not None else None  # noqa: S314 - written by the project's pytest
    except ET.ParseError as error:
        notes.append(f"{path.name} is not XML: {error}")
        return None


def main() -> None:
    """Write the report that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m ml_pipeline.report.write", description=__doc__)
    reads = "a folder with any of pipeline.json, data.json, model.json, verdict.json, history.csv, junit.xml"
    parser.add_argument("--input", type=Path, required=True, help=reads)
    parser.add_argument("--output", type=Path, required=True, help="a folder, made if need be")
    arguments = parser.parse_args()
    run_stage("report", lambda: report(arguments.input, arguments.output))


if __name__ == "__main__":
    main()
