"""What callers lose while the release changes, and how long a bad release answers them; on a real cluster.

    .venv/bin/python benchmarks/release.py           about an hour
    .venv/bin/python benchmarks/release.py --quick   about 10 minutes

It needs an engine, a registry and a cluster, and starts the lab if it is not up. A model of a few lines is
served by the server of a real image, which `publish` builds; two pods each. Callers are on this machine: half
of their requests are on new connections, half on connections that they keep. All that is not answered with
200 is lost.

- switches: release another image, then roll back, under load, until all pods of before have ended.
  Blue-green, rolling, and plain Kubernetes (`kubectl set image`, `kubectl rollout undo`) in turn. The same
  for a server that ends at once on SIGTERM, and keeps no connection: rolling, and plain Kubernetes
- take-back: the new release answers 20 % of 50 requests a second with an error. Seconds from the first error
  that a caller got to the last one, by strategy, on new and on kept connections
- decisions: `watch.py`, simulated: how often a release that is as good is taken back, and when a bad one is

The last line is one JSON object.
"""

import argparse
import gzip
import io
import json
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import watch
from callers import KEPT, NEW, Callers

from lab import lifecycle, paths
from tests import calls, clusters
from tests import toy_images as toy

PLAIN = "kubectl"
BLUE_GREEN, ROLLING = "blue-green", "rolling"
BAD = 20  # percent of the answers
PREDICTOR = """
import os
BAD = int(os.environ["BAD"])
def load(folder):
    pass
def predict(rows):
    if rows[0]["age"] % 100 >= 100 - BAD:
        raise ValueError("a bad model")
    return ["no" for _ in rows]
"""
SIGNATURE = {
    "format": 1,
    "name": "toy",
    "version": "1",
    "task": "classification",
    "runtime": "python",
    "columns": [{"name": "age", "type": "integer", "nullable": False}],
    "classes": ["no", "yes"],
    "positive": "yes",
    "example": {"age": 37},
}


@dataclass
class Side:
    """One way to release, in a namespace of its own; `images` are released in turn."""

    name: str
    strategy: str
    images: tuple[str, str]
    drains: bool = True
    target: clusters.Target = field(init=False)
    new: int = 0
    kept: int = 0
    requests: int = 0
    seconds: list[float] = field(default_factory=list)

    def begin(self, folder: Path) -> None:
        """Bring the first release up."""
        place = folder / self.name
        place.mkdir()
        namespace = f"benchmark-{self.name}-{uuid.uuid4().hex[:6]}"
        self.target = clusters.Target(place, paths.KUBECONFIG, namespace, paths.KUBECONFIG)
        if self.strategy == PLAIN:
            self.target.kubectl("create", "namespace", namespace)
            self.target.kubectl("apply", "-f", "-", stdin=json.dumps(plain(self.images[0])))
            self.target.kubectl("rollout", "status", "deployment/toy")
        else:
            self.call("release", image=self.images[0])

    def call(self, action: str, *flags: str, **settings: Any) -> clusters.Result:
        """Release or roll back with the product's program."""
        given = {"keep_s": 0, "strategy": self.strategy, "drains": self.drains, "memory_mb": 128}
        return self.target.call(action, *flags, **given, **settings)

    def change(self, image: str | None) -> None:
        """Release an image, or roll back."""
        if self.strategy == PLAIN:
            words = ("set", "image", "deployment/toy", f"model={image}")
            self.target.kubectl(*(words if image else ("rollout", "undo", "deployment/toy")))
            self.target.kubectl("rollout", "status", "deployment/toy")
        elif image:
            done = self.call("release", "--force", image=image)
            _require(done.record["action"] == "updated", "a release")
        else:
            _require(self.call("rollback").record["action"] == "rolled-back", "a rollback")

    def settle(self) -> None:
        """Wait until no pod is about to end."""
        deadline = time.monotonic() + 60
        while any("deletionTimestamp" in pod["metadata"] for pod in self.target.get("pods")["items"]):
            _require(time.monotonic() < deadline, "the end of old pods")
            time.sleep(0.5)

    def end(self) -> None:
        self.target.kubectl(
            "delete", "namespace", self.target.namespace, "--wait=false", "--ignore-not-found"
        )


def _require(succeeded: bool, what: str) -> None:
    if not succeeded:
        sys.exit(f"the benchmark needs {what}")


def plain(image: str) -> Mapping[str, Any]:
    """Return a Deployment and a Service as one writes them by hand: with a readiness probe."""
    labels = {"app": "toy"}
    probe = {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1}
    container = {"name": "model", "image": image, "ports": [{"containerPort": 8000}], "readinessProbe": probe}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "toy"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "toy"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
    }
    return {"apiVersion": "v1", "kind": "List", "items": [deployment, service]}


