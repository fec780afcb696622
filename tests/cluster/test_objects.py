"""The objects that the pipeline applies, compared with a record of them.

A changed pod template restarts the pods of every release that runs: whoever changes the record says why.
"""

import dataclasses
import json
from pathlib import Path

import pytest

from ml_pipeline.cluster import objects
from ml_pipeline.cluster.fields import Object
from ml_pipeline.release import manifests
from ml_pipeline.release.manifests import Release
from ml_pipeline.training import job as training_job
from ml_pipeline.training.job import TrainingJob

RECORD = json.loads(Path(__file__).with_name("objects.json").read_text())
DIGEST = "sha256:" + "ab" * 32

ON_CPU = Release("wine", "models", f"registry:5000/wine:1@{DIGEST}", "0123abcd")
ON_GPUS = dataclasses.replace(
    ON_CPU, version="1.0+local", replicas=3, timeout_s=60, memory_mb=4096, cpu_millicores=250, gpus=1
)
JOB = TrainingJob(
    name="wine-train-0123abcd",
    namespace="models",
    image=f"registry:5000/wine-training:0123@{DIGEST}",
    nodes=3,
    device="cpu",
    arguments=("--config", "/settings.json"),
    cpu_millicores=2000,
    memory_mb=3000,
    schedule_s=90,
)


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("namespace", objects.namespace("models")),
        ("release service", manifests.service(ON_CPU, ON_CPU.name, {})),
        ("release on the CPU", manifests.deployment(ON_CPU)),
        ("release on GPUs", manifests.deployment(ON_GPUS)),
        ("training service", training_job.service(JOB, "1-2-3")),
        ("training on the CPU", training_job.job(JOB, "10.96.0.7")),
        ("training on GPUs", training_job.job(dataclasses.replace(JOB, device="cuda", gpus=4), "10.96.0.7")),
    ],
)
def test_an_object_is_as_it_was(name: str, thing: Object) -> None:
    assert json.loads(json.dumps(thing)) == RECORD[name]
