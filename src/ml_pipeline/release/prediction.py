"""Asks a pod of a release for a real prediction, the one that the model's own example gets."""

import json
import time

from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import NoAnswer, Unreachable
from ml_pipeline.cluster.fields import Json, Object, at
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release.manifests import Release
from ml_pipeline.serving.contract import PORT

ATTEMPTS = 4
PATIENCE_S = 30  # a first prediction may be slow


def predict(cluster: Cluster, release: Release, pod: str) -> Object:
    """Ask the pod for its own example's prediction: {"request", "answer"}. Raises StageFailure."""
    example = _ask(cluster, pod, "/model").get("example")
    if not isinstance(example, dict):
        raise StageFailure(f"pod {pod}'s /model has no example", "build the image with build-image")
    request: Object = {"instances": [example]}
    answer = _ask(cluster, pod, "/predict", request)
    predictions = answer.get("predictions")
    if not isinstance(predictions, list) or len(predictions) != 1 or predictions[0] is None:
        cause = f"pod {pod} answers /predict with no prediction: {one_line(json.dumps(answer), 200)}"
        raise StageFailure(cause, "fix the model's server")
    version = at(answer, "model", "version")
    if release.version and version != release.version:
        cause = f"pod {pod} answers as model version {version}, and {release.version} was released"
        raise StageFailure(cause, "release the image of that version")
    return {"request": request, "answer": answer}


def _ask(cluster: Cluster, pod: str, path: str, body: Json = None) -> Object:
    code, data = _answer(cluster, pod, path, body)
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if code != 200 or not isinstance(answer, dict):
        cause = f"pod {pod} answers {code} to {path}: {one_line(data, 200)}"
        raise StageFailure(cause, "run the image by hand and send it the same request")
    return answer


def _answer(cluster: Cluster, pod: str, path: str, body: Json) -> tuple[int, bytes]:
    """Ask again where the pod is busy, as a caller would, or the way to it is not open yet."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            code, data = cluster.ask(pod, PORT, path, body, patience_s=PATIENCE_S)
            if code != 503 or attempt == ATTEMPTS:
                return code, data
        except Unreachable as failure:
            # Then it is no longer the API server's own trouble, which a caller would wait for.
            if attempt == ATTEMPTS or isinstance(failure, NoAnswer):
                raise StageFailure(failure.cause, failure.hint) from None
        time.sleep(0.5)
    raise AssertionError("unreachable")
