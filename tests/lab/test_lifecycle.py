"""Real labs that start and end, on a machine of their own, beside the lab that is up."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import processes
from tests import engine_lock
from tests.lab.isolated import Machine, eventually

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("lab"),
]  # it borrows what the lab built

IMAGE = "localhost:5000/library/python:3.13-slim"
POD_SECONDS, CALL_SECONDS = "86397", "86398"  # by which the tests recognise their processes
SERVICES = {
    "containerd", "engine", "etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy",
    "kube-scheduler", "kubelet", "registry", "rollouts-controller",
}  # fmt: skip


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with engine_lock.shared():
        first = {process.pid for process in processes.current() if process.main}
        made = Machine()
        yield made
        made.close()
        assert first <= {process.pid for process in processes.current()}, "the first lab is not as it was"


@pytest.fixture(scope="module")
def before(machine: Machine) -> dict[str, str]:
    """The machine as it was before any lab."""
    return machine.traces()


def up(machine: Machine) -> str:
    return machine.lab("up", "--cluster")


def call(*words: str) -> list[str]:
    chain = [
        "core",
        "container",
        "from",
        "--address=python:3.13-slim",
        "with-exec",
        f"--args={','.join(words)}",
    ]
    return ["dagger", "--progress=plain", *chain, "stdout"]


def assert_works(machine: Machine) -> None:
    """A call runs in a container of the engine, and the cluster answers with its one ready node."""
    assert machine.ask(*call("python3", "-c", f"print({time.time_ns()}*0+7)")).strip() == "7"
    assert "lab    Ready" in machine.ask("kubectl", "get", "nodes")
    assert "rollouts.argoproj.io" in machine.ask("kubectl", "get", "crd")


def run_pod(machine: Machine, name: str) -> None:
    machine.ask("kubectl", "run", name, f"--image={IMAGE}", "--command", "--", "sleep", POD_SECONDS)
    machine.ask("kubectl", "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def sleepers(seconds: str) -> list[int]:
    """Return the pids, in any namespace, of `sleep` with this argument."""
    pids = []
    for folder in Path("/proc").iterdir():
        try:
            if (folder / "cmdline").read_bytes() == f"sleep\0{seconds}\0".encode():
                pids.append(int(folder.name))
        except OSError:
            continue
    return pids


@pytest.fixture
def busy(machine: Machine) -> Iterator[Callable[[], None]]:
    """Return a function that starts a call of one day and waits until its container runs."""
    calls: list[subprocess.Popen[str]] = []

    def begin() -> None:
        calls.append(machine.start(*call("sleep", CALL_SECONDS)))
        eventually("the call's container runs", lambda: sleepers(CALL_SECONDS))

    yield begin
    for each in calls:
        each.kill()
        each.communicate()


def test_an_up_that_is_killed_is_completed_by_the_next(machine: Machine, before: dict[str, str]) -> None:
    assert before["processes"] == ""
    for line in ("registry on", "Kubernetes v", "containerd"):
        with machine.start(sys.executable, "-m", "lab", "up", "--cluster") as killed:
            assert killed.stderr
            assert any(line in progress for progress in killed.stderr)
            killed.kill()
    up(machine)
    assert_works(machine)


def test_two_ups_at_once_start_each_service_once(machine: Machine) -> None:
    machine.lab("down")
    ups = [machine.start(sys.executable, "-m", "lab", "up", "--cluster") for _ in range(2)]
    lines = [each.communicate(timeout=120)[1] for each in ups]
    assert [each.returncode for each in ups] == [0, 0], lines
    assert any("another up or down is at work" in each for each in lines)
    assert sorted("".join(lines).count(f"lab: {name}") for name in ("registry", "engine", "node")) == [
        1,
        1,
        1,
    ]
    assert_works(machine)


def test_an_up_of_a_running_lab_changes_nothing_and_is_quick(machine: Machine) -> None:
    up(machine)
    pids = machine.pids()
    start = time.monotonic()
    lines = up(machine).splitlines()
    took = time.monotonic() - start
    assert len(lines) == 1, lines
    assert machine.pids() == pids
    assert took < 10  # 1 s on an idle machine
    print(f"an up of a running lab: {took:.2f} s")


def test_after_every_process_is_killed_up_brings_it_all_back(
    machine: Machine, busy: Callable[[], None]
) -> None:
    up(machine)
    run_pod(machine, "survivor")
    busy()
    for pid in machine.pids():
        with contextlib.suppress(ProcessLookupError):  # it went with one that was killed before it
            os.kill(pid, signal.SIGKILL)
    eventually("no process of it is left", lambda: not machine.pids(), 10)
    assert sleepers(POD_SECONDS) == []
    assert sleepers(CALL_SECONDS) == []
    up(machine)
    assert_works(machine)
    eventually("the pod runs again", lambda: sleepers(POD_SECONDS))
    machine.ask("kubectl", "wait", "--for=condition=Ready", "pod/survivor", "--timeout=60s")


def test_a_service_that_alone_was_killed_is_started_again_alone(machine: Machine) -> None:
    up(machine)
    kubelet = [pid for pid, words in machine.pids().items() if "bin/kubelet --config" in words]
    others = machine.pids().keys() - kubelet
    for pid in kubelet:
        os.kill(pid, signal.SIGKILL)
    lines = up(machine)
    assert lines.splitlines()[0] == "lab: node lab"
    assert others <= machine.pids().keys()
    assert_works(machine)


def test_the_gpu_recorder_restarts_the_engine_and_notes_what_is_asked_for(machine: Machine) -> None:
    up(machine)
    lines = machine.lab("up", "--gpu-recorder")
    assert "the engine runs without the GPU recorder: it is started again" in lines
    ask = call("echo", str(time.time_ns()))
    ask.insert(ask.index("with-exec"), "experimental-with-all-gp-us")
    machine.ask(*ask)
    log = machine.state / "gpu" / "requests.log"
    assert set(log.read_text().splitlines()) == {"NVIDIA_VISIBLE_DEVICES=all"}
    assert len(machine.lab("up").splitlines()) == 1  # it stays until the lab goes down
    assert not Path("/usr/bin/nvidia-container-runtime-hook").exists()


def test_down_leaves_nothing_and_up_brings_it_back(
    machine: Machine, before: dict[str, str], busy: Callable[[], None]
) -> None:
    up(machine)
    run_pod(machine, "left-behind")
    busy()
    assert machine.traces() != before
    machine.lab("down")
    assert machine.traces() == before
    assert sleepers(POD_SECONDS) == []
    assert sleepers(CALL_SECONDS) == []
    machine.lab("down")  # of nothing
    up(machine)
    assert_works(machine)


def test_down_of_half_a_lab_leaves_nothing(machine: Machine, before: dict[str, str]) -> None:
    up(machine)
    for pid, words in machine.pids().items():
        if "kube-apiserver" in words or "isolate.py" in words:
            os.kill(pid, signal.SIGKILL)
    machine.lab("down")
    assert machine.traces() == before


def test_a_taken_port_is_named_and_nothing_is_started(machine: Machine) -> None:
    machine.lab("down")
    with machine.start(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "5000") as server:
        eventually("the port is taken", lambda: "5000" in machine.ask("ss", "-ltn"))
        result = machine.run(sys.executable, "-m", "lab", "up")
        server.kill()
    assert result.returncode == 1
    assert "port 5000, which the registry needs, is taken by python" in result.stderr
    assert f"(pid {server.pid})" in result.stderr
    assert machine.pids() == {}