def images(folder: Path) -> dict[str, tuple[str, str]]:
    """Build a real image, and put a model on it; return a pair of images by what they are."""
    project = calls.copy("tumours", folder / "tumours")
    dagger = calls.Dagger(lifecycle.environment())
    answer = dagger.call(project.path, "publish", f"--registry={paths.REGISTRY}/models")
    if answer.code:
        sys.exit(" / ".join(answer.errors))
    repository, _, digest = answer.out.strip().removeprefix(f"{paths.REGISTRY}/").partition("@")
    files = {"predictor.py": PREDICTOR, "model.json": json.dumps(SIGNATURE)}

    def image(bad: int, number: int) -> str:
        environment = {"ML_MODEL": "/toy", "BAD": str(bad), "NUMBER": str(number)}
        base = repository.partition(":")[0], digest
        return toy.image(paths.REGISTRY, "toy:benchmark", environment, layer=_layer(files), on=base)

    good = image(0, 1)
    return {
        "good": (good, image(0, 2)),
        "bad": (good, image(BAD, 1)),
        "sudden": (toy.push(paths.REGISTRY, "good", "1"), toy.push(paths.REGISTRY, "good", "2")),
    }


def _layer(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"toy/{name}")
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0)


def switches(sides: list[Side], rounds: int, callers: int) -> None:
    """Switch and roll back each side in turn, under load; count what is lost."""
    for turn in range(rounds):
        for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
            host = side.target.address().removeprefix("http://")
            with Callers(host, callers=callers, rate=10) as load:
                time.sleep(1)
                for image in (side.images[1], None):
                    clock = time.monotonic()
                    side.change(image)
                    side.seconds.append(time.monotonic() - clock)
                    side.settle()
                    time.sleep(1)
            side.new, side.kept = side.new + load.lost(NEW), side.kept + load.lost(KEPT)
            side.requests += len(load.requests)
            lost = f"lost {load.lost(NEW)} new, {load.lost(KEPT)} kept {dict(load.why) or ''}"
            took = " and ".join(f"{each:.1f}" for each in side.seconds[-2:])
            print(f"  {side.name:16} {len(load.requests):6} requests, {took} s, {lost}", flush=True)


def take_back(side: Side) -> tuple[float, float]:
    """Release a bad image, which is taken back; return for how long errors were answered, new and kept."""
    host = side.target.address().removeprefix("http://")
    with Callers(host, callers=5, rate=5) as load:
        time.sleep(8)
        done = side.call("release", "--force", image=side.images[1], watch_s=60)
        _require("the release was undone" in done.stderr, f"a take-back: {done}")
        side.settle()
        time.sleep(2)
    first = load.bad()[0]
    spans = [max(load.bad(kind=kind), default=first) - first for kind in (NEW, KEPT)]
    others = {why: number for why, number in load.why.items() if not why.endswith(" 500")}
    print(
        f"  {side.name:16} {spans[0]:.1f} s new, {spans[1]:.1f} s kept, {len(load.bad())} errors, "
        f"lost: {others or 0}; {done.stderr.split(';')[0]}",
        flush=True,
    )
    return spans[0], spans[1]


def quantile(values: list[float], part: float) -> float:
    """Return the value below which a part of the values is, one of them."""
    return round(sorted(values)[min(len(values) - 1, int(part * len(values)))], 2)


def measured(folder: Path, rounds: int, callers: int) -> dict[str, Any]:
    """Return the figures from the cluster."""
    built = images(folder)
    sides = [Side(name, name, built["good"]) for name in (BLUE_GREEN, ROLLING, PLAIN)]
    sides += [Side(f"sudden-{name}", name, built["sudden"], drains=False) for name in (ROLLING, PLAIN)]
    bad = [Side(f"bad-{name}", name, built["bad"]) for name in (BLUE_GREEN, ROLLING)]
    figures: dict[str, Any] = {}
    try:
        for side in (*sides, *bad):
            side.begin(folder)
        print(f"{rounds} switches and {rounds} rollbacks of each, in turn", flush=True)
        switches(sides, rounds, callers)
        spans: dict[str, list[tuple[float, float]]] = {side.strategy: [] for side in bad}
        print(f"{rounds} bad releases of each, in turn", flush=True)
        for _ in range(rounds):
            for side in bad:
                spans[side.strategy].append(take_back(side))
    finally:
        for side in (*sides, *bad):
            if hasattr(side, "target"):
                side.end()
    ours = [side for side in sides if side.strategy != PLAIN]
    figures |= {"lost_new": sum(side.new for side in ours), "lost_kept": sum(side.kept for side in ours)}
    figures |= {"requests": sum(side.requests for side in ours), "changes": rounds * 2}
    figures["by_side"] = {
        side.name: {
            "lost": side.new + side.kept,
            "requests": side.requests,
            "seconds_p50": round(statistics.median(side.seconds), 1),
        }
        for side in sides
    }
    for strategy, both in spans.items():
        name = "takeback" if strategy == BLUE_GREEN else f"{strategy}_takeback"
        for number, kind in enumerate((NEW, KEPT)):
            values = [each[number] for each in both]
            figures[f"{name}_{kind}_p50_s"] = quantile(values, 0.5)
            figures[f"{name}_{kind}_p95_s"] = quantile(values, 0.95)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds in place of 20")
    quick = parser.parse_args().quick
    lifecycle.up(cluster=True)
    folder = Path(tempfile.mkdtemp())
    try:
        figures = measured(folder, *((3, 4) if quick else (20, 8)))
    finally:
        shutil.rmtree(folder)
    runs = 100 if quick else 1000
    print(f"decisions, simulated, {runs} runs each")
    figures |= watch.false_decisions(runs) | watch.seconds(runs)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
