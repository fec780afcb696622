"""A run as Markdown, for a pull request, the summary page of a CI job and the terminal.

Any part of the run may be missing: it may have ended early. Standard library only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ml_pipeline.common.document import (
    Image,
    Lint,
    ProjectTests,
    ReleaseRecord,
    RunDocument,
    StageRecord,
    Tracking,
)
from ml_pipeline.common.metrics import table
from ml_pipeline.common.verdict import Gate, Numbers, Skew, Verdict
from ml_pipeline.common.wording import difference, number, shown
from ml_pipeline.report import documents, left_out, markup
from ml_pipeline.report.documents import DataReport, Finding, Model

NONE = "-"
SHOWN_FINDINGS = 10
MARKS = {
    "passed": "✅",
    "failed": "❌",
    "skipped": "⏭️",
    "not-measured": "❔",
    "not-enough-evidence": "🟡",
}


@dataclass(frozen=True)
class Headline:
    """The first thing to read: whether the run is good, what became of it, and why."""

    good: bool
    title: str
    why: str


def headline(run: RunDocument) -> Headline:
    """Return whether this run ships, and why."""
    verdict = documents.verdict(run)
    name = run.name or documents.model(run).get("name") or "pipeline"
    failed = [stage for stage in run.stages if stage.status == "failed"]
    if failed:
        why = "; ".join(f"{stage.stage}: {stage.message or 'failed'}" for stage in failed)
        return Headline(False, f"{name}: do not ship", why)
    gates = verdict.get("gates", [])
    if verdict and not verdict.get("passed"):
        blocking = [gate for gate in gates if gate.get("blocks")]
        failed_first = sorted(blocking, key=lambda gate: gate["status"] != "failed")
        why = ", ".join(f"{gate['metric']}{_undecided(gate)} {gate['reason']}" for gate in failed_first)
        return Headline(False, f"{name}: do not ship", why or _skew(verdict.get("skew")))
    if not run.stages and not verdict:
        return Headline(False, f"{name}: do not ship", "nothing ran")
    if run.status != "passed":
        return Headline(False, f"{name}: do not ship", f"the run is {run.status}")
    if not verdict:
        return Headline(True, f"{name}: passed", "no gate was asked for")
    held = sum(gate["status"] == "passed" for gate in gates)
    open_ = sum(gate["status"] == "not-enough-evidence" for gate in gates)
    undecided = f", {open_} undecided," if open_ else ""
    why = f"{held} of {len(gates)} gates passed{undecided} on {rows(verdict)}" if gates else "it has no gates"
    return Headline(True, f"{name}: {'released' if run.release else 'may ship'}", why)


def markdown(run: RunDocument) -> str:
    """Return the summary of a run as Markdown (GitHub's flavour), ending in a newline."""
    first = headline(run)
    verdict = documents.verdict(run)
    warnings = "\n".join(f"⚠️ {markup.text(sentence)}" for sentence in no_better(verdict))
    known = (*facts(run), *lineage(run))
    parts = [
        f"## {'✅' if first.good else '❌'} {markup.text(first.title)}\n\n{markup.text(first.why)}",
        *(f"> {markup.text(stage.hint)}" for stage in run.stages if stage.status == "failed" and stage.hint),
        warnings,
        markup.table(("", ""), ((label, f"`{markup.code(value)}`") for label, value in known)),
        markup.section(
            "Gates", ("", "gate", "value", "baseline", "threshold", ""), map(_gate, verdict.get("gates", []))
        ),
        markup.section("Metrics", ("metric", "value", "baseline", *_references(verdict)), _metrics(verdict)),
        markup.section("Stages", ("", "stage", "time", ""), map(_stage, run.stages)),
        markup.section("Data", ("", ""), _data(documents.data(run))),
        "\n".join(f"- {markup.text(note)}" for note in (*left_out.sentences(verdict), *run.notes)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def facts(run: RunDocument) -> list[tuple[str, str]]:
    """Return what the run made, as labels and values; what is not known is left out."""
    image, model = run.image or Image(), documents.model(run)
    digest = image.digest or ""
    reference = image.reference or digest
    size = f" ({image.size_mb:.0f} MB)" if image.size_mb is not None else ""
    rows = {
        "image": f"{reference}{size}" if reference else "",
        "digest": digest if digest not in reference else "",
        "release": _release(run.release) if run.release else "",
        "model": " ".join(str(part) for part in (model.get("name"), model.get("version")) if part),
        "positive class": _positive(model),
        "lint": _lint(run.lint) if run.lint else "",
        "tests": _tests(run.tests) if run.tests else "",
        "tracked": _tracked(run.tracking) if run.tracking else "",
        "gpu": run.gpu,
        "took": _took(run),
    }
    return [(label, value) for label, value in rows.items() if value]


def _positive(model: Model) -> str:
    positive = model.get("positive")
    if positive is None:
        return ""
    return f"{positive} (the rarer one: data.positive is not set)" if model.get("chosen") else str(positive)


def lineage(run: RunDocument) -> list[tuple[str, str]]:
    """Return what the run was made from and judged by, as labels and values, without what is not known."""
    sha256 = documents.data(run).get("sha256")
    digests = documents.verdict(run).get("digests") or {}
    rows = {
        "revision": run.revision,
        "data": f"sha256:{sha256.removeprefix('sha256:')}" if sha256 else "",
        "holdout": digests.get("data"),
        "gate's settings": digests.get("config"),
        "candidate's files": digests.get("candidate"),
        "baseline": digests.get("baseline"),
    }
    return [(label, value) for label, value in rows.items() if value]


def _release(release: ReleaseRecord) -> str:
    what = f"{release.action}: {release.namespace}/{release.name} revision {release.revision}"
    pods = f"{release.ready} of {release.replicas} replicas ready after {duration(release.seconds)}"
    previous = f", previous image {release.previous_image}" if release.previous_image else ""
    return f"{what}, {pods}{previous}"


def _tracked(tracking: Tracking) -> str:
    """Return the run's address on the server, and what its model is registered as."""
    if not tracking.version:
        return tracking.url
    champion = ", champion" if tracking.champion == tracking.version else ""
    return f"{tracking.url} (version {tracking.version}{champion})"


def _took(run: RunDocument) -> str:
    """Return how long the run took, what the cache saved, and what it cost where the price is known."""
    price = run.price_per_hour
    if run.seconds is None:
        return ""
    saved = sum(stage.seconds or 0 for stage in run.stages if stage.cached)
    cached = f", the cache saved {duration(saved)}" if saved else ""
    cost = (
        f"; about {number(price * run.seconds / 3600)} at {number(price)} an hour"
        if price is not None
        else ""
    )
    return f"{duration(run.seconds)}{cached}{cost}"


def rows(verdict: Verdict) -> str:
    """Return the holdout's size in words, with what is drawn whole if that is not each row."""
    groups, blocks = verdict.get("row_groups"), verdict.get("time_blocks")
    units = f" in {groups:,} groups" if groups else f" in {blocks} blocks of time" if blocks else ""
    return f"{verdict['rows']:,} holdout rows{units}"


def threshold(gate: Gate) -> str:
    """Return a gate's bounds in words: ≥ 0.84, regression ≤ 0.005."""
    bounds = (("≥", gate.get("min")), ("≤", gate.get("max")), ("regression ≤", gate.get("max_regression")))
    unit = table.unit(gate["metric"]).text
    limits = [f"{sign} {number(bound)}{unit}" for sign, bound in bounds if bound is not None]
    beaten = gate.get("better_than")
    return ", ".join([*limits, f"better than {beaten}"] if beaten else limits)


def measure(metric: str, value: float | None) -> str:
    """Return a metric's value with its unit."""
    return NONE if value is None else table.written(metric, value)


def _undecided(gate: Gate) -> str:
    return ": not enough evidence:" if gate["status"] == "not-enough-evidence" else ""


def metrics(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Return every measured metric, its value and the baseline's, the main ones first."""
    values, baseline = verdict.get("metrics") or {}, verdict.get("baseline") or {}
    order = [name for name in table.MAIN if name in values]
    order += sorted(name for name in values if name not in table.MAIN)
    return [(name, measure(name, values[name]), measure(name, baseline.get(name))) for name in order]


def duration(seconds: float | None) -> str:
    """Return 0.4 s, 12 s, 3 min 5 s or 2 h 4 min."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _gate(gate: Gate) -> tuple[str, ...]:
    notes = (_undecided(gate)[2:-1], gate.get("reason"), "" if gate.get("required", True) else "not required")
    note = ", ".join(part for part in notes if part)
    mark = (
        "⚠️" if gate["status"] == "failed" and not gate.get("blocks", True) else MARKS.get(gate["status"], "")
    )
    value, baseline = (
        measure(gate["metric"], number) for number in (gate.get("value"), gate.get("baseline"))
    )
    apart = difference(gate.get("difference"))
    baseline += f" ({apart})" if apart and gate.get("baseline") is not None else ""
    name = f"`{markup.code(gate['metric'])}`"
    return mark, name, f"{value}{shown(gate.get('interval'))}", baseline, threshold(gate), markup.text(note)


def _metrics(verdict: Verdict) -> Iterable[tuple[str, ...]]:
    """Return the rows of the main metrics and of the training's own; the report has all."""
    names = {*table.MAIN, *(verdict.get("reported") or {})}
    intervals = verdict.get("intervals") or {}
    for name, value, baseline in metrics(verdict):
        if name in names:
            others = (measure(name, values.get(name)) for values in _references(verdict).values())
            yield f"`{markup.code(name)}`", f"{value}{shown(intervals.get(name))}", baseline, *others


def _references(verdict: Verdict) -> Mapping[str, Numbers]:
    """Return the metrics of the simple models on the same rows: constant, linear, boosting."""
    return verdict.get("references") or {}


def no_better(verdict: Verdict) -> list[str]:
    """Return a sentence for each metric that is not shown to be better than one answer for all rows."""
    return [f"{metric} {text}" for metric, text in (verdict.get("no_better") or {}).items()]


def _stage(stage: StageRecord) -> tuple[str, ...]:
    took = "cached" if stage.cached else duration(stage.seconds)
    return MARKS.get(stage.status, ""), markup.text(stage.stage), took, markup.text(stage.message)


def _data(data: DataReport) -> Iterable[tuple[str, ...]]:
    if "rows" in data:
        yield "rows", f"{data['rows']:,}"
        yield "columns", str(len(data.get("columns", [])))
    drift = data.get("drift")
    if drift:
        moved = sum(column["drifted"] for column in drift["columns"])
        reference = f"{drift['reference']} ({drift['rows']:,} rows)"
        yield "drifted", f"{moved} of {len(drift['columns'])} columns against {markup.text(reference)}"
    yield from _findings("❌", data.get("violations", []))
    yield from _findings("⚠️", data.get("warnings", []))


def _findings(mark: str, findings: Sequence[Finding]) -> Iterable[tuple[str, ...]]:
    yield from ((mark, markup.text(finding["message"])) for finding in findings[:SHOWN_FINDINGS])
    if len(findings) > SHOWN_FINDINGS:
        yield mark, f"and {len(findings) - SHOWN_FINDINGS} more"


def _skew(skew: Skew | None) -> str:
    some = f"{skew['differing']} of {skew['rows']}" if skew else "some"
    return f"the image's batch command and its /predict disagree on {some} rows"


def _lint(lint: Lint) -> str:
    """Return the versions that judged, ruff's once, and what they found but did not block."""
    tools = {tool.partition(" ")[0]: version for tool, version in lint.versions.items()}
    judged = ", ".join(f"{tool} {version}" for tool, version in tools.items())
    return f"{judged}: {lint.warning}" if lint.warning else judged


def _tests(tests: ProjectTests) -> str:
    counts = ((tests.passed, "passed"), (tests.failed, "failed"), (tests.skipped, "skipped"))
    text = ", ".join(f"{count} {kind}" for count, kind in counts if count) or "none"
    text = text if tests.coverage is None else f"{text}, {number(tests.coverage)} % of lines covered"
    return f"{text} (pytest {tests.version})" if tests.version else text
