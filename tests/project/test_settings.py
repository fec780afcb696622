"""The settings of each stage: a key that it does not read is not in its document."""

import json

import pytest

from ml_pipeline.project import config, settings

PROJECT = """
name = "wine"
task = "classification"
[data]
path = "wine.csv"
target = "cultivar"
sensitive = ["region"]
[data.columns.ash]
type = "number"
max = 3
[train]
seed = 7
config = {epochs = 5}
[gates]
accuracy = {min = 0.9}
"""


def test_the_trainer_does_not_see_gates_or_schema() -> None:
    project = config.parse(None, PROJECT)
    loosened = config.parse(None, PROJECT.replace("0.9", "0.8").replace("max = 3", "max = 4"))
    assert settings.train(project, "cpu") == settings.train(loosened, "cpu")
    assert json.loads(settings.train(project, "cpu")) == {
        "task": "classification",
        "target": "cultivar",
        "positive": None,
        "seed": 7,
        "config": {"epochs": 5},
        "timeout": None,
        "search": None,
        "device": "cpu",
    }


def test_the_gate_does_not_see_the_trainer() -> None:
    project = config.parse(None, PROJECT)
    retrained = config.parse(None, PROJECT.replace("epochs = 5", "epochs = 6"))
    assert settings.evaluate(project) == settings.evaluate(retrained)
    assert json.loads(settings.evaluate(project))["gates"] == {"accuracy": {"min": 0.9, "required": True}}


def test_what_gates_do_without_evidence_is_said_once() -> None:
    gates = """accuracy = {min = 0.9, confidence = 0.95}
f1 = {min = 0.8, confidence = 0.95, insufficient = "block"}"""
    text = 'insufficient = "allow"\n' + PROJECT.replace("accuracy = {min = 0.9}", gates)
    document = json.loads(settings.evaluate(config.parse(None, text)))
    assert {name: gate["insufficient"] for name, gate in document["gates"].items()} == {
        "accuracy": "allow", "f1": "block"
    }  # fmt: skip


def test_the_data_stage_gets_rules_that_are_set() -> None:
    document = json.loads(settings.data(config.parse(None, PROJECT)))
    assert document["columns"] == {"ash": {"type": "number", "max": 3, "nullable": True, "unique": False}}
    assert document["seed"] == 7


def test_the_cluster_is_asked_for_a_gpu_where_the_model_is_served_on_one() -> None:
    on_cuda = PROJECT + '[serve]\nruntime = "python"\ndevice = "cuda"\n[deploy]\nmemory_mb = 4096\n'
    document = json.loads(settings.deploy(config.parse(None, on_cuda), "image", "1", drains=True))
    assert (document["gpus"], document["memory_mb"], document["drains"]) == (1, 4096, True)
    assert (document["watch_s"], document["insufficient"]) == (60, "keep")
    assert document["tolerances"] == {"errors": 0.02, "slow": 0.1, "classes": 0.2}
    assert json.loads(settings.deploy(config.parse(None, PROJECT), "image", "1"))["gpus"] == 0


@pytest.mark.parametrize(
    ("search", "mode"),
    [
        ("", "min"),
        ("metric = 'accuracy'", "max"),
        ("metric = 'val/macro_f1'", "max"),
        ("metric = 'my_score'", "max"),
        ("metric = 'test_rmse'", "min"),
        ("metric = 'equalized_odds_difference'", "min"),
        ("metric = 'accuracy'\nmode = 'min'", "min"),
        ("metric = 'fitness'\nmode = 'max'", "max"),
    ],
)
def test_a_search_knows_whether_more_of_its_metric_is_better(search: str, mode: str) -> None:
    text = f"{PROJECT}[train.search]\nparameters = {{width = [1, 2]}}\n{search}\n"
    assert json.loads(settings.train(config.parse(None, text), "cpu"))["search"]["mode"] == mode
