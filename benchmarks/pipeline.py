"""How long a call of `full-pipeline` takes, and which stages run again after an edit.

    python3 benchmarks/pipeline.py           5 rounds
    python3 benchmarks/pipeline.py --quick   1 round, in two to three minutes
    python3 benchmarks/pipeline.py --against=COMMIT   warm calls of this module and of an older one, in turns

It calls the pipeline on tests/projects/tumours, by the real command line on a real engine (the lab, which it
starts if it is not up). A round has one call of each kind:

- cold: a new seed and a new comment in a test, so that the inputs of each stage are new to the engine. The
  base images, the installed packages and the module are in its cache.
- warm: nothing changed since the previous call. A module whose only function does nothing is called too.
- readme, test, config: after an edit of the README, of a test's comment, of a number in `train.config`

Seconds are those of the whole command. The last line is one JSON object: medians, `…_range` with the least
and the greatest value, and `…_reran` with the stages that were not answered from the cache.
"""

import argparse
import dataclasses
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lab import lifecycle, paths, processes
from tests import calls, module_versions

UNTOLD = {"build-image", "publish"}  # the engine does these, and does not say whether they were cached
SERVICES = {"registry", "engine"}
TRIVIAL = ROOT / "benchmarks" / "trivial"


@dataclass
class Benchmark:
    """One project, its edits, and what was measured."""

    dagger: calls.Dagger
    project: calls.Project
    seconds: dict[str, list[float]] = field(default_factory=dict)
    reran: dict[str, set[str]] = field(default_factory=dict)

    def pipeline(self, kind: str, edit: Callable[[], None] | None = None) -> None:
        """Make an edit, call the pipeline, and record how long it took and which stages ran."""
        if edit:
            edit()
        clock = time.monotonic()
        answer = self.dagger.call(self.project.path, "full-pipeline")
        self._note(kind, time.monotonic() - clock)
        if answer.code:
            sys.exit(f"{kind}: {' / '.join(answer.errors)}")
        ran = {stage for stage, took in calls.stages(answer.out).items() if took != "cached"} - UNTOLD
        self.reran.setdefault(kind, set()).update(ran)
        print(f"    ran: {', '.join(sorted(ran)) or 'nothing'}")

    def warm_against(self, older: calls.Dagger, rounds: int) -> dict[str, object]:
        """Compare warm calls of this module with an older one's; return ratios with their spread."""
        sides = {"warm": self.dagger, "older": older}
        for dagger in sides.values():  # each has its own stages to be run once
            dagger.call(self.project.path, "full-pipeline")
        for turn in range(rounds):
            for kind in sides if turn % 2 == 0 else reversed(sides):
                clock = time.monotonic()
                answer = sides[kind].call(self.project.path, "full-pipeline")
                self._note(kind, time.monotonic() - clock)
                if answer.code:
                    sys.exit(f"{kind}: {' / '.join(answer.errors)}")
        ratios = [new / old for new, old in zip(self.seconds["warm"], self.seconds["older"], strict=True)]
        spread = [round(bound, 3) for bound in (min(ratios), max(ratios))]
        return {"warm_over_older": round(statistics.median(ratios), 3), "warm_over_older_range": spread}

    def trivial(self) -> None:
        """Call the module that does nothing."""
        clock = time.monotonic()
        said = self._dagger("call", TRIVIAL, "answer")
        self._note("trivial", time.monotonic() - clock)
        assert said.strip() == "42", said  # noqa: S101

    def load_modules(self) -> None:
        """Let the engine build both modules' runtimes, which it keeps until their code changes."""
        self._dagger("functions", ROOT)
        self._dagger("call", TRIVIAL, "answer")

    def _dagger(self, verb: str, module: Path, *words: str) -> str:
        return subprocess.run(
            ["dagger", "--progress=plain", verb, "-m", str(module), *words],
            env=self.dagger.variables,
            cwd=self.project.path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def _note(self, kind: str, seconds: float) -> None:
        self.seconds.setdefault(kind, []).append(seconds)
        print(f"{kind:8} {seconds:6.2f} s", flush=True)

    def new_inputs(self) -> None:
        """Give every stage inputs that are new to the engine."""
        name = "ml-pipeline.toml"
        head, _, tail = (self.project.path / name).read_text().partition("[train]\n")
        tail = tail[tail.index("command") :]
        self.project.write(name, f"{head}[train]\nseed = {_new()}\n{tail}")
        self.edit_test()

    def edit_readme(self) -> None:
        self.project.write("README.md", f"# {_new()}\n")

    def edit_test(self) -> None:
        name = "tests/test_model.py"
        text = (self.project.path / name).read_text()
        self.project.write(name, f"# {_new()}\n{text}")

    def edit_config(self) -> None:
        name = "ml-pipeline.toml"
        head, _, tail = (self.project.path / name).read_text().partition("learning_rate = ")
        self.project.write(name, f"{head}learning_rate = 0.4{_new()}{tail[tail.index('}') :]}")

    def round(self, pairs: int) -> None:
        """Measure each kind once, warm calls and trivial ones in turns."""
        self.pipeline("cold", self.new_inputs)
        for pair in range(pairs):
            turns: list[Callable[[], None]] = [lambda: self.pipeline("warm"), self.trivial]
            for call in turns if pair % 2 == 0 else reversed(turns):
                call()
        self.pipeline("readme", self.edit_readme)
        self.pipeline("test", self.edit_test)
        self.pipeline("config", self.edit_config)

    def result(self) -> dict[str, object]:
        """Return medians, ranges and what ran, as the last line shows them."""
        found: dict[str, object] = {}
        for kind, seconds in self.seconds.items():
            key = "trivial_warm" if kind == "trivial" else kind
            found[f"{key}_s"] = round(statistics.median(seconds), 2)
            found[f"{kind}_range"] = [round(min(seconds), 2), round(max(seconds), 2)]
        over = statistics.median(self.seconds["warm"]) - statistics.median(self.seconds["trivial"])
        found["warm_over_trivial_s"] = round(over, 2)
        found["warm_reran"] = sorted(self.reran["warm"])
        found |= {f"{kind}_edit_reran": sorted(self.reran[kind]) for kind in ("readme", "test", "config")}
        return found | {"calls": sum(map(len, self.seconds.values())), "cpus": os.cpu_count()}


def _new() -> int:
    """Return a new number. (The clock would change a learning rate too little for the model.)"""
    return secrets.randbelow(10**9)


def main() -> None:
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round instead of five")
    parser.add_argument(
        "--against", metavar="COMMIT", help="an older commit whose warm calls to compare with"
    )
    options = parser.parse_args()
    if not {process.service for process in processes.current()} >= SERVICES:
        lifecycle.up(cluster=False, gpu_recorder=False)
    variables = lifecycle.environment() | {"PATH": f"{paths.BIN}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        benchmark = Benchmark(calls.Dagger(variables), calls.copy("tumours", Path(folder) / "tumours"))
        if options.against:
            module = module_versions.at_commit(options.against, Path(folder) / "older")
            older = dataclasses.replace(benchmark.dagger, module=module)
            print(json.dumps(benchmark.warm_against(older, rounds=4 if options.quick else 12)))
            return
        benchmark.load_modules()
        for _ in range(1 if options.quick else 5):
            benchmark.round(pairs=2)
    print(json.dumps(benchmark.result()))


if __name__ == "__main__":
    main()
