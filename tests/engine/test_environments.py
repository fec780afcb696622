"""What the caller chooses for all containers."""

import pytest

from ml_pipeline.engine.environments import Environments
from ml_pipeline.errors import ConfigError


@pytest.mark.parametrize("url", ["https://me:pass@host/simple", "https://token@host", "http://@host/"])
def test_a_package_index_with_credentials_is_refused(url: str) -> None:
    """They were in the environment of every container, the project's own tests and images included."""
    with pytest.raises(ConfigError) as caught:
        Environments("python", "torch", "auto", url, None, None)
    assert "--package-index has credentials" in str(caught.value)
    assert "--extra-index=env://VARIABLE" in str(caught.value)
    assert url not in str(caught.value)


def test_other_package_indexes_are_taken() -> None:
    for url in (None, "https://host/simple", "https://host/a@b"):
        assert Environments("python", "torch", "auto", url, None, None).package_index == url
