"""Train on several nodes of a Kubernetes cluster, as an Indexed Job; bring back what it wrote.

    python -m ml_pipeline.training.run_job --config settings.json --kubeconfig FILE --output out

Prints the pods' logs, each line after its pod's index. Deletes Job and Service at the end, also when a signal
interrupts it; what a killed call of the same run left behind is deleted by the next one. The outcome, a
failure included, is the training's own, as if it had run here.

Needs in the namespace (training.job.ROLE_RULES, as a Role): jobs and services get, create, patch, delete;
pods list; pods/log get; pods/proxy get, create. Where the namespace does not exist yet: create namespaces.
"""

import hashlib
import io
import json
import tarfile
import time
from pathlib import Path
from typing import NoReturn

from ml_pipeline.cluster import command_line, objects, watching
from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Refused, Unreachable
from ml_pipeline.cluster.fields import Json, text
from ml_pipeline.cluster.pods import Failed, Progressing
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.common.reading import read_settings
from ml_pipeline.training import job as training_job
from ml_pipeline.training import watch as training_watch
from ml_pipeline.training.job import RESULT_PORT, TrainingJob
from ml_pipeline.training.watch import Done

POLL_S = 1.0
WATCHED_S = 15  # between two calls that say to a pod that it is watched
BLIND_S = 60  # an API server that restarts is waited for this long
GONE_S = training_job.GRACE_S + 60
OURS = ("jobs", "services")


def train(cluster: Cluster, job: TrainingJob, output: Path) -> dict[str, object]:
    """Run the Job to its end; return the training's details. Raises `StageFailure`."""
    for kind in OURS:
        cluster.owned(kind, job.name)
    if _delete(cluster, job):
        print("deleted what a previous call of this run left behind", flush=True)
    command_line.fail_on_signals()
    try:
        _start(cluster, job)
        follower = Follower(cluster, job)
        done = watching.watch(cluster, follower.look, poll_s=POLL_S, blind_s=BLIND_S)
        outcome = _take(cluster, done.pod, output)
    finally:
        command_line.ignore_signals()  # a second signal must not leave the Job behind either
        try:
            _delete(cluster, job)
        except StageFailure as failure:  # which must not hide how the training went
            print(
                f"the Job was left behind: {failure.cause}; the next call of this run deletes it", flush=True
            )
    if outcome["status"] != "passed":
        raise StageFailure(str(outcome["message"]), str(outcome["hint"]), _details(outcome))
    return _details(outcome) | {"nodes": job.nodes}


def _details(outcome: dict[str, object]) -> dict[str, object]:
    details = outcome["details"]
    return details if isinstance(details, dict) else {}


def _start(cluster: Cluster, job: TrainingJob) -> None:
    try:
        service = cluster.apply("services", training_job.service(job), force=True)
    except Refused as refused:
        if refused.code != 404:
            raise
        cluster.create_namespace(objects.namespace(job.namespace))
        service = cluster.apply("services", training_job.service(job), force=True)
    created = cluster.apply("jobs", training_job.job(job, text(service, "spec", "clusterIP")), force=True)
    cluster.apply("services", training_job.service(job, text(created, "metadata", "uid")), force=True)
    where = f"Job {job.name} in namespace {job.namespace}"
    print(f"{where}: {job.nodes} pods on {job.device}", flush=True)


class Follower:
    """Looks at a Job, prints what is new in its pods' logs, and tells the pods that they are watched."""

    def __init__(self, cluster: Cluster, job: TrainingJob) -> None:
        self._cluster = cluster
        self._job = job
        self._read: dict[str, str] = {}  # pod → the time of the last line that was printed
        self._greeted = 0.0  # when the pods were last told that they are watched

    def look(self, _seconds: float) -> Progressing | Done | Failed:
        """Look once."""
        job = self._cluster.get("jobs", self._job.name)
        pods = self._cluster.list("pods", objects.selector(self._job.name))
        for index, pod in training_watch.running(pods):
            last = self._read.get(pod, "")
            lines, self._read[pod] = training_watch.fresh(self._cluster.log(pod, last), last)
            for line in lines:
                print(f"[{index}] {line}", flush=True)
        if time.monotonic() - self._greeted > WATCHED_S:
            self._greeted = time.monotonic()
            for pod in training_watch.answering(pods):
                _ask(self._cluster, pod, "/watched")
        return training_watch.judge(self._job, job, pods)


def _take(cluster: Cluster, pod: str, output: Path) -> dict[str, object]:
    """Fetch what a pod offers, check it, and unpack it; return the outcome."""
    for _ in range(3):
        digest, content = _ask(cluster, pod, "/digest"), _ask(cluster, pod, "/result")
        if content and hashlib.sha256(content).hexdigest() == digest.decode():
            break
    else:
        cause = f"the result of pod {pod} did not arrive complete in three attempts"
        raise StageFailure(cause, "make the same call again")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [member for member in archive.getmembers() if member.name.startswith("output/")]
        for member in members:
            member.name = member.name.removeprefix("output/")
        document = archive.extractfile("outcome.json")
        assert document is not None  # noqa: S101
        outcome: dict[str, object] = json.load(document)
        archive.extractall(output, members, filter="data")
    _ask(cluster, pod, "/taken", {})
    return outcome


def _ask(cluster: Cluster, pod: str, path: str, body: Json = None) -> bytes:
    """Ask a pod; return nothing where it does not answer well: it may be about to start, or to end."""
    try:
        code, data = cluster.ask(pod, RESULT_PORT, path, body)
    except (Refused, Unreachable):
        return b""
    return data if code == 200 else b""


def _delete(cluster: Cluster, job: TrainingJob) -> bool:
    """Delete what exists of a run, and wait until it is gone; tell whether anything existed."""
    kinds = [kind for kind in OURS if cluster.get(kind, job.name) is not None]
    for kind in kinds:
        cluster.delete(kind, job.name)
    deadline = time.monotonic() + GONE_S
    while any(cluster.get(kind, job.name) is not None for kind in kinds):
        if time.monotonic() > deadline:
            raise StageFailure(f"the pods of {job.name} do not end", "look at their nodes")
        time.sleep(0.3)
    return bool(kinds)


def main() -> NoReturn:
    """Run the Job of the command line's settings, and end the process."""
    parser = command_line.parser("training.run_job", __doc__, "job.TrainingJob")
    parser.add_argument(
        "--output", type=Path, required=True, help="the folder to write into what training wrote"
    )
    options = parser.parse_args()

    def body() -> dict[str, object]:
        job = read_settings(TrainingJob, options.config)
        cluster = command_line.connect(options.kubeconfig, options.api_server, job.namespace)
        options.output.mkdir(parents=True, exist_ok=True)
        return train(cluster, job, options.output)

    run_stage("train", body)


if __name__ == "__main__":
    main()
