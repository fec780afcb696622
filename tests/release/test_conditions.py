"""Releases among other platforms, pods that flap, errors that come late, an autoscaler, an API that is away.

All scenarios run at once.
"""

import io
import json
import re
import signal
import tarfile
import time
from collections.abc import Callable, Iterator

import pytest

from tests import toy_images as toy
from tests.api_proxy import Fault, Proxy
from tests.clusters import Lab, Target
from tests.release.scenarios import QUICK, Images, Scenario, Started, call, digest, serving, started

pytestmark = pytest.mark.cluster

# The first bytes of a program for 64-bit ARM; the rest does not matter, for no other node runs it.
ARM_PROGRAM = bytes.fromhex("7f454c46020101000000000000000000 0200b70001000000").ljust(64, b"\0")


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def undone(target: Target, images: Images, line: str) -> None:
    """Assert that the first release serves, and that the line says so."""
    good = images["good-1"]
    assert f"the release was undone, and the last good one ({digest(good)}) is serving" in line
    assert serving(target) == good


def an_image_of_another_platform(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"]).record  # noqa: B018 - it asserts
    line = call(target, "release", image=images["arm"]).line
    assert "exec format error" in line
    assert line.endswith("; build the image for the platform of the nodes")
    undone(target, images, line)


def pods_that_flap(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"]).record  # noqa: B018 - it asserts
    line = call(target, "release", image=images["flaps"], watch_s=60).line
    assert "the new release did not run, or started again, at " in line
    undone(target, images, line)


def errors_that_come_late(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"]).record  # noqa: B018 - it asserts
    with toy.Callers(target.address(), callers=2) as callers:
        until(lambda: len(callers.versions) > 200)
        line = call(target, "release", image=images["late"], watch_s=60).line
        callers.wait_for("1")
    assert line.startswith("deploy: the new release answered ")
    after = re.search(r"with an error, the old one 0\.0 % .*, after (\d+)[\d.]* s in production", line)
    assert after, line
    assert 8 <= int(after[1]) < 30
    undone(target, images, line)


def an_autoscaler_owns_the_number_of_pods(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"], version="1").record  # noqa: B018 - it asserts
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "toy"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "toy"},
            "minReplicas": 2,
            "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    }
    target.kubectl("create", "-f", "-", stdin=json.dumps(autoscaler))
    until(lambda: target.get("deployment", "toy")["status"].get("readyReplicas") == 2)
    for action in ("updated", "unchanged"):
        assert call(target, "release", image=images["good-2"], version="2").record["action"] == action
        assert target.get("deployment", "toy")["spec"]["replicas"] == 2
    assert serving(target) == images["good-2"]


def the_api_server_is_away_in_an_undo(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"]).record  # noqa: B018 - it asserts
    proxy = Proxy(target.admin, target.folder)
    through = Target(target.folder, proxy.kubeconfig, target.namespace, target.admin)

    def plan(_number: int, write: str) -> Fault:
        proxy.away = "/services/" in write  # a release that never got ready writes there in its undo only
        return "cut" if proxy.away else ""

    proxy.start(plan)
    process = through.start("release", **(QUICK | {"image": images["unready"], "timeout_s": 5}))
    until(lambda: proxy.away)
    time.sleep(33)  # a release waits for 30
    proxy.start()
    proxy.away = False
    undone(target, images, through.finish(process).line)
    proxy.close()


def a_call_that_is_killed_in_its_watch(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"]).record  # noqa: B018 - it asserts
    new = {"image": images["good-2"], "version": "2"}
    process = target.start("release", **(QUICK | new | {"watch_s": 60}))
    until(lambda: "deploy: watching toy for 60 s" in process.read()[0])
    process.send_signal(signal.SIGKILL)
    target.finish(process)
    again = call(target, "release", **new, watch_s=3)
    note = "the watch of revision 2 did not end, because its call was killed; it is watched again, for 3 s"
    assert again.record["action"] == "watched"
    assert note in again.record["notes"]
    assert f"deploy: {note}" in again.stdout
    assert again.record["watch"]["looks"] == 3
    assert call(target, "release", **new, watch_s=3).record["action"] == "unchanged"


SCENARIOS: tuple[Scenario, ...] = (
    the_api_server_is_away_in_an_undo,
    an_autoscaler_owns_the_number_of_pods,
    errors_that_come_late,
    pods_that_flap,
    an_image_of_another_platform,
    a_call_that_is_killed_in_its_watch,
)


@pytest.fixture(scope="module")
def running(lab: Lab, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Start every scenario; yield them by name."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        program = tarfile.TarInfo("arm-program")
        program.size, program.mode = len(ARM_PROGRAM), 0o755
        archive.addfile(program, io.BytesIO(ARM_PROGRAM))
    starts, layer = {"Entrypoint": ["/arm-program"]}, content.getvalue()
    more = {
        "arm": toy.image(lab.registry, "toy:arm", {}, starts, layer),
        "flaps": toy.push(lab.registry, "flaps", "8"),
        "late": toy.push(lab.registry, "late", "9"),
    }
    with started(SCENARIOS, lab, {**images, **more}, tmp_path_factory) as scenarios:
        yield scenarios


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_release_in(running: Started, scenario: Scenario) -> None:
    running[scenario.__name__].result()
