"""Publishing to a real registry that asks who is there."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from lab import packages
from tests.calls import Answer, Dagger, Project
from tests.conftest import Lab

PASSWORD = "open sesame"  # noqa: S105 - of the registry below
# That password, as bcrypt has it.
USERS = "me:$2b$04$coQlAeA5hXFnumEqK2zWKe45FJEeX11HGqntZKPNLiga9yjqOAwxq\n"
CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/content}}}}
http: {{addr: "localhost:{port}"}}
auth: {{htpasswd: {{realm: locked, path: {folder}/users}}}}
"""


@pytest.fixture
def locked(lab: Lab, tmp_path: Path) -> Iterator[str]:
    """A registry of its own, where one user may push and pull; `lab` has installed the program."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "users").write_text(USERS)
    (tmp_path / "registry.yml").write_text(CONFIG.format(folder=tmp_path, port=port))
    command = [packages.program("docker-registry"), "serve", tmp_path / "registry.yml"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
                break
            time.sleep(0.1)
        yield f"localhost:{port}"
        process.terminate()


def publish(dagger: Dagger, project: Project, registry: str, password: str) -> Answer:
    """Publish as the user `me`; the password comes from a variable."""
    known = Dagger({**dagger.environment, "REGISTRY_TOKEN": password})
    flags = ("--registry-username=me", "--registry-password=env://REGISTRY_TOKEN")
    return known.call(project.path, "publish", f"--registry={registry}/models", *flags)


def test_who_knows_the_password_publishes(dagger: Dagger, tumours: Project, locked: str) -> None:
    refused = publish(dagger, tumours, locked, "let me in")
    assert refused.code == 1
    assert "was refused: " in refused.errors[0]
    assert "401 Unauthorized" in refused.errors[0]
    answer = publish(dagger, tumours, locked, PASSWORD)
    assert answer.code == 0, answer.errors
    host, _, rest = answer.out.strip().partition("/")
    assert host == locked
    name, _, digest = rest.partition("@")
    path = f"http://{locked}/v2/{name.partition(':')[0]}/manifests/{digest}"
    headers = urllib3.make_headers(basic_auth=f"me:{PASSWORD}")
    found = urllib3.request(
        "HEAD", path, headers={**headers, "Accept": "application/vnd.oci.image.manifest.v1+json"}
    )
    assert found.status == 200
    for said in (refused, answer):
        assert PASSWORD not in said.log + said.out
        assert "let me in" not in said.log + said.out


def test_a_name_without_a_password(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "publish", "--registry=localhost:5999", "--registry-username=me")
    message = "config: --registry-username and --registry-password go together; give both, or neither"
    assert (answer.code, answer.errors) == (1, [message])
