"""Every write of a release and of a rollback: the deployer is killed at it, or its answer is an error.

Then the same call again ends in one release, whole and serving, and a third call writes nothing. All the time
callers ask the Service: none gets an error.
"""

import concurrent.futures
import contextlib
import json
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import toy_images as toy
from tests.api_proxy import Fault, Proxy
from tests.clusters import Lab, Result, Target

pytestmark = pytest.mark.cluster

QUICK = {"replicas": 1, "timeout_s": 60, "keep_s": 0}
BLUE_GREEN = {"strategy": "blue-green"}


@dataclass
class Place:
    """A namespace behind a proxy."""

    target: Target
    proxy: Proxy
    images: Mapping[str, str]

    def call(self, action: str, *flags: str, image: str = "", **settings: Any) -> Result:
        given = {"image": self.images[f"good-{image}"], "version": image} if image else {}
        return self.target.call(action, *flags, **QUICK, **given, **settings)

    def killed(self, write: int, action: str, *flags: str, image: str = "", **settings: Any) -> bool:
        """Kill a call when it has made its `write`-th write; tell whether it came that far."""
        self.proxy.start(lambda number, _path: "kill" if number == write else "")
        given = {"image": self.images[f"good-{image}"], "version": image} if image else {}
        process = self.target.start(action, *flags, **QUICK, **given, **settings)
        self.proxy.kill = lambda: process.send_signal(signal.SIGKILL)
        code = process.wait()
        self.proxy.start()
        if code == -signal.SIGKILL:
            self.expire()
        return code == -signal.SIGKILL

    def expire(self) -> None:
        """Let the lock of the call that was killed end after a second: there are dozens of kills."""
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{self.target.namespace}/leases/toy-release"
        change = json.dumps({"spec": {"leaseDurationSeconds": 1}}).encode()
        self.proxy.forward("PATCH", leases, change, {"Content-Type": "application/merge-patch+json"})

    def serves(self, version: str) -> None:
        """Assert that one release is complete, and that it alone serves."""
        status = self.target.call("status", **QUICK).record
        assert (status["state"], status["version"]) == ("ready", version), status
        with toy.Callers(self.target.address(), callers=1, pause_s=0.01) as callers:
            callers.wait_for(version)


@pytest.fixture
def place(lab: Lab, tmp_path: Path, images: Mapping[str, str]) -> Iterator[Callable[[], Place]]:
    """Return a function that makes a place in a namespace that does not exist yet."""
    made: list[Place] = []

    def make() -> Place:
        name = f"kill-{uuid.uuid4().hex[:8]}"
        folder = tmp_path / name
        folder.mkdir()
        proxy = Proxy(lab.kubeconfig, folder)
        one = Place(Target(folder, proxy.kubeconfig, name, lab.kubeconfig), proxy, images)
        made.append(one)
        return one

    yield make
    for each in made:
        each.target.kubectl(
            "delete", "namespace", each.target.namespace, "--ignore-not-found", "--wait=false"
        )
        each.proxy.close()


def releases(
    place: Place, first: Mapping[str, Any], *, odd: Mapping[str, Any], even: Mapping[str, Any], start: int
) -> int:
    """Kill releases, each two writes later than the one before; return how many were killed."""
    place.call("release", image="1", **first).record  # noqa: B018 - it asserts
    with toy.Callers(place.target.address(), callers=1, pause_s=0.1) as callers:
        for write in range(start, 30, 2):
            image, settings = ("2", odd) if write % 4 < 2 else ("1", even)
            if not place.killed(write, "release", image=image, **settings):
                break
            second = place.call("release", image=image, **settings).record
            assert second["action"] in {"updated", "unchanged"}
            writes_nothing(place, image, settings)
    assert callers.failures == []
    return (write - start) // 2


def writes_nothing(place: Place, image: str, settings: Mapping[str, Any]) -> None:
    place.serves(image)
    place.proxy.start()
    assert place.call("release", image=image, **settings).record["action"] == "unchanged"
    assert place.proxy.writes == []


