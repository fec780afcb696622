"""The errors of `up` on a machine that does not have what it needs, each from a real cause."""

import os
import re
import socket
from pathlib import Path

import pytest

from lab.checks import GB, disk, free_bytes, path, port, programs, rights
from lab.errors import LabError

pytestmark = pytest.mark.lab


def test_a_first_up_needs_25_gb_and_says_where() -> None:
    with pytest.raises(LabError) as error:
        disk(Path("/some/state"), int(12.34 * GB), built=False)
    assert str(error.value) == (
        "12.3 GB are free in /some/state, and a first up needs 25 GB; "
        "free some, or set LAB_STATE to a folder on another disk"
    )


def test_a_later_up_needs_little() -> None:
    disk(Path("/some/state"), 12 * GB, built=True)
    with pytest.raises(LabError, match="an up needs 3 GB"):
        disk(Path("/some/state"), 2 * GB, built=True)


def test_the_free_space_of_a_folder_that_is_not_there_yet_is_its_disk_s(tmp_path: Path) -> None:
    there, not_there = free_bytes(tmp_path), free_bytes(tmp_path / "a" / "b")
    assert abs(there - not_there) < GB


def test_a_taken_port_names_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        line = rf"port {number}, which etcd needs, is taken by .* \(pid {os.getpid()}\), which is not"
        with pytest.raises(LabError, match=line):
            port(number, "etcd")
    port(number, "etcd")


def test_only_root_can_bring_a_lab_up() -> None:
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(LabError, match="needs root"):
            rights()
    finally:
        os.seteuid(was)


def test_a_missing_program_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=re.escape("go is not on PATH; install Go 1.24 or later")):
        programs(built=False)


def test_a_built_lab_needs_no_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("apt-get", "unshare", "nsenter", "setpriv"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    programs(built=True)


def test_a_state_too_deep_for_sockets_is_refused() -> None:
    with pytest.raises(LabError, match="too long for a socket's path; set LAB_STATE to a shorter one"):
        path(Path("/" + "x" * 80))
