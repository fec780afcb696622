"""Which trackers can be asked for."""

import pytest

from ml_pipeline.errors import ConfigError
from ml_pipeline.main import MlPipeline
from ml_pipeline.tracking.stages import Tracker


@pytest.mark.parametrize(
    "uri", ["http://localhost:5000", "https://mlflow.example/tools/mlflow/", "http://[::1]:5000"]
)
def test_an_address_of_a_server(uri: str) -> None:
    assert Tracker(uri).uri == uri


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("localhost:5000", "is 'localhost:5000'"),
        ("mlflow.example", "is 'mlflow.example'"),
        ("databricks", "is 'databricks'"),
        ("file:///tmp/mlruns", "is 'file:///tmp/mlruns'"),
        ("http://", "is 'http://'"),
        ("http://x:port", "is not a URI: "),
        ("http://[::1", "is not a URI: "),
        ("http://x/#/experiments/1", "is 'http://x/#/experiments/1', with more than a path after the host"),
        ("http://x/?a=1", "with more than a path after the host"),
        ("http://me:open-sesame@x", "has credentials in it"),
    ],
)
def test_what_is_none(uri: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Tracker(uri)
    assert str(refused.value).startswith("config: --tracking-uri ")
    assert said in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_a_name_without_a_password() -> None:
    with pytest.raises(ConfigError, match=r"^config: --tracking-username has no password; pass"):
        Tracker("http://x", username="me")


def test_options_of_a_server_that_is_not_named() -> None:
    assert MlPipeline()._tracker() is None
    with pytest.raises(ConfigError, match=r"^config: a --tracking option needs --tracking-uri; pass"):
        MlPipeline(tracking_username="me")._tracker()
