"""A search over the built-in trainer's settings, up to the report."""

import json
from collections.abc import Callable

import pytest

from tests.calls import Dagger, Project

pytestmark = pytest.mark.engine


def test_the_best_of_a_search_is_judged_and_all_of_it_is_in_the_report(
    dagger: Dagger, copy_of: Callable[[str], Project]
) -> None:
    wine = copy_of("wine")
    wine.replace(
        "ml-pipeline.toml",
        "[gates]",
        "[train.search]\nparameters = {epochs = [1, 20], width = [32]}\n\n[gates]",
    )
    answer = dagger.call(wine.path, "report", "export", "--path=report")
    assert answer.code == 0, answer.errors
    search = json.loads((wine.path / "report" / "report.json").read_text())["training"]["search"]
    assert [trial["parameters"] for trial in search["trials"]] == [
        {"epochs": 1, "width": 32},
        {"epochs": 20, "width": 32},
    ]
    assert search["best"] == 2
    assert "2 trials, by the least validation_loss" in (wine.path / "report" / "report.html").read_text()
    assert "wine: may ship" in (wine.path / "report" / "summary.md").read_text()
