"""The HTML page: report.html filled with a run; every value of the run is escaped."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from ml_pipeline.common import wording
from ml_pipeline.common.document import RunDocument
from ml_pipeline.common.verdict import Verdict
from ml_pipeline.report import charts, documents, histograms, left_out, summary, tables
from ml_pipeline.report.curves import Panel

TEMPLATE = "report.html"
DOTS = 30  # points of a curve up to which each has a dot
UNIT = (0.0, 1.0)


def html(run: RunDocument, curves: Mapping[str, Panel]) -> str:
    """Return the page of a run and its learning curves."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        name: getattr(summary, name) for name in ("threshold", "measure", "duration", "rows")
    }
    environment.globals |= {name: getattr(wording, name) for name in ("number", "shown", "difference")}
    verdict = documents.verdict(run)
    page: str = environment.get_template(TEMPLATE).render(
        first=summary.headline(run),
        facts=summary.facts(run),
        confidence=verdict["method"]["confidence"] if "method" in verdict else 0.95,
        metrics=tables.metrics(verdict),
        no_better=summary.no_better(verdict),
        lineage=summary.lineage(run),
        bullet=charts.bullet,
        histogram=histograms.histogram,
        curves={title: _curve(title, panel) for title, panel in curves.items()},
        roc=_roc(verdict),
        precision_recall=_precision_recall(verdict),
        calibration=_calibration(verdict),
        groups=tables.groups(verdict.get("groups", [])),
        fairness=tables.fairness(verdict),
        left_out=left_out.sentences(verdict),
        stages=run.stages,
        longest=max([0.001, *(stage.seconds or 0 for stage in run.stages)]),
        notes=run.notes,
        data=run.data,
        search=run.training.search if run.training else None,
        tests=run.tests,
        verdict=verdict,
    )
    return page


def _curve(title: str, panel: Panel) -> tuple[Markup, list[str]]:
    few = max(len(points) for points in panel.values()) <= DOTS
    return charts.lines(panel, x="epoch", title=title, dots=few), list(panel)


def _roc(verdict: Verdict) -> Markup | None:
    points, axes = verdict.get("roc"), ("false positive rate", "true positive rate")
    return _unit_square("ROC", points, *axes, diagonal=True) if points else None


def _precision_recall(verdict: Verdict) -> Markup | None:
    points = verdict.get("precision_recall")
    return _unit_square("precision", points, "recall", "precision") if points else None


def _calibration(verdict: Verdict) -> Markup | None:
    points = [(point["predicted"], point["observed"]) for point in verdict.get("calibration") or ()]
    axes = "predicted probability", "observed share"
    return _unit_square("model", points, *axes, diagonal=True, dots=True) if points else None


def _unit_square(
    name: str,
    points: Sequence[Sequence[float]],
    x: str,
    y: str,
    *,
    diagonal: bool = False,
    dots: bool = False,
) -> Markup:
    """Draw a curve whose axes are shares."""
    return charts.lines({name: points}, x=x, y=y, x_range=UNIT, y_range=UNIT, diagonal=diagonal, dots=dots)
