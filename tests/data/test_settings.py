"""The settings that the engine's side writes are those that the programs of the data stages read."""

import dataclasses
import json

from ml_pipeline.common.reading import read
from ml_pipeline.data.settings import Settings
from ml_pipeline.project import config, settings

WHOLE = """
name = "people"
task = "classification"

[data]
path = "people.csv"
target = "answer"
positive = "yes"
holdout = "later.csv"
time = "seen"
reference = "s3://bucket/before.csv"
key = ["id"]
exclude = ["name"]
sensitive = ["gender"]

[data.drift]
threshold = inf
action = "stop"

[data.leakage]
score = 0.5

[data.columns.age]
type = "integer"
min = 17
max = 90.5
nullable = false
drift = {effect = "psi", alpha = 0.01}

[data.columns.job]
allowed = ["clerk", "smith"]
pattern = "[a-z]+"
unique = true
max_missing = 0.5

[train]
seed = 7
"""
LEAST = 'name = "x"\ntask = "regression"\n[data]\npath = "x.csv"\ntarget = "y"\n'


def test_every_setting_arrives() -> None:
    for text in (WHOLE, LEAST):
        project = config.parse(None, text)
        document = json.loads(settings.data(project))
        assert document.keys() == {field.name for field in dataclasses.fields(Settings)}
        arrived = read(Settings, document)
        assert (arrived.task, arrived.seed) == (project.task, project.train.seed)
        for key in document.keys() - {"task", "seed"}:
            assert getattr(arrived, key) == getattr(project.data, key), key
