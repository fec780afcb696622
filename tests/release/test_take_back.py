"""A model that passes its first prediction and answers errors in production, on a real cluster."""

import time
from collections.abc import Mapping

import pytest

from tests import toy_images as toy
from tests.clusters import Target

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(180)
@pytest.mark.parametrize("strategy", ["rolling", "blue-green"])
def test_it_ends_with_the_old_release_serving_and_the_first_line_says_so(
    target: Target, images: Mapping[str, str], strategy: str
) -> None:
    settings = {"strategy": strategy, "keep_s": 0, "watch_s": 40}
    assert target.call("release", image=images["good-1"], version="1", **settings).record["watch"] == {}
    with toy.Callers(target.address(), callers=6) as callers:
        callers.wait_for("1")
        while len(callers.versions) < 300:
            time.sleep(0.2)
        line = target.call("release", image=images["errors"], version="7", **settings).line
        callers.wait_for("1")
    digest = images["good-1"].rpartition("@")[2]
    assert line.startswith("deploy: the new release answered ")
    assert "with an error, the old one 0.0 % of " in line
    assert f"the release was undone, and the last good one ({digest}) is serving; fix the model" in line
    assert "7" in callers.versions
    assert {failure[:3] for failure in callers.failures} == {"500"}  # no connection was lost
    assert target.call("status").record["image"] == images["good-1"]
    again = target.call("release", image=images["errors"], version="7", **settings).line
    assert "was taken back as revision 2: the new release answered " in again
    assert again.endswith("release another image, or pass --force")
