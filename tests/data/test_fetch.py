"""Objects of a real S3 server: found by key, prefix and glob; fetched once; errors in one line."""

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_pipeline.data import fetch as storage
from tests.object_store import BUCKET, Store, serving
from tests.people import Project, people
from tests.programs import SOURCE, peak_memory

pytestmark = pytest.mark.program

TABLE = b"age,answer\n1,yes\n"
ROOT = f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with serving() as served:
        for key in ("one.csv", "many/a.csv", "many/deep/b.csv", "many/_SUCCESS", "many/notes.txt", "many/"):
            served.put(key, TABLE if key.endswith(".csv") else b"")
        served.put("texts/readme.txt", b"no table")
        served.put("both", b"an object of the prefix's name")
        served.put("both/a.csv", b"a\n1\n")
        for left in ("_temporary/0/a.csv", "_delta_log/1.parquet", ".spark-staging/b.csv", "_SUCCESS"):
            served.put(f"lake/{left}", b"left behind")
        served.put("lake/_year=2025/c.csv", b"a\n1\n")
        yield served


@dataclass
class Stage:
    """The stage's two commands, run in this process, and the file of credentials that they find."""

    folder: Path
    output: pytest.CaptureFixture[str]
    credentials: str

    def run(self, command: str, *arguments: str | Path) -> tuple[int, str]:
        """Return the exit code, and what was said on stderr."""
        (self.folder / "credentials").write_text(self.credentials)
        with pytest.raises(SystemExit) as ended:
            storage.main([command, *map(str, arguments), "--output", str(self.folder / command)])
        return int(ended.value.code or 0), self.output.readouterr().err

    def find(self, *urls: str) -> list[str]:
        assert self.run("list", *(word for url in urls for word in ("--url", url))) == (0, "")
        listing = json.loads((self.folder / "list" / "listing.json").read_text())
        return [entry["url"] for entry in listing]

    def fetch(self) -> tuple[int, str]:
        listing = self.folder / "list" / "listing.json"
        return self.run("fetch", "--listing", listing, "--kept", self.folder / "kept")

    def fetched(self) -> int:
        """Fetch, and return of how many objects the bytes came from the server."""
        assert self.fetch() == (0, "")
        return int(json.loads((self.folder / "outcome.json").read_text())["details"]["fetched"])

    def fails(self, url: str | None = None) -> str:
        """Return the one line that says why a URL can't be listed, or what was listed not fetched."""
        code, said = self.run("list", "--url", url) if url else self.fetch()
        assert (code, said.count("\n")) == (1, 1)
        return said.strip()


@pytest.fixture
def stage(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Stage:
    monkeypatch.setenv("ML_OUTCOME", str(tmp_path / "outcome.json"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "credentials"))
    return Stage(tmp_path, capsys, store.credentials())


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("one.csv", ["one.csv"]),
        ("many", ["many/a.csv", "many/deep/b.csv"]),
        ("many/", ["many/a.csv", "many/deep/b.csv"]),
        ("many/*.csv", ["many/a.csv"]),
        ("*/*/?.csv", ["lake/_year=2025/c.csv", "many/deep/b.csv"]),
        ("many/**/*.csv", ["many/a.csv", "many/deep/b.csv"]),
        ("texts/readme.txt", ["texts/readme.txt"]),
        ("both", ["both"]),
        ("both/", ["both/a.csv"]),
        ("lake", ["lake/_year=2025/c.csv"]),
        ("lake/_temporary/", ["lake/_temporary/0/a.csv"]),
    ],
)
def test_a_key_a_prefix_and_a_glob_name_objects(stage: Stage, path: str, keys: list[str]) -> None:
    assert stage.find(f"{ROOT}/{path}") == [f"{ROOT}/{key}" for key in keys]
    assert stage.fetched() == len(keys)
    for key in keys:
        assert (stage.folder / "fetch" / "s3:" / BUCKET / key).is_file()


def test_only_what_changed_is_fetched_again(stage: Stage, store: Store) -> None:
    store.put("parts/a.csv", TABLE)
    store.put("parts/b.csv", TABLE)
    assert stage.find(f"{ROOT}/parts", f"{ROOT}/one.csv") == [
        f"{ROOT}/one.csv", f"{ROOT}/parts/a.csv", f"{ROOT}/parts/b.csv"
    ]  # fmt: skip
    assert stage.fetched() == 3
    store.put("parts/b.csv", TABLE + b"2,no\n")
    store.delete("parts/a.csv")
    stage.find(f"{ROOT}/parts", f"{ROOT}/one.csv")
    assert stage.fetched() == 1
    assert (stage.folder / "fetch" / "s3:" / BUCKET / "parts" / "b.csv").read_bytes() == TABLE + b"2,no\n"
    assert len(list((stage.folder / "kept").iterdir())) == 2  # what is gone there is not kept here
    stage.find(f"{ROOT}/parts", f"{ROOT}/one.csv")
    assert stage.fetched() == 0


