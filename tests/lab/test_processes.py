"""How the lab recognises its processes, tested on real ones; needs no root."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import processes
from lab.errors import LabError
from lab.processes import Service, current, parse, running, start, stop, wait_until

pytestmark = pytest.mark.lab

ENVIRON = b"HOME=/root\0LAB_SERVICE=engine\0LAB_OWNER=/state\0LAB_SETTINGS=abc\0LAB_PROGRAM=/bin/engine\0"
SLEEP = Service("sleeper", (sys.executable, "-c", "import time; time.sleep(600)"))


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(processes, "STATE", tmp_path)
    monkeypatch.setattr(processes, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(processes, "TEMPORARY", tmp_path / "tmp")
    yield
    stop([process.service for process in current()], grace_s=0)


def test_a_process_is_the_lab_s_when_its_environment_says_so() -> None:
    process = parse(7, ENVIRON, b"/bin/engine\0--root\0/x\0", "/state")
    assert process
    assert (process.pid, process.service, process.settings, process.main) == (7, "engine", "abc", True)


@pytest.mark.parametrize(
    ("environ", "owner"),
    [
        (b"", "/state"),  # a zombie, or a kernel thread
        (b"HOME=/root\0", "/state"),  # a program that got the pid later
        (ENVIRON, "/another/state"),  # another lab on the same machine
        (ENVIRON.replace(b"LAB_SERVICE", b"XLAB_SERVICE"), "/state"),
    ],
)
def test_another_process_is_not_the_lab_s(environ: bytes, owner: str) -> None:
    assert parse(7, environ, b"/bin/engine\0", owner) is None


def test_what_a_service_started_is_not_its_main_process() -> None:
    child = parse(8, ENVIRON, b"/usr/sbin/dnsmasq\0--keep-in-foreground\0", "/state")
    assert child
    assert not child.main


def test_a_running_service_is_left_alone() -> None:
    assert start(SLEEP)
    pids = {process.pid for process in running(SLEEP)}
    assert len(pids) == 1
    assert not start(SLEEP)
    assert {process.pid for process in running(SLEEP)} == pids


def test_a_service_with_other_settings_is_started_again(capsys: pytest.CaptureFixture[str]) -> None:
    start(SLEEP)
    (before,) = running(SLEEP)
    events = []
    assert start(replace(SLEEP, env={"MORE": "1"}), lambda: events.append(current()))
    (after,) = running(SLEEP)
    assert after.pid != before.pid
    assert events == [[]]  # between the two, none runs
    assert capsys.readouterr().err == "lab: sleeper restarts: its settings changed\n"


def test_a_changed_configuration_file_is_another_setting(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("one")
    service = replace(SLEEP, files=(config,))
    before = service.settings
    config.write_text("two")
    assert service.settings != before


def test_a_killed_service_is_started_again() -> None:
    start(SLEEP)
    (process,) = running(SLEEP)
    os.kill(process.pid, signal.SIGKILL)
    while running(SLEEP):
        time.sleep(0.01)
    assert start(SLEEP)


def test_stop_lets_a_program_finish_then_kills_what_it_left(tmp_path: Path) -> None:
    mark = tmp_path / "finished"
    script = (
        "import pathlib, signal, subprocess, sys\n"
        f"subprocess.Popen(['sleep', '600'])\n"
        f"def end(*_):\n    pathlib.Path({str(mark)!r}).touch()\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "signal.pause()\n"
    )
    start(Service("parent", (sys.executable, "-c", script)))
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    assert len(current()) == 2
    assert stop(["parent"], grace_s=2) == ["parent"]
    assert mark.exists()
    assert current() == []


def test_stop_kills_a_program_that_does_not_end_when_asked(tmp_path: Path) -> None:
    script = (
        "import pathlib, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\nwhile True: signal.pause()"
    )
    start(Service("stubborn", (sys.executable, "-c", script)))
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    stop(["stubborn"], grace_s=0.2)
    assert current() == []


def test_a_process_of_the_same_program_that_is_not_the_lab_s_is_left_alone() -> None:
    with subprocess.Popen(SLEEP.command) as other:
        start(SLEEP)
        stop([SLEEP.name])
        assert other.poll() is None
        other.kill()


def test_waiting_ends_at_once_when_the_service_ended_and_shows_its_log() -> None:
    service = Service("failing", (sys.executable, "-c", "raise SystemExit('no such disk')"))
    start(service)
    began = time.monotonic()
    with pytest.raises(LabError, match=r"the thing: failing ended at once; its log is .*\nno such disk"):
        wait_until("the thing", lambda: False, service)
    assert time.monotonic() - began < 10


def test_waiting_ends_after_its_time() -> None:
    start(SLEEP)
    with pytest.raises(LabError, match="the thing did not answer in 0 s"):
        wait_until("the thing", lambda: False, SLEEP, seconds=0.2)
