"""Files that are written in one step, and digests that change with the content."""

import os
from pathlib import Path

import pytest

from lab.paths import files_below, fingerprint, install, link, replace_folder, write

pytestmark = pytest.mark.lab


def test_write_replaces_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file"
    write(target, "one")
    write(target, "two", mode=0o600)
    assert target.read_text() == "two"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(target.parent.iterdir()) == [target]


def test_link_moves_in_one_step(tmp_path: Path) -> None:
    link(Path("/one"), tmp_path / "link")
    link(Path("/two"), tmp_path / "link")
    assert (tmp_path / "link").readlink() == Path("/two")
    assert len(list(tmp_path.iterdir())) == 1


def test_install_leaves_the_same_file_alone_and_replaces_another(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "bin" / "target"
    source.write_text("one")
    install(source, target)
    inode = target.stat().st_ino
    install(source, target)
    assert target.stat().st_ino == inode
    source.write_text("three")
    install(source, target)
    assert target.read_text() == "three"


def test_install_does_not_write_into_a_running_program(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    target.write_text("old")
    with target.open() as running:
        source.write_text("newer")
        install(source, target)
        assert running.read() == "old"


def test_replace_folder_keeps_nothing_of_the_old_one(tmp_path: Path) -> None:
    made, target = tmp_path / "made", tmp_path / "deep" / "target"
    for name in ("old", "new"):
        made.mkdir()
        (made / name).touch()
        replace_folder(made, target)
    assert [path.name for path in target.iterdir()] == ["new"]


def test_a_fingerprint_notices_names_contents_and_words_and_not_times(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")

    def now(*words: str) -> str:
        return fingerprint(tmp_path, files_below(tmp_path), *words)

    first = now("x")
    os.utime(tmp_path / "a", (1, 1))
    assert now("x") == first
    seen = {first, now("y")}
    (tmp_path / "a").write_text("two")
    seen.add(now("x"))
    (tmp_path / "a").rename(tmp_path / "b")
    seen.add(now("x"))
    assert len(seen) == 4