def test_a_public_bucket_needs_no_credentials(stage: Stage, store: Store) -> None:
    store.put("public.csv", TABLE, ACL="public-read")
    stage.credentials = f"[default]\n{store.place}"
    with store.open_to_all():
        assert stage.find(f"{ROOT}/public.csv") == [f"{ROOT}/public.csv"]
        assert stage.fetched() == 1
        assert "is refused: Forbidden (403); check" in stage.fails(f"{ROOT}/texts/readme.txt")


def test_an_object_that_changes_between_listing_and_fetching(stage: Stage, store: Store) -> None:
    store.put("moving.csv", TABLE)
    stage.find(f"{ROOT}/moving.csv")
    store.put("moving.csv", TABLE.replace(b"1", b"2"))
    again = "run it again when the program that writes there has finished"
    assert stage.fails() == f"fetch-data: {ROOT}/moving.csv changed while it was fetched; {again}"
    store.delete("moving.csv")
    assert stage.fails() == f"fetch-data: {ROOT}/moving.csv was deleted after it was listed; {again}"
    assert list((stage.folder / "kept").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("s3://nowhere/a.csv", "'s3://nowhere/a.csv': there is no bucket 'nowhere'"),
        (f"{ROOT}/many/c.csv", f"'{ROOT}/many/c.csv' does not exist (did you mean '{ROOT}/many/a.csv'"),
        (f"{ROOT}/nothing/", f"'{ROOT}/nothing/' does not exist"),
        (f"{ROOT}/texts", f"'{ROOT}/texts' has no Parquet or CSV object, but 1 of other names"),
        (f"{ROOT}/many/*.parquet", f"no object matches '{ROOT}/many/*.parquet'"),
        (f"{ROOT}/many/a**", f"'{ROOT}/many/a**': Invalid pattern"),
        ("s3://Not-A-Bucket_/a", "'s3://Not-A-Bucket_/a'"),
    ],
)
def test_a_url_that_names_nothing(stage: Stage, url: str, cause: str) -> None:
    assert stage.fails(url).startswith(f"list-data: {cause}")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"key": "AKIAUNKNOWN000000000"}, "The AWS Access Key Id you provided does not exist"),
        ({"secret": "not-the-secret"}, "The request signature we calculated does not match"),
    ],
)
def test_refused_credentials_are_reported_and_not_shown(
    stage: Stage, store: Store, change: dict[str, str], cause: str
) -> None:
    stage.credentials = store.credentials(**change)
    line = stage.fails(f"{ROOT}/one.csv")
    assert line.startswith(f"list-data: '{ROOT}/one.csv' is refused: {cause}")
    assert "check --data-credentials" in line
    assert not any(word in line for word in (store.secret, "not-the-secret"))


def test_credentials_that_cannot_be_read(stage: Stage, store: Store) -> None:
    stage.credentials = f"[default]\naws_access_key_id = {store.key}\n{store.place}"
    line = stage.fails(f"{ROOT}/one.csv")
    assert line.startswith("list-data: the credentials can't be used: Partial credentials found")
    stage.credentials = f"{store.secret}\n"
    line = stage.fails(f"{ROOT}/one.csv")
    assert line.startswith("list-data: the credentials can't be used: Unable to parse config file")
    assert store.secret not in line


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{port}", "no-url"])
def test_a_server_that_cannot_be_reached(stage: Stage, store: Store, endpoint: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        there = endpoint.format(port=closed.getsockname()[1])
        stage.credentials = store.credentials().replace(store.endpoint, there)
        line = stage.fails(f"{ROOT}/one.csv")
    assert line.startswith(f"list-data: '{ROOT}/one.csv' can't be read: ")
    assert there in line
    assert "endpoint_url" in line


def test_the_data_stage_reads_what_was_fetched(stage: Stage, store: Store, project: Project) -> None:
    for name in ("a", "b"):
        project.put(people(), f"{name}.parquet")
        store.put(f"people/{name}.parquet", (project.folder / f"{name}.parquet").read_bytes())
    for url in (f"{ROOT}/people", f"{ROOT}/people/*.parquet"):
        stage.find(url)
        stage.fetched()
        project.folder = stage.folder / "fetch"
        project.passes(path=url)
        assert project.report()["files"] == [f"{ROOT}/people/a.parquet", f"{ROOT}/people/b.parquet"]
        assert project.report()["rows"] == 200


def test_a_large_object_is_never_in_memory_as_a_whole(stage: Stage, store: Store) -> None:
    size = 256 << 20
    store.put("large.csv", bytes(size))
    stage.find(f"{ROOT}/large.csv")
    arguments = ["--listing", stage.folder / "list" / "listing.json", "--kept", stage.folder / "kept"]
    program = [sys.executable, "-m", "ml_pipeline.data.fetch", "fetch", *map(str, arguments)]
    program += ["--output", str(stage.folder / "fetch")]
    variables = os.environ | {"PYTHONPATH": str(SOURCE)}
    assert peak_memory(program, variables) < size * 0.6
    shutil.rmtree(stage.folder)
    store.delete("large.csv")
