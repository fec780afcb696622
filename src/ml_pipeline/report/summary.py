"""A run in words: the Markdown that a pull request, a job's summary page and the terminal show.

A run is a dict of what is known, any of it missing or None: `name`, `revision`, `status`, `gpu`, `notes`,
`seconds`, `price_per_hour`, `stages` (each with stage, status, seconds, cached, message, hint), `image`
(reference, digest, size_mb), `release`, `tracking` (url, version, champion); and the documents of stages:
`data` (report.json), `model` (model.json), `verdict` (verdict.json) and `tests` (tests, failed: names,
skipped, coverage). Standard library only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ml_pipeline.common.wording import difference, number, shown

# Shown first, in this order; what else was measured follows by name.
MAIN_METRICS = (
    "accuracy",
    "roc_auc",
    "f1",
    "rmse",
    "mae",
    "r2",
    "latency_p95_ms",
    "throughput_rows_per_s",
    "memory_mb",
)
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
    """The first thing to read: is it good, what became of what, and why."""

    good: bool
    title: str
    why: str


def headline(run: Mapping[str, Any]) -> Headline:
    """Say whether this run ships and why."""
    stages, verdict = run.get("stages") or [], run.get("verdict") or {}
    name = run.get("name") or (run.get("model") or {}).get("name") or "pipeline"
    failed = [stage for stage in stages if stage.get("status") == "failed"]
    if failed:
        why = "; ".join(f"{stage['stage']}: {stage.get('message') or 'failed'}" for stage in failed)
        return Headline(False, f"{name}: do not ship", why)
    blocking = [gate for gate in verdict.get("gates", []) if gate.get("blocks")]
    if verdict and not verdict.get("passed"):
        failed_first = sorted(blocking, key=lambda gate: gate["status"] != "failed")
        why = ", ".join(f"{gate['metric']}{_undecided(gate)} {gate['reason']}" for gate in failed_first)
        return Headline(False, f"{name}: do not ship", why or _skew(verdict.get("skew") or {}))
    if not stages and not verdict:
        return Headline(False, f"{name}: do not ship", "nothing ran")
    if (run.get("status") or "passed") != "passed":
        return Headline(False, f"{name}: do not ship", f"the run is {run['status']}")
    if not verdict:
        return Headline(True, f"{name}: passed", "no gate was asked for")
    gates = verdict.get("gates", [])
    held = sum(gate["status"] == "passed" for gate in gates)
    open_ = sum(gate["status"] == "not-enough-evidence" for gate in gates)
    undecided = f", {open_} undecided," if open_ else ""
    why = (
        f"{held} of {len(gates)} gates passed{undecided} on {verdict['rows']:,} holdout rows"
        if gates
        else "it has no gates"
    )
    return Headline(True, f"{name}: {'released' if run.get('release') else 'may ship'}", why)


def markdown(run: Mapping[str, Any]) -> str:
    """Return the summary of a run as Markdown (GitHub's flavour), ending in a newline."""
    first = headline(run)
    stages, verdict = run.get("stages") or [], run.get("verdict") or {}
    parts = [
        f"## {'✅' if first.good else '❌'} {_text(first.title)}\n\n{_text(first.why)}",
        *(f"> {_text(stage['hint'])}" for stage in stages if _is_hint(stage)),
        _table(("", ""), ((label, f"`{_code(value)}`") for label, value in (*facts(run), *lineage(run)))),
        _section(
            "Gates", ("", "gate", "value", "baseline", "threshold", ""), map(_gate, verdict.get("gates", []))
        ),
        _section("Metrics", ("metric", "value", "baseline"), _metrics(verdict)),
        _section("Stages", ("", "stage", "time", ""), map(_stage, stages)),
        _section("Data", ("", ""), _data(run.get("data") or {})),
        "\n".join(f"- {_text(note)}" for note in run.get("notes") or []),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was made: label and value, only what is known."""
    image, release, model, tests = (run.get(key) or {} for key in ("image", "release", "model", "tests"))
    digest = image.get("digest") or ""
    reference = image.get("reference") or digest
    size = f" ({image['size_mb']:.0f} MB)" if image.get("size_mb") is not None else ""
    found = {
        "image": f"{reference}{size}" if reference else "",
        "digest": digest if digest not in reference else "",
        "release": _release(release) if release else "",
        "model": " ".join(str(model[key]) for key in ("name", "version") if model.get(key)),
        "tests": _tests(tests) if tests else "",
        "tracked": _tracked(run.get("tracking") or {}),
        "gpu": run.get("gpu"),
        "took": _took(run),
    }
    return [(label, str(value)) for label, value in found.items() if value]


def lineage(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what it was made of and judged by: label and value, only what is known."""
    data, digests = run.get("data") or {}, (run.get("verdict") or {}).get("digests") or {}
    found = {
        "revision": run.get("revision"),
        "data": f"sha256:{str(data['sha256']).removeprefix('sha256:')}" if data.get("sha256") else "",
        "holdout": digests.get("data"),
        "gate's settings": digests.get("config"),
        "candidate's files": digests.get("candidate"),
        "baseline": digests.get("baseline"),
    }
    return [(label, str(value)) for label, value in found.items() if value]


def _release(release: Mapping[str, Any]) -> str:
    what = f"{release['action']}: {release['namespace']}/{release['name']} revision {release['revision']}"
    pods = f"{release['ready']} of {release['replicas']} replicas ready after {duration(release['seconds'])}"
    before = f", before it {release['previous_image']}" if release.get("previous_image") else ""
    return f"{what}, {pods}{before}"


def _tracked(found: Mapping[str, Any]) -> str:
    """Say where a run is to be seen, and what its model is registered as."""
    number, champion = found.get("version"), found.get("champion")
    if not number:
        return str(found.get("url") or "")
    names = f"version {number}{', champion' if champion == number else ''}"
    return f"{found['url']} ({names})"


def _took(run: Mapping[str, Any]) -> str:
    """Say how long the run took, what the cache spared, and what that costs where the price is known."""
    seconds, price = run.get("seconds"), run.get("price_per_hour")
    if seconds is None:
        return ""
    spared = sum(stage.get("seconds") or 0 for stage in run.get("stages") or [] if stage.get("cached"))
    cached = f", the cache spared {duration(spared)}" if spared else ""
    cost = f"; about {number(price * seconds / 3600)} at {number(price)} an hour" if price is not None else ""
    return f"{duration(seconds)}{cached}{cost}"


def threshold(gate: Mapping[str, Any]) -> str:
    """Return a gate's bounds in words: ≥ 0.84, regression ≤ 0.005."""
    bounds = (("≥", gate.get("min")), ("≤", gate.get("max")), ("regression ≤", gate.get("max_regression")))
    unit, _ = _unit(gate["metric"])
    return ", ".join(f"{sign} {number(bound)}{unit}" for sign, bound in bounds if bound is not None)


def measure(metric: str, value: float | None) -> str:
    """Return a metric's value with its unit, as its name tells it."""
    if value is None:
        return NONE
    unit, digits = _unit(metric)
    return f"{value:,.{digits}f}{unit}" if unit else number(value)


def _undecided(gate: Mapping[str, Any]) -> str:
    return ": not enough evidence:" if gate["status"] == "not-enough-evidence" else ""


def _unit(metric: str) -> tuple[str, int]:
    """Return a metric's unit and how many decimals are worth showing."""
    units = {"_ms": (" ms", 2), "_mb": (" MB", 0), "_per_s": ("/s", 0)}
    return next((unit for ending, unit in units.items() if metric.endswith(ending)), ("", 4))


def metrics(verdict: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return every measured metric, its value and the baseline's, the main ones first."""
    values, baseline = (verdict.get(key) or {} for key in ("metrics", "baseline"))
    order = [name for name in MAIN_METRICS if name in values]
    order += sorted(name for name in values if name not in MAIN_METRICS)
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


def _gate(gate: Mapping[str, Any]) -> tuple[str, ...]:
    notes = (_undecided(gate)[2:-1], gate.get("reason"), "" if gate.get("required", True) else "not required")
    note = ", ".join(part for part in notes if part)
    mark = (
        "⚠️" if gate["status"] == "failed" and not gate.get("blocks", True) else MARKS.get(gate["status"], "")
    )
    value, before = (measure(gate["metric"], gate.get(key)) for key in ("value", "baseline"))
    apart = difference(gate.get("difference"))
    before += f" ({apart})" if apart and gate.get("baseline") is not None else ""
    name = f"`{_code(gate['metric'])}`"
    return mark, name, f"{value}{shown(gate.get('interval'))}", before, threshold(gate), _text(note)


def _metrics(verdict: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    # The report has them all.
    wanted = {*MAIN_METRICS, *(verdict.get("reported") or {})}
    intervals = verdict.get("intervals") or {}
    for name, value, before in metrics(verdict):
        if name in wanted:
            yield f"`{_code(name)}`", f"{value}{shown(intervals.get(name))}", before


def _stage(stage: Mapping[str, Any]) -> tuple[str, ...]:
    took = "cached" if stage.get("cached") else duration(stage.get("seconds"))
    return MARKS.get(stage["status"], ""), _text(stage["stage"]), took, _text(stage.get("message") or "")


def _data(data: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    if "rows" in data:
        yield "rows", f"{data['rows']:,}"
        yield "columns", str(len(data.get("columns", [])))
    drift = data.get("drift")
    if drift:
        moved = sum(column["drifted"] for column in drift["columns"])
        reference = f"{drift['reference']} ({drift['rows']:,} rows)"
        yield "drifted", f"{moved} of {len(drift['columns'])} columns against {_text(reference)}"
    for mark, found in (("❌", data.get("violations", [])), ("⚠️", data.get("warnings", []))):
        for finding in found[:SHOWN_FINDINGS]:
            yield mark, _text(finding["message"])
        if len(found) > SHOWN_FINDINGS:
            yield mark, f"and {len(found) - SHOWN_FINDINGS} more"


def _is_hint(stage: Mapping[str, Any]) -> bool:
    return stage.get("status") == "failed" and bool(stage.get("hint"))


def _skew(skew: Mapping[str, Any]) -> str:
    some = f"{skew['differing']} of {skew['rows']}" if skew else "some"
    return f"the image's batch command and its /predict disagree on {some} rows"


def _tests(tests: Mapping[str, Any]) -> str:
    kinds = [(tests.get(kind, 0), kind) for kind in ("passed", "failed", "skipped")]
    counted = ", ".join(f"{count} {kind}" for count, kind in kinds if count) or "none"
    coverage = tests.get("coverage")
    return counted if coverage is None else f"{counted}, {number(coverage)} % of lines covered"


def _section(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    table = _table(head, rows)
    return f"### {title}\n\n{table}" if table else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines]) if lines else ""


def _text(value: Any) -> str:
    """Make any text one line that Markdown shows as it is, in a table too."""
    line = " ".join(str(value).split())
    for character in "\\`*|<":
        line = line.replace(character, f"\\{character}")
    return line.replace("](", "]\\(")  # brackets alone, as in [tool.ml-pipeline], make no link


def _code(value: Any) -> str:
    return " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
