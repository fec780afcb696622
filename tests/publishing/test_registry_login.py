"""Publishing to a real registry that asks who is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests import locked_registry
from tests.calls import Answer, Dagger, Project
from tests.conftest import Lab
from tests.locked_registry import PASSWORD

pytestmark = pytest.mark.engine


@pytest.fixture
def locked(lab: Lab, tmp_path: Path) -> Iterator[str]:
    """A registry of its own."""
    with locked_registry.serving(tmp_path, "localhost") as address:
        yield address


def publish(dagger: Dagger, project: Project, registry: str, password: str) -> Answer:
    """Publish as the user `me`; the password comes from a variable."""
    user = Dagger({**dagger.environment, "REGISTRY_TOKEN": password})
    flags = ("--registry-username=me", "--registry-password=env://REGISTRY_TOKEN")
    return user.call(project.path, "publish", f"--registry={registry}/models", *flags)


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
    manifest = urllib3.request(
        "HEAD", path, headers={**headers, "Accept": "application/vnd.oci.image.manifest.v1+json"}
    )
    assert manifest.status == 200
    for said in (refused, answer):
        assert PASSWORD not in said.log + said.out
        assert "let me in" not in said.log + said.out


def test_a_name_without_a_password(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "publish", "--registry=localhost:5999", "--registry-username=me")
    message = "config: --registry-username and --registry-password go together; pass both, or neither"
    assert (answer.code, answer.errors) == (1, [message])
