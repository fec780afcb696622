"""The program run_job, against a real API server and node, with an image that has no torch.

So each training ends in the one line that says so, or does not start at all: what is tested is how that
comes back, and that nothing stays behind.
"""

import dataclasses
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.training import job as training_job
from ml_pipeline.training.job import TrainingJob
from tests import toy_images as toy
from tests.calls import ROOT
from tests.clusters import Lab, Result, Target, least_privileged

pytestmark = pytest.mark.cluster

NAME = "wine-train-01234567"
NO_TORCH = "train: training in several processes needs torch, which is not installed"
FILES = {
    "settings.json": json.dumps({"task": "classification", "target": "y", "config": {}}).encode(),
    "rows/train.parquet": b"never read",
}


@pytest.fixture(scope="module")
def image(lab: Lab) -> str:
    """An image with the programs and settings that a training image has, and no torch."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(
            ROOT / "src", "app", filter=lambda member: None if "__pycache__" in member.name else member
        )
        python = tarfile.TarInfo("opt/venv/bin/python")
        python.type, python.linkname = tarfile.SYMTYPE, "/usr/bin/python3"
        archive.addfile(python)
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    variables = {"PYTHONPATH": "/app", "ML_DATA": "/rows/train.parquet", "ML_OUTPUT": "/output"}
    layer = gzip.compress(packed.getvalue(), 1)
    return toy.image(lab.registry, "no-torch:latest", variables, {}, layer)


@dataclasses.dataclass(frozen=True)
class Trainer:
    """One namespace, and the stage as one who trains in it."""

    target: Target
    job: TrainingJob

    def start(self, kubeconfig: Path | None = None, **changes: Any) -> "subprocess.Popen[str]":
        folder = self.target.folder
        job = dataclasses.replace(self.job, **changes)
        (folder / "settings.json").write_text(json.dumps(dataclasses.asdict(job)))
        words = ["--config", folder / "settings.json", "--output", folder / "out"]
        words += ["--kubeconfig", kubeconfig or self.target.kubeconfig]
        paths = {"PYTHONPATH": str(ROOT / "src"), "ML_OUTCOME": str(folder / "out.json")}
        return subprocess.Popen(
            [sys.executable, "-m", "ml_pipeline.training.run_job", *map(str, words)],
            env={**os.environ, **paths},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def call(self, kubeconfig: Path | None = None, **changes: Any) -> tuple[Result, str]:
        """Run it to its end; return what came of it, and what it printed."""
        process = self.start(kubeconfig, **changes)
        printed, stderr = process.communicate(timeout=180)
        outcome = json.loads((self.target.folder / "out.json").read_text())
        return Result(process.returncode, stderr, outcome), printed

    def left(self) -> list[str]:
        """What is in the namespace."""
        items = self.target.get("jobs,services,pods")["items"]
        return [f"{each['kind']} {each['metadata']['name']}" for each in items]

    def wait_for(self, kind: str) -> None:
        deadline = time.monotonic() + 60
        while f"{kind} {NAME}" not in " ".join(self.left()):
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
def trainer(target: Target, image: str) -> Trainer:
    arguments = ("--config", "/settings.json")
    job = TrainingJob(NAME, target.namespace, image, 2, "cpu", arguments, cpu_millicores=50, memory_mb=100)
    return Trainer(target, job)


@pytest.mark.timeout(240)
def test_what_training_says_comes_back_and_nothing_stays(trainer: Trainer) -> None:
    allowed = least_privileged(trainer.target, rules=training_job.ROLE_RULES)
    result, printed = trainer.call(allowed)
    assert result.line.startswith(NO_TORCH)
    assert f"[0] {NO_TORCH}" in printed or f"[1] {NO_TORCH}" in printed, "the pods' logs are passed on"
    assert trainer.left() == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"image": "{registry}/no-torch@sha256:" + "0" * 64}, "the cluster can't pull"),
        ({"cpu_millicores": 1_000_000, "schedule_s": 3}, "Insufficient cpu"),
        ({"device": "cuda", "schedule_s": 3}, "Insufficient nvidia.com/gpu"),
    ],
)
def test_pods_that_never_run(trainer: Trainer, lab: Lab, changes: Mapping[str, Any], cause: str) -> None:
    formatted = {
        key: value.format(registry=lab.registry) if isinstance(value, str) else value
        for key, value in changes.items()
    }
    result, _ = trainer.call(**formatted)
    assert cause in result.line
    assert trainer.left() == []


@pytest.mark.timeout(120)
def test_an_object_of_another_is_left_alone(trainer: Trainer) -> None:
    trainer.target.kubectl("create", "namespace", trainer.target.namespace)
    trainer.target.kubectl("create", "service", "clusterip", NAME, "--tcp", "80")
    result, _ = trainer.call()
    assert (
        f"Service {NAME} in namespace {trainer.target.namespace} was not created by ml-pipeline"
        in result.line
    )
    assert trainer.left() == [f"Service {NAME}"]


@pytest.mark.timeout(240)
def test_a_call_that_is_ended_cleans_up_and_one_that_is_killed_is_cleaned_up_after(trainer: Trainer) -> None:
    with trainer.start(cpu_millicores=1_000_000) as process:
        trainer.wait_for("Job")
        process.terminate()
        _, stderr = process.communicate(timeout=90)
    assert stderr == "train: interrupted by SIGTERM; make the same call again\n"
    assert trainer.left() == []

    with trainer.start(cpu_millicores=1_000_000) as process:
        trainer.wait_for("Job")
        process.send_signal(signal.SIGKILL)
    assert f"Job {NAME}" in trainer.left()
    result, printed = trainer.call()
    assert result.line.startswith(NO_TORCH)
    assert "deleted what a previous call of this run left behind" in printed
    assert trainer.left() == []


@pytest.mark.timeout(120)
def test_a_user_who_may_not_train_learns_which_right_is_missing(trainer: Trainer) -> None:
    releaser = least_privileged(trainer.target)  # may deploy, and no more
    result, _ = trainer.call(releaser)
    assert f"may not get jobs in namespace {trainer.target.namespace}; grant it the role" in result.line
