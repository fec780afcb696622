"""Scenarios that run at once, each in a namespace of its own: they mostly wait for pods."""

import concurrent.futures
import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.clusters import Lab, Result, Target

Images = Mapping[str, str]
Scenario = Callable[[Target, Images], None]
Started = Mapping[str, "concurrent.futures.Future[None]"]

QUICK: dict[str, Any] = {"replicas": 1, "timeout_s": 40, "keep_s": 0}
AT_ONCE = 6


def call(target: Target, action: str, *flags: str, **settings: Any) -> Result:
    """Make a call with settings that take little time."""
    return target.call(action, *flags, **(QUICK | settings))


def digest(image: str) -> str:
    return image.rpartition("@")[2]


def serving(target: Target) -> str:
    """Return the image that serves, complete."""
    status = call(target, "status").record
    assert status["state"] == "ready", status
    image: str = status["image"]
    return image


@contextlib.contextmanager
def started(
    scenarios: Sequence[Scenario], lab: Lab, images: Images, folders: pytest.TempPathFactory
) -> Iterator[Started]:
    """Start every scenario; yield them by name."""
    targets = {
        scenario: Target(
            folders.mktemp("scenario"), lab.kubeconfig, f"scenario-{uuid.uuid4().hex[:8]}", lab.kubeconfig
        )
        for scenario in scenarios
    }
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        yield {each.__name__: pool.submit(each, targets[each], images) for each in scenarios}
        pool.shutdown(wait=True, cancel_futures=True)
    for target in targets.values():
        target.kubectl("delete", "namespace", target.namespace, "--ignore-not-found", "--wait=false")