def rollbacks(place: Place, settings: Mapping[str, Any], start: int) -> int:
    """Kill rollbacks of version 2 to version 1, each two writes later; return how many were killed."""
    place.call("release", image="1", **settings).record  # noqa: B018 - it asserts
    with toy.Callers(place.target.address(), callers=1, pause_s=0.1) as callers:
        for write in range(start, 30, 2):
            place.call("release", "--force", image="2", **settings).record  # noqa: B018 - it asserts
            if not place.killed(write, "rollback", **settings):
                break
            second = place.call("rollback", **settings)
            if (
                second.code
            ):  # the first had ended, but for the pods of before: the next call that goes well does it
                assert "no good release before" in second.stderr
                assert place.call("release", image="1", **settings).record["action"] == "unchanged"
            writes_nothing(place, "1", settings)
    assert callers.failures == []
    return (write - start) // 2


def first_releases(make: Callable[[], Place]) -> int:
    """Kill first releases, each in a namespace of its own; return how many were killed."""

    def one(write: int) -> bool:
        place = make()
        was_killed = place.killed(write, "release", image="1")
        assert place.call("release", image="1").record["action"] in {"created", "updated", "unchanged"}
        writes_nothing(place, "1", {})
        return was_killed

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return sum(pool.map(one, range(9)))


def disturbed(place: Place, fault: Fault) -> int:
    """Disturb every write of every call once, in a life of releases; return how many were disturbed."""
    faults = 0

    def plan(_number: int, write: str) -> Fault:
        nonlocal faults
        is_first = write not in seen
        seen.add(write)
        faults += is_first
        return fault if is_first else ""

    steps: list[tuple[str, dict[str, Any], str]] = [
        ("1", {}, "created"),
        ("2", {}, "updated"),
        ("", {}, "rolled-back"),
        ("3", BLUE_GREEN, "updated"),
        ("1", BLUE_GREEN, "updated"),
        ("", BLUE_GREEN, "rolled-back"),
    ]
    with contextlib.ExitStack() as calling:
        for number, (image, settings, action) in enumerate(steps):
            seen: set[str] = set()
            place.proxy.start(plan)
            record = place.call("release" if image else "rollback", image=image, **settings).record
            assert record["action"] == action
            assert record["notes"] == [], "the lock was left behind"
            if number == 0:
                callers = toy.Callers(place.target.address(), callers=1, pause_s=0.1)
                calling.enter_context(callers)
    assert callers.failures == []
    writes_nothing(place, "3", BLUE_GREEN)
    return faults


@pytest.mark.timeout(900)  # some minutes, for each of its calls starts pods
def test_a_call_that_is_killed_or_answered_by_an_error_at_any_write(place: Callable[[], Place]) -> None:
    faults: tuple[Fault, ...] = ("409", "429", "500", "cut")
    kills: dict[str, list[concurrent.futures.Future[int]]] = {}
    with concurrent.futures.ThreadPoolExecutor(10) as pool:  # what takes longest begins first
        for start in (0, 1):  # every second write in one namespace, the others in another
            for name, settings in (("rollback", {}), ("rollback, blue-green", BLUE_GREEN)):
                started = pool.submit(rollbacks, place(), settings, start)
                kills.setdefault(name, []).append(started)
            for name, first, odd, even in (
                ("rolling", {}, {}, {}),
                ("blue-green", BLUE_GREEN, BLUE_GREEN, BLUE_GREEN),
                ("change of strategy", {}, BLUE_GREEN, {}),
            ):
                started = pool.submit(releases, place(), first, odd=odd, even=even, start=start)
                kills.setdefault(name, []).append(started)
        kills["first release"] = [pool.submit(first_releases, place)]
        answers = {fault: [pool.submit(disturbed, place(), fault)] for fault in faults}
        counts = {
            name: sum(each.result() for each in started) for name, started in {**kills, **answers}.items()
        }
    print(counts)
    assert min(counts[name] for name in kills) >= 5
    assert min(counts[fault] for fault in faults) >= 30
