"""What the cluster has of a release, read at once, and what of it serves; the decisions are pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.fields import (
    Object,
    annotations_of,
    at,
    integer,
    labels_of,
    name_of,
    objects,
    table,
    text,
)
from ml_pipeline.cluster.objects import MANAGER
from ml_pipeline.cluster.pods import Failed, Progressing, holds
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import ledger, rollout
from ml_pipeline.release.ledger import Ledger
from ml_pipeline.release.manifests import COLOURS, PART_OF, deployment_names
from ml_pipeline.release.rollout import Ready

NAME = "app.kubernetes.io/name"
VERSION = "ml-pipeline/model-version"


@dataclass(frozen=True)
class State:
    """The objects of one release. `deployments` are those that exist, by name."""

    name: str
    service: Object | None
    deployments: Mapping[str, Object]
    replicasets: Sequence[Object]
    pods: Sequence[Object]

    @property
    def live(self) -> str:
        """The name of the Deployment that the Service's selector names; "" if nothing is live."""
        return text(self.service, "spec", "selector", NAME)

    @property
    def live_deployment(self) -> Object | None:
        """The Deployment that the Service's selector names, if it exists."""
        return self.deployments.get(self.live)

    @property
    def ledger(self) -> Ledger:
        """The releases and how they ended."""
        return ledger.read_ledger(self.service, self.deployments.get(self.name), self.replicasets)

    def judge(self, deployment: Object) -> Progressing | Ready | Failed:
        """Return where the pods of a Deployment's template stand."""
        return rollout.judge(deployment, self.replicasets, self.pods)


@dataclass(frozen=True)
class Serving:
    """What serves: a Deployment's pods of one template, which is None where only its image is known.

    `pods` are those that are ready. `is_recorded`: whether the ledger says the same.
    """

    deployment: str
    image: str
    version: str | None
    replicas: int
    template: Object | None
    pods: tuple[str, ...] = ()
    is_recorded: bool = True


def read(cluster: Cluster, name: str) -> State:
    """Read everything of the release `name`. Raises StageFailure for what another made."""
    names = deployment_names(name)
    found = {each: _own(cluster, name, each) for each in names}
    service = cluster.owned("services", name)
    labels: Mapping[str, str | Sequence[str]] = {NAME: names, "app.kubernetes.io/managed-by": MANAGER}
    state = State(
        name,
        service,
        {each: deployment for each, deployment in found.items() if deployment is not None},
        cluster.list("replicasets", labels),
        cluster.list("pods", labels),
    )
    if service is not None and state.live not in names:
        cause = f"Service {name} in namespace {cluster.namespace} selects pods of {state.live or 'nothing'!r}"
        raise StageFailure(cause, f"set its selector's {NAME} to {' or '.join(names)}")
    return state


def _own(cluster: Cluster, name: str, deployment_name: str) -> Object | None:
    deployment = cluster.owned("deployments", deployment_name)
    part_of = text(labels_of(deployment or {}), PART_OF)
    if deployment is not None and part_of != ("" if deployment_name == name else name):
        owner = part_of or deployment_name
        where = f"Deployment {deployment_name} in namespace {cluster.namespace}"
        raise StageFailure(f"{where} belongs to the release {owner}, not to {name}", "use another name")
    return deployment


def version_of(deployment: Object) -> str | None:
    """Return the version of the model in a Deployment's or a ReplicaSet's template."""
    return text(annotations_of(table(deployment, "spec", "template")), VERSION) or None


def what_serves(state: State, is_good: Callable[[Sequence[str]], bool]) -> Serving | None:
    """Return what serves, for that is what an undo goes back to; None if nothing does.

    What the ledger says comes first. What it does not say, after a kill or a change by hand, counts if it is
    complete and a pod of it gives a prediction, which `is_good` finds out from the names of its pods; and if
    there is no ledger, also if any pod of it is ready.
    """
    deployment = state.live_deployment
    if deployment is None:
        return None
    entry = ledger.serving(state.ledger)
    image, replicas = rollout.image_of(deployment), integer(deployment, "spec", "replicas")
    is_recorded = entry is not None and entry.image == image
    judged = state.judge(deployment)
    if is_recorded or (isinstance(judged, Ready) and is_good(judged.pods)):
        template = rollout.template_of(deployment)
        pods = ready(rollout.newest_pods(deployment, state.replicasets, state.pods))
        return Serving(state.live, image, version_of(deployment), replicas, template, pods, is_recorded)
    owned = rollout.replicasets_of(deployment, state.replicasets)
    if entry is not None:
        ran = next((each for each in owned if rollout.image_of(each) == entry.image), None)
        served = rollout.template_of(ran) if ran else None
        pods = ready(rollout.pods_of(ran, state.pods)) if ran else ()
        return Serving(state.live, entry.image, entry.version, replicas, served, pods)
    for ran in sorted(owned, key=lambda each: len(ready(rollout.pods_of(each, state.pods))), reverse=True):
        if pods := ready(rollout.pods_of(ran, state.pods)):
            image = rollout.image_of(ran)
            served = rollout.template_of(ran)
            return Serving(state.live, image, version_of(ran), replicas, served, pods, is_recorded=False)
    return None


def place(state: State, strategy: str, image: str) -> str:
    """Return the name of the Deployment where `image` comes up: the live one is only changed by "rolling".

    Pods of that image which still run beside the live ones are used again, whatever their Deployment.
    """
    names = [state.name] if strategy == "rolling" else [f"{state.name}-{colour}" for colour in COLOURS]
    if state.name in names and state.live in {"", state.name}:
        return state.name
    for name, deployment in state.deployments.items():
        is_idle = name != state.live and integer(deployment, "spec", "replicas") > 0
        if is_idle and rollout.image_of(deployment) == image and name in names:
            return name
    return next(name for name in names if name != state.live)


def is_autoscaled(deployment: Object) -> bool:
    """Tell whether an autoscaler owns the number of pods: what scaled it last was not kubectl."""
    return any(
        text(manager, "subresource") == "scale"
        and not text(manager, "manager").startswith("kubectl")
        and at(manager, "fieldsV1", "f:spec", "f:replicas") is not None
        for manager in objects(deployment, "metadata", "managedFields")
    )


def ready(pods: Sequence[Object]) -> tuple[str, ...]:
    """Return the names of the pods that are ready."""
    return tuple(sorted(name_of(pod) for pod in pods if holds(pod, "Ready")))
