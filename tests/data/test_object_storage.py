"""A project whose data stands in object storage, behind credentials, through the real command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import paths
from tests.calls import Answer, Dagger, Project, stages
from tests.object_store import BUCKET, Store, serving

pytestmark = pytest.mark.engine

LOCAL = "data/tumours.csv"
URL = f"s3://{BUCKET}/tumours/*.csv"
OPTION = "--data-credentials=env://CREDENTIALS"


@pytest.fixture(scope="module")
def store(dagger: Dagger) -> Iterator[Store]:
    """Serve on the address that the lab's containers know this machine by."""
    with serving(paths.ENGINE_GATEWAY) as served:
        yield served


@pytest.fixture
def remote(tumours: Project, store: Store) -> Project:
    """Move the quick project's data into two objects."""
    header, *rows = (tumours.path / LOCAL).read_text().splitlines()
    for name, part in {"a": rows[:300], "b": rows[300:]}.items():
        store.put(f"tumours/{name}.csv", "\n".join([header, *part, ""]).encode())
    tumours.remove("data")
    tumours.replace("ml-pipeline.toml", LOCAL, URL)
    return tumours


def knowing(dagger: Dagger, credentials: str) -> Dagger:
    return Dagger({**dagger.environment, "CREDENTIALS": credentials})


def assert_silent(answer: Answer, *secrets: str) -> None:
    said = answer.log + answer.out
    assert not [secret for secret in secrets if secret in said]


@pytest.mark.timeout(600)
def test_objects_are_fetched_once_and_again_when_they_change(
    dagger: Dagger, remote: Project, store: Store
) -> None:
    authorized = knowing(dagger, store.credentials())
    first = authorized.call(remote.path, "full-pipeline", options=[OPTION])
    assert first.code == 0, first.errors
    assert {"list-data", "fetch-data", "validate-data", "train"} < set(stages(first.out))
    again = authorized.call(remote.path, "full-pipeline", options=[OPTION])
    took = stages(again.out)
    assert took.pop("list-data") != "cached"
    assert {name for name, time in took.items() if time != "cached"} == {"build-image"}
    assert "569 rows" in authorized.call(remote.path, "validate-data", options=[OPTION]).out

    store.put("tumours/b.csv", b"\n".join(store.get("tumours/b.csv").splitlines()[:-9]) + b"\n")
    changed = authorized.call(remote.path, "validate-data", options=[OPTION])
    assert "560 rows" in changed.out
    assert "2 objects, 1 of them downloaded" in changed.log
    for answer in (first, again, changed):
        assert_silent(answer, store.secret)


def test_a_holdout_in_storage_beside_rows_in_the_source(
    dagger: Dagger, tumours: Project, store: Store, tmp_path: Path
) -> None:
    header, *rows = (tumours.path / LOCAL).read_text().splitlines()
    store.put("held.csv", "\n".join([header, *rows[:100], ""]).encode())
    tumours.write(LOCAL, "\n".join([header, *rows[100:], ""]))
    tumours.replace("ml-pipeline.toml", LOCAL, f'{LOCAL}"\nholdout = "s3://{BUCKET}/held.csv')
    file = tmp_path / "credentials"
    file.write_text(store.credentials())
    answer = dagger.call(tumours.path, "train", "entries", options=[f"--data-credentials=file://{file}"])
    assert answer.code == 0, answer.errors
    assert "469 rows to train on, 100 held out" in answer.log
    assert_silent(answer, store.secret)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (f"s3://{BUCKET}/tumour", f"list-data: 's3://{BUCKET}/tumour' does not exist (did you mean"),
        ("s3://nowhere/x.csv", "list-data: 's3://nowhere/x.csv': there is no bucket 'nowhere'; set it under"),
        (
            "gs://b/x.csv",
            "config: ml-pipeline.toml: data.path = 'gs://b/x.csv' has the scheme 'gs'",
        ),
    ],
)
def test_a_url_that_names_nothing(dagger: Dagger, remote: Project, store: Store, url: str, line: str) -> None:
    remote.replace("ml-pipeline.toml", URL, url)
    answer = knowing(dagger, store.credentials()).call(remote.path, "train", options=[OPTION])
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert answer.errors[0].startswith(line)
    assert_silent(answer, store.secret)


def test_refused_credentials(dagger: Dagger, remote: Project, store: Store) -> None:
    wrong = knowing(dagger, store.credentials(secret="open-sesame"))  # noqa: S106 - refused
    answer = wrong.call(remote.path, "validate-data", options=[OPTION])
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert answer.errors[0].startswith(f"list-data: '{URL}' is refused: The request signature")
    assert_silent(answer, "open-sesame")
