"""What a call of the pipeline costs, cold, warm and after edits, beside a module of one function.

    python3 -m benchmarks.pipeline [--quick]

The project is a copy of tests/projects/wine, trained by the built-in trainer; it goes to no
registry and no cluster. Cold: a training seed that no run had, so that no stage of it is in the
cache; installed packages and base images are. Then, in every round and taking turns: the same call
again, and the trivial module's call on the same folder; after the rounds one edit each of the
README, of a test and of the training configuration, with the stages that ran again as the
summary's table tells them. (build-image is the engine's own work; it does not say whether it had
it, and is not listed.) Needs an engine: the lab's, or the one of a Docker or Podman that is there.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lab import choice
from tests.calls import ROOT, Answer, Dagger, copy, stages

UNTOLD = {"build-image"}
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.pipeline", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="three rounds instead of ten")
    rounds = 3 if parser.parse_args().quick else 10
    variables = choice.use(cluster=False)
    if "PATH" in variables:  # as a shell would expand it
        variables["PATH"] = variables["PATH"].replace("$PATH", os.environ["PATH"])
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Dagger(variables, timeout=600), Path(folder) / "wine", rounds)
    print(json.dumps(figures))


def measure(dagger: Dagger, folder: Path, rounds: int) -> dict[str, object]:
    project = copy("wine", folder)
    settings = "[train]\nseed = {seed}\nconfig = {{epochs = {epochs}}}\n"
    toml = (folder / "ml-pipeline.toml").read_text()
    seed = time.time_ns() % 2**31
    project.write("ml-pipeline.toml", toml + settings.format(seed=seed, epochs=40))

    def pipeline() -> Answer:
        answer = dagger.call(folder, "full-pipeline")
        if answer.code:
            sys.exit(f"the pipeline failed: {'; '.join(answer.errors)}")
        return answer

    def trivial() -> None:
        command = ["dagger", "--progress=plain", "call", "-m", str(ROOT / "benchmarks/trivial"), "entries"]
        subprocess.run(
            [*command, f"--source={folder}"], env=dagger.variables, check=True, capture_output=True
        )

    trivial()  # builds that module's runtime; the pipeline's own is built by the cold call, and said so below
    cold_s, answer = timed(pipeline)
    show("cold (with the module's start)", cold_s, reran(answer))
    warm: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        turns: list[tuple[Callable[[], object], list[float]]] = [(pipeline, warm), (trivial, bare)]
        for call, times in turns if number % 2 else reversed(turns):
            times.append(timed(call)[0])
    show("warm, nothing changed", statistics.median(warm), reran(pipeline()))
    show("trivial module", statistics.median(bare), [])

    project.write("README.md", f"# Wine {seed}\n")
    readme = edited("README edited", pipeline)
    test = folder / "tests" / "test_bottles.py"
    project.write("tests/test_bottles.py", f"{test.read_text()}\n\n# {seed}\n")
    tests = edited("test edited", pipeline)
    project.write("ml-pipeline.toml", toml + settings.format(seed=seed, epochs=41))
    config = edited("training configuration edited", pipeline)
    over = [w - b for w, b in zip(warm, bare, strict=True)]
    spread = f"from {min(over):.2f} to {max(over):.2f}"
    print(f"warm beyond trivial: median {statistics.median(over):.2f} s, {spread}")
    return {
        "cold_s": round(cold_s, 2),
        "warm_s": round(statistics.median(warm), 2),
        "trivial_warm_s": round(statistics.median(bare), 2),
        "warm_over_trivial_s": round(statistics.median(over), 2),
        "warm_over_trivial_range_s": [round(min(over), 2), round(max(over), 2)],
        "rounds": rounds,
        "readme_edit_reran": readme,
        "test_edit_reran": tests,
        "config_edit_reran": config,
    }


def timed(work: Callable[[], T]) -> tuple[float, T]:
    clock = time.monotonic()
    result = work()
    return time.monotonic() - clock, result


def edited(what: str, pipeline: Callable[[], Answer]) -> list[str]:
    seconds, answer = timed(pipeline)
    again = reran(answer)
    show(what, seconds, again)
    return again


def reran(answer: Answer) -> list[str]:
    return [stage for stage, took in stages(answer.out).items() if took != "cached" and stage not in UNTOLD]


def show(what: str, seconds: float, again: list[str]) -> None:
    print(f"{what:32} {seconds:7.2f} s  ran: {', '.join(again) or 'nothing'}", flush=True)


if __name__ == "__main__":
    main()
