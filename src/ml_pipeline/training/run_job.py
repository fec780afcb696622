"""Train on several nodes of a Kubernetes cluster, as an Indexed Job; bring back what it wrote.

    python -m ml_pipeline.training.run_job --config settings.json --kubeconfig FILE --output out

The pods' logs are passed on, each line with its pod's index. Job and Service are deleted at the end, also of
one that a signal asks for; what a call that was killed left of the same run is deleted by the next. What the
training says, a failure included, is said as if it had run here.

Needs in the namespace (training_job.ROLE_RULES, as a Role): jobs and services get, create, patch, delete;
pods list; pods/log get; pods/proxy get, create. Where the namespace does not exist yet: create namespaces.
"""

import argparse
import hashlib
import io
import json
import signal
import tarfile
import time
from pathlib import Path
from typing import Any

from ml_pipeline.cluster.client import Cluster, Refused, Unreachable
from ml_pipeline.cluster.kubeconfig import read_kubeconfig
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.release import manifests
from ml_pipeline.release.rollout import Failed, Progressing
from ml_pipeline.training import job as training_job
from ml_pipeline.training import watch as training_watch
from ml_pipeline.training.job import RESULT_PORT, TrainingJob
from ml_pipeline.training.watch import Done

POLL_S = 1.0
WATCHED_S = 15  # between two calls that tell a pod that it is watched
BLIND_S = 60  # an API server that restarts is waited for this long
GONE_S = training_job.GRACE_S + 60
OURS = ("jobs", "services")


def train(cluster: Cluster, job: TrainingJob, output: Path) -> dict[str, Any]:
    """Run the Job to its end; return the training's details. Raises `StageFailure`."""
    for kind in OURS:
        cluster.owned(kind, job.name)
    if _delete(cluster, job):
        print("what a call of this run left behind was deleted", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        _start(cluster, job)
        pod = Watch(cluster, job).wait()
        outcome = _take(cluster, pod, output)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # to be asked to end twice leaves nothing behind either
        try:
            _delete(cluster, job)
        except StageFailure as failure:  # which must not hide how the training went
            print(
                f"the Job was left behind: {failure.cause}; the next call of this run deletes it", flush=True
            )
    if outcome["status"] != "passed":
        raise StageFailure(outcome["message"], outcome["hint"], outcome["details"])
    details: dict[str, Any] = outcome["details"]
    return details | {"nodes": job.nodes}


def _start(cluster: Cluster, job: TrainingJob) -> None:
    try:
        service = cluster.apply("services", training_job.service(job))
    except Refused as refused:
        if refused.code != 404:
            raise
        cluster.create_namespace(manifests.namespace(job.namespace))
        service = cluster.apply("services", training_job.service(job))
    made = cluster.apply("jobs", training_job.job(job, service["spec"]["clusterIP"]))
    cluster.apply("services", training_job.service(job, made["metadata"]["uid"]))
    where = f"Job {job.name} in namespace {job.namespace}"
    print(f"{where}: {job.nodes} pods on {job.device}", flush=True)


class Watch:
    """Looks at a Job until a pod has the result, and passes on what its pods say."""

    def __init__(self, cluster: Cluster, job: TrainingJob) -> None:
        self._cluster = cluster
        self._job = job
        self._read: dict[str, str] = {}  # pod → the time of the last line that was passed on
        self._told = 0.0  # when the pods were last told that they are watched

    def wait(self) -> str:
        """Return the pod that has the result. Raises StageFailure where there will be none."""
        seen = since = time.monotonic()
        trouble = said = ""
        while True:
            now = time.monotonic()
            try:
                verdict = self._look()
            except Unreachable:
                if now - seen > BLIND_S:
                    raise
                time.sleep(POLL_S)
                continue
            seen = now
            if isinstance(verdict, Done):
                return verdict.pod
            if isinstance(verdict, Failed):
                if verdict.hint != trouble:  # a cause counts what changes: nodes, pods
                    trouble, since = verdict.hint, now
                if now - since >= verdict.patience_s:
                    raise StageFailure(verdict.cause, verdict.hint)
            elif verdict.text != said:
                trouble, said = "", verdict.text
                print(said, flush=True)
            time.sleep(POLL_S)

    def _look(self) -> Progressing | Done | Failed:
        job = self._cluster.get("jobs", self._job.name)
        pods = self._cluster.list("pods", manifests.selector(self._job.name))
        for index, pod in training_watch.running(pods):
            lines, last = training_watch.fresh(
                self._cluster.log(pod, self._read.get(pod, "")), self._read.get(pod, "")
            )
            self._read[pod] = last
            for line in lines:
                print(f"[{index}] {line}", flush=True)
        if time.monotonic() - self._told > WATCHED_S:
            self._told = time.monotonic()
            for pod in training_watch.answering(pods):
                _ask(self._cluster, pod, "/watched")
        return training_watch.judge(self._job, job, pods)


def _take(cluster: Cluster, pod: str, output: Path) -> dict[str, Any]:
    """Fetch what a pod offers, check it, and unpack it; return the outcome."""
    for _ in range(3):
        digest, content = _ask(cluster, pod, "/digest"), _ask(cluster, pod, "/result")
        if content and hashlib.sha256(content).hexdigest() == digest.decode():
            break
    else:
        raise StageFailure(f"the result of pod {pod} does not arrive whole", "make the same call again")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [m for m in archive.getmembers() if m.name.startswith("output/")]
        for member in members:
            member.name = member.name.removeprefix("output/")
        document = archive.extractfile("outcome.json")
        assert document is not None  # noqa: S101
        outcome: dict[str, Any] = json.load(document)
        archive.extractall(output, members, filter="data")
    _ask(cluster, pod, "/taken", {})
    return outcome


def _ask(cluster: Cluster, pod: str, path: str, body: Any = None) -> bytes:
    """Ask a pod; nothing where it does not answer well: it may be about to start, or to end."""
    try:
        code, data = cluster.ask(pod, RESULT_PORT, path, body)
    except (Refused, Unreachable):
        return b""
    return data if code == 200 else b""


def _delete(cluster: Cluster, job: TrainingJob) -> bool:
    """Delete what there is of a run, and wait until it is gone; whether there was any."""
    found = [kind for kind in OURS if cluster.get(kind, job.name) is not None]
    for kind in found:
        cluster.delete(kind, job.name)
    deadline = time.monotonic() + GONE_S
    while any(cluster.get(kind, job.name) is not None for kind in found):
        if time.monotonic() > deadline:
            raise StageFailure(f"the pods of {job.name} do not end", "look at their nodes")
        time.sleep(0.3)
    return bool(found)


def _interrupt(number: int, _frame: object) -> None:
    raise StageFailure(f"interrupted by {signal.Signals(number).name}", "make the same call again")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="a training_job.TrainingJob, JSON")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="its current context counts")
    parser.add_argument("--api-server", metavar="URL", help="connect there; see the deploy stage")
    parser.add_argument("--output", type=Path, required=True, help="the folder for what training wrote")
    options = parser.parse_args()

    def body() -> dict[str, Any]:
        job = training_job.training_job(json.loads(options.config.read_text()))
        cluster = Cluster(read_kubeconfig(options.kubeconfig, options.api_server), job.namespace)
        options.output.mkdir(parents=True, exist_ok=True)
        return train(cluster, job, options.output)

    run_stage("train", body)


if __name__ == "__main__":
    main()
