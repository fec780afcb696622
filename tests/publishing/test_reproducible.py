"""Two builds of the same source from nothing: the same files, and, published so, the same image."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import paths
from tests import locked_registry, package_index
from tests.calls import Answer, Dagger, Project
from tests.conftest import Lab

pytestmark = pytest.mark.engine

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADDED = 3  # layers above the base: packages, programs, model


@pytest.fixture(scope="module")
def again(dagger: Dagger) -> Iterator[Dagger]:
    """The command line with another package index at hand.

    With it nothing is answered from the cache of calls without it: all is installed, and trained, again.
    """
    with package_index.serving() as place:
        yield Dagger({**dagger.environment, "INDEX": f"http://me:{package_index.PASSWORD}@{place}"})


@pytest.fixture
def locked(lab: Lab, tmp_path: Path) -> Iterator[str]:
    """A registry that the engine's containers reach."""
    with locked_registry.serving(tmp_path, paths.ENGINE_GATEWAY) as address:
        yield address


ANEW = "--extra-index=env://INDEX"
FIND = "find /opt /app /model"
LIST = rf"{FIND} -printf '%p %m %U:%G %y %l\n' | sort; {FIND} -type f -exec sha256sum {{}} + | sort"


@pytest.mark.timeout(600)
def test_two_builds_have_the_same_files(dagger: Dagger, again: Dagger, tumours: Project) -> None:
    words = ("build-image", "rootfs", "digest")
    first, second = dagger.call(tumours.path, *words), again.call(tumours.path, *words, options=[ANEW])
    assert (first.code, second.code) == (0, 0), first.errors + second.errors
    assert second.out == first.out


def publish(
    dagger: Dagger, project: Project, registry: str, *options: str, password: str = locked_registry.PASSWORD
) -> Answer:
    """Publish without the engine."""
    user = Dagger({**dagger.environment, "REGISTRY_TOKEN": password})
    words = [f"--registry=http://{registry}/models", "--reproducible"]
    words += [f"--registry-username={locked_registry.USERNAME}", "--registry-password=env://REGISTRY_TOKEN"]
    return user.call(project.path, "publish", *words, options=options)


def skopeo(*words: str) -> Any:
    """Ask a tool that is not ours."""
    login = f"{locked_registry.USERNAME}:{locked_registry.PASSWORD}"
    verb, *rest = words
    source = "--src-" if verb == "copy" else "--"
    flags = [f"{source}tls-verify=false", f"{source}creds={login}"]
    flags += ["--dest-tls-verify=false", "--preserve-digests"] if verb == "copy" else []
    command = ["skopeo", "--insecure-policy", verb, *flags, *rest]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout) if verb == "inspect" else None


@pytest.mark.timeout(900)
def test_two_publications_have_the_same_digest(
    dagger: Dagger, again: Dagger, lab: Lab, tumours: Project, locked: str
) -> None:
    tumours.write(".git/HEAD", f"{COMMIT}\n")
    first, second = publish(dagger, tumours, locked), publish(again, tumours, locked, ANEW)
    assert (first.code, second.code) == (0, 0), first.errors + second.errors
    assert second.out == first.out
    name, _, digest = first.out.strip().partition("@")
    repository, _, version = name.rpartition(":")
    published = f"docker://{repository}@{digest}"

    manifest = skopeo("inspect", "--raw", published)
    base = skopeo("inspect", "--raw", f"docker://{lab.registry}/library/python:3.13-slim")["layers"]
    assert manifest["layers"][:-ADDED] == base, "a registry keeps the base once, whoever pushed it"
    config = skopeo("inspect", "--config", published)
    assert config["created"] == "1970-01-01T00:00:00Z"
    settings = config["config"]
    assert (settings["User"], settings["Cmd"]) == ("10001", ["ml_pipeline.serving.serve"])
    batch = json.loads(settings["Labels"].pop("ml-pipeline.batch-command"))
    assert batch[1:] == ["-m", "ml_pipeline.serving.predict"], (
        "older and newer gates read how to ask this image"
    )
    assert settings["Labels"] == {
        "ml-pipeline.drain": "ML_DRAIN",
        "org.opencontainers.image.title": "tumours",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": COMMIT,
    }

    copied = f"{lab.registry}/reproducible/tumours"
    skopeo("copy", published, f"docker://{copied}:1")
    listing = ["with-exec", *(f"--args={word}" for word in ("sh", "-c", LIST)), "stdout"]
    files = dagger.core("from", f"--address={copied}@{digest}", *listing)
    assert files.code == 0, files.log
    assert files.out == dagger.call(tumours.path, "build-image", *listing).out
    judged = dagger.call(tumours.path, "validate-gate", f"--baseline={copied}@{digest}")
    assert judged.code == 0, judged.errors


def test_who_does_not_know_the_password(dagger: Dagger, tumours: Project, locked: str) -> None:
    answer = publish(dagger, tumours, locked, password="let me in")  # noqa: S106 - it is not
    hint = "check --registry, --registry-username and --registry-password"
    line = f"publish: http://{locked}/models/tumours refused the image: 401 Unauthorized"
    assert answer.code == 1
    assert answer.errors == [f"{line}; {hint}"]
    assert "let me in" not in answer.log + answer.out


def test_a_registry_that_only_the_engine_reaches(dagger: Dagger, lab: Lab, tumours: Project) -> None:
    answer = dagger.call(
        tumours.path, "publish", f"--registry=http://{lab.registry}/models", "--reproducible"
    )
    assert answer.code == 1
    (line,) = answer.errors
    assert line.startswith(f"publish: {lab.registry} can't be reached: ")
    assert "without --reproducible the engine itself pushes" in line
