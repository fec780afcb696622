"""What of a run is tracked, and under which names."""

from dataclasses import replace
from typing import Any

import pytest

from ml_pipeline.common.document import from_json
from ml_pipeline.tracking import experiment
from ml_pipeline.tracking.experiment import (
    HISTORY,
    PARAM_LENGTH,
    Point,
    Settings,
    Tracked,
    history,
)
from ml_pipeline.tracking.names import apart, name_of, path_of

SETTINGS = Settings("regression", "python -m it", seed=1, config={"rate": 0.1, "name": "x"})
MODEL = {"model": {"version": "abc", "runtime": "onnx"}}


def tracked(document: dict[str, Any], settings: Settings, reported: dict[str, float]) -> Tracked:
    return experiment.tracked(from_json(document), settings, reported)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("gate/accuracy", "gate/accuracy"),
        ("drift.hours per week", "drift.hours per week"),
        ("gate/größe m²", "gate/gr__e m_"),
        ("a//b/../c/.", "a/_/b/_/c/_"),
        ("/a", "_/a"),
        ("", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_a_name_is_one_that_mlflow_takes(name: str, taken: str) -> None:
    assert name_of(name) == taken


def test_a_history_counts_by_its_epochs_or_its_rows() -> None:
    assert history("step,loss,note\n10,0.5,a\n20,,b\n") == [Point("epoch/loss", 0.5, 10)]
    assert history("loss,epoch\n3,nan\n2,7") == [Point("epoch/loss", 3, 1), Point("epoch/loss", 2, 7)]
    assert history("loss\n3\n2,9")[1] == Point("epoch/loss", 2, 2)
    assert history("") == []


def test_a_long_history_is_thinned_to_its_first_and_last_and_some_between() -> None:
    points = history("epoch,loss\n" + "".join(f"{epoch},1\n" for epoch in range(1, 12_346)))
    assert len(points) == HISTORY
    assert (points[0].step, points[-1].step) == (1, 12_345)
    assert len({point.step for point in points}) == HISTORY


def test_the_best_trial_s_settings_are_the_params() -> None:
    trials = [{"parameters": {"rate": 0.3}}, {"parameters": {"rate": 0.7, "width": 8}}]
    search = {"metric": "loss", "mode": "min", "best": 2, "trials": trials}
    found = tracked({"training": {"device": "cuda", "search": search}, **MODEL}, SETTINGS, {})
    assert found.params == {
        "task": "regression",
        "trainer": "python -m it",
        "seed": "1",
        "device": "cuda",
        "search.metric": "min loss",
        "search.trials": "2",
        "config.rate": "0.7",
        "config.name": "x",
        "config.width": "8",
    }


def test_a_long_param_is_cut() -> None:
    found = tracked(MODEL, replace(SETTINGS, command="x" * 9000), {})
    assert len(found.params["trainer"]) == PARAM_LENGTH


def test_a_run_is_known_by_its_model_and_settings_alone() -> None:
    first = tracked({**MODEL, "revision": "1"}, SETTINGS, {"loss": 1})
    assert first.key == tracked({**MODEL, "revision": "2", "verdict": _verdict()}, SETTINGS, {}).key
    assert first.key != tracked({"model": {"version": "abd"}}, SETTINGS, {}).key
    assert first.key != tracked(MODEL, replace(SETTINGS, seed=2), {}).key


def test_what_the_gate_measures_itself_is_not_the_training_s_word() -> None:
    reported = {"rmse": 1.0, "gain": 2.0}
    verdict = _verdict(metrics={"rmse": 3.0, "gain": 2.0, "r2": None}, intervals={"rmse": [2.5, None]})
    found = tracked({**MODEL, "verdict": verdict}, SETTINGS, reported)
    assert found.metrics == {
        "training/rmse": 1.0,
        "training/gain": 2.0,
        "gate/rmse": 3.0,
        "gate/rmse.low": 2.5,
    }


def test_runs_are_counted_by_the_holdout_that_judged_them() -> None:
    judged = tracked({**MODEL, "verdict": _verdict(digests={"data": "sha256:ab"})}, SETTINGS, {})
    assert judged.tags["ml-pipeline.holdout"] == "sha256:ab"
    assert "ml-pipeline.holdout" not in tracked(MODEL, SETTINGS, {}).tags


def test_a_study_without_a_model_has_no_version_to_register() -> None:
    found = tracked({"model": {"version": "abc", "runtime": None}, "verdict": _verdict()}, SETTINGS, {})
    assert (found.version, found.passed, found.title) == (None, True, "abc")


def test_the_digest_tells_all_that_is_logged() -> None:
    run: dict[str, Any] = {**MODEL, "verdict": _verdict()}
    digest = tracked(run, SETTINGS, {}).digest({"a": "1"})
    assert digest == tracked({**run, "seconds": 3}, SETTINGS, {}).digest({"a": "1"})
    assert digest != tracked(run, SETTINGS, {}).digest({"a": "2"})
    assert digest != tracked({**run, "revision": "x"}, SETTINGS, {}).digest({"a": "1"})


def _verdict(**changes: Any) -> dict[str, Any]:
    return {"passed": True, "rows": 10, "metrics": {}, "gates": [], **changes}


def test_two_names_that_mlflow_writes_alike_stay_two() -> None:
    names = ["größe", "gr__e", "gr??e", "plain", "x" * 300 + "a", "x" * 300 + "b"]
    taken = apart(names)
    assert (taken["gr__e"], taken["plain"]) == ("gr__e", "plain")
    assert taken["größe"].startswith("gr__e_")
    assert len(set(taken.values())) == len(names)
    assert max(map(len, taken.values())) <= 250
    assert all(name_of(name) == name for name in taken.values())
    assert apart(reversed(names)) == taken, "whatever the order"
    assert apart(["plots/a?.png", "b.png"], path_of)["b.png"] == "b.png"
    assert len({*apart(["plots/a?.png", "plots/a;.png"], path_of).values()}) == 2
