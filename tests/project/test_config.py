"""The configuration: what is read, and the one line that each mistake gets."""

import pytest

from ml_pipeline.errors import ConfigError
from ml_pipeline.project import config
from ml_pipeline.project.schema import Deploy, Gate

MINIMAL = """
name = "wine"
task = "classification"
[data]
path = "wine.csv"
target = "cultivar"
"""


def test_defaults_of_a_minimal_project() -> None:
    project = config.parse(None, MINIMAL)
    assert project.data.holdout == 0.2
    assert project.train.command is None
    assert (project.serve.runtime, project.serve.device) == ("onnx", "cpu")
    assert project.deploy == Deploy(namespace="default", replicas=2, strategy="rolling")
    assert dict(project.gates) == {}


def test_pyproject_holds_the_same_keys_under_tool() -> None:
    text = MINIMAL.replace("[data]", "[tool.ml-pipeline.data]")
    assert config.parse(f"[tool.ml-pipeline]{text}", None) == config.parse(None, MINIMAL)


def test_every_section_is_read() -> None:
    project = config.parse(
        None,
        MINIMAL
        + """
        positive = 1
        holdout = "test.csv"
        exclude = ["id"]
        [data.columns.age]
        type = "integer"
        min = 17
        nullable = false
        allowed = [1, 2]
        [data.columns.seen]
        type = "datetime"
        min = "2024-01-01"
        [train]
        command = "python -m wine.train"
        config = {epochs = 20, layers = [8, 8]}
        [gates]
        accuracy = {min = 0.9, max_regression = 0.01}
        latency_p95_ms = {max = 20, required = false}
        [serve]
        runtime = false
        [deploy]
        replicas = 3
        strategy = "blue-green"
        keep = 0
        """,
    )
    assert project.data.columns["age"] == config.Column(
        type="integer", min=17, nullable=False, allowed=(1, 2)
    )
    assert project.data.columns["seen"] == config.Column(type="datetime", min="2024-01-01")
    assert project.train.config == {"epochs": 20, "layers": [8, 8]}
    assert project.gates["accuracy"] == Gate(min=0.9, max_regression=0.01)
    assert project.serve.runtime is False
    assert project.deploy.replicas == 3


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("[trian]", "config: ml-pipeline.toml: unknown key 'trian'; did you mean 'train'?"),
        ("tagret = 'x'", "config: ml-pipeline.toml: unknown key 'tagret' in [data]; did you mean 'target'?"),
        (
            "[data.columns.age]\nmaximum = 3",
            "config: ml-pipeline.toml: unknown key 'maximum' in [data.columns.age]; did you mean 'max'?",
        ),
        (
            "[deploy]\nreplicas = 'two'",
            'config: ml-pipeline.toml: deploy.replicas is "two", a string; write an integer',
        ),
        (
            "[deploy]\nreplicas = true",
            "config: ml-pipeline.toml: deploy.replicas is true; write an integer",
        ),
        (
            "[deploy]\nstrategy = 'canary'",  # nothing does it yet
            'config: ml-pipeline.toml: deploy.strategy is "canary", a string; '
            'write "rolling" or "blue-green"',
        ),
        (
            "[serve]\nruntime = true",
            'config: ml-pipeline.toml: serve.runtime is true; write "onnx" or "python" or false',
        ),
        ("sensitive = 'sex'", 'config: ml-pipeline.toml: data.sensitive is "sex", a string; write a list'),
        (
            "exclude = [1]",
            "config: ml-pipeline.toml: data.exclude[0] is 1, an integer; write a string",
        ),
        (
            "[gates]\naccuracy = 0.9",
            "config: ml-pipeline.toml: gates.accuracy is 0.9, a number; write a table",
        ),
        (
            "[gates]\naccuracy = {}",
            "config: ml-pipeline.toml: gates.accuracy has no bound; "
            "give it min, max, max_regression or better_than",
        ),
        (
            '[gates]\nlatency_p95_ms = {better_than = "linear"}',
            "config: ml-pipeline.toml: gates.latency_p95_ms.better_than needs a metric of the model's "
            "answers; remove it, or use another metric",
        ),
        (
            '[serve]\nruntime = false\n[gates]\naccuracy = {better_than = "linear"}',
            "config: ml-pipeline.toml: gates.accuracy.better_than needs an image (serve.runtime = false); "
            "remove it",
        ),
        (
            '[gates]\naccuracy = {better_than = "trees"}',
            'config: ml-pipeline.toml: gates.accuracy.better_than is "trees", a string; '
            'write "constant" or "linear" or "boosting"',
        ),
        (
            "[gates]\naccuracy = {min = 0.9, max = 0.1}",
            "config: ml-pipeline.toml: gates.accuracy has min = 0.9 above max = 0.1; "
            "no model can pass; swap them",
        ),
        (
            "[gates]\naccuracy = {min = 0.9, confidence = 95}",
            "config: ml-pipeline.toml: gates.accuracy.confidence = 95 is out of range; "
            "use 0.5 or more and less than 1, such as 0.95",
        ),
        (
            "[gates]\nmemory_mb = {max = 9, confidence = 0.95}",
            "config: ml-pipeline.toml: gates.memory_mb has a confidence, "
            "but this metric has no interval; remove the key",
        ),
        (
            '[gates]\naccuracy = {min = 0.9, insufficient = "allow"}',
            "config: ml-pipeline.toml: gates.accuracy.insufficient needs a confidence; "
            "add confidence = 0.95, or remove it",
        ),
        (
            '[gates]\naccuracy = {min = 0.9, confidence = 0.9, insufficient = "ignore"}',
            'config: ml-pipeline.toml: gates.accuracy.insufficient is "ignore", a string; '
            'write "block" or "allow"',
        ),
        (
            "[gates]\nshadow_agreement = {min = 0.99}",
            "config: ml-pipeline.toml: gates.shadow_agreement needs recorded requests; "
            "name their file in data.requests",
        ),
        (
            "requests = '../asked.jsonl'",
            "config: ml-pipeline.toml: data.requests = '../asked.jsonl' is outside the source; "
            "use a path inside the project's folder",
        ),
        (
            "[data.columns.seen]\nformat = '%m/%d/%Y'",
            'config: ml-pipeline.toml: data.columns.seen.format needs type = "datetime"; '
            "set data.columns.seen.type, or remove the format",
        ),
        (
            "[data.columns.seen]\ntype = 'datetime'\nformat = 'US'",
            "config: ml-pipeline.toml: data.columns.seen.format = 'US' has no directive; "
            'use those of strptime: "%m/%d/%Y"',
        ),
        (
            "encoding = 'utf-99'",
            "config: ml-pipeline.toml: data.encoding = 'utf-99' is not an encoding; "
            'use one such as "utf-8" or "cp1252"',
        ),
        (
            "group = 'customer'\ntime = 'day'",
            "config: ml-pipeline.toml: data.group and data.time each decide which rows are held out; "
            "remove one of them",
        ),
        (
            "holdout = 1.5",
            "config: ml-pipeline.toml: data.holdout = 1.5 must be a fraction; "
            "use a number between 0 and 1, or the path of a table",
        ),
        (
            "holdout = 'gs://bucket/held.csv'",
            "config: ml-pipeline.toml: data.holdout = 'gs://bucket/held.csv' has the scheme 'gs'; "
            "use s3://BUCKET/KEY, or a path in the source",
        ),
        (
            "reference = 's3:///before.csv'",
            "config: ml-pipeline.toml: data.reference = 's3:///before.csv' has no bucket; use s3://BUCKET/KEY",
        ),
        (
            "holdout = '../secret.csv'",
            "config: ml-pipeline.toml: data.holdout = '../secret.csv' is outside the source; "
            "use a path inside the project's folder",
        ),
        (
            "[train]\ntimeout = 60",
            "config: ml-pipeline.toml: train.timeout needs a train.command; "
            "remove it; train.config.epochs limits the built-in trainer",
        ),
        (
            "[train]\nextras = ['gpu']",
            "config: ml-pipeline.toml: train.extras need a train.command; "
            "remove them; the built-in trainer has its own packages",
        ),
        (
            "[train]\ncommand = 'make'\ntimeout = 0",
            "config: ml-pipeline.toml: train.timeout = 0 is out of range; use 1 second or more, or remove it",
        ),
        (
            "[train.search]\nparameters = {}",
            "config: ml-pipeline.toml: train.search.parameters is empty; "
            "name at least one, such as learning_rate = [0.003, 0.01]",
        ),
        (
            "[train.search.parameters]\nwidth = []",
            "config: ml-pipeline.toml: train.search.parameters.width is empty; "
            "give it values to try, or remove it",
        ),
        (
            "[train.search]\ntrials = 0\nparameters = {width = [1]}",
            "config: ml-pipeline.toml: train.search.trials = 0 is out of range; "
            "use 1 or more, or remove it to try all",
        ),
        (
            "[train.search]\nmetric = 'fitness'\nparameters = {width = [1]}",
            "config: ml-pipeline.toml: "
            "train.search.metric = 'fitness' does not say whether more of it is better; "
            'set train.search.mode = "min" or "max"',
        ),
        (
            f"[train.search.parameters]\na = {[*range(200)]}\nb = {[*range(200)]}",
            "config: ml-pipeline.toml: train.search has 40,000 combinations; "
            "set train.search.trials to draw some of them",
        ),
        (
            "drift = {alpha = 5}",
            "config: ml-pipeline.toml: data.drift.alpha = 5 is out of range; use a number between 0 and 1",
        ),
        (
            "leakage = {score = -1}",
            "config: ml-pipeline.toml: data.leakage.score = -1 is out of range; use a number between 0 and 1",
        ),
        (
            "[data.columns.age]\ndrift = {threshold = -0.1}",
            "config: ml-pipeline.toml: data.columns.age.drift.threshold = -0.1 is out of range; "
            "use 0 or more; inf where nothing counts as drift",
        ),
        (
            "exclude = ['cultivar']",
            "config: ml-pipeline.toml: data.exclude names the target 'cultivar'; remove it from the list",
        ),
        (
            "[data.columns.age]\npattern = '('",
            "config: ml-pipeline.toml: data.columns.age.pattern = '(' is not a regular expression; "
            "fix it, or remove it",
        ),
        (
            "[serve]\ndevice = 'cuda'",
            'config: ml-pipeline.toml: serve.device = "cuda" needs serve.runtime = "python"; '
            'remove it, or let training write a predictor.py and set serve.runtime = "python"',
        ),
        (
            "[serve]\nruntime = 'python'\ndevice = 'tpu'",
            'config: ml-pipeline.toml: serve.device is "tpu", a string; write "cpu" or "cuda"',
        ),
        (
            "[deploy]\nreplicas = 0",
            "config: ml-pipeline.toml: deploy.replicas = 0 is out of range; use 1 or more",
        ),
        (
            "[deploy]\ntimeout = 0",
            "config: ml-pipeline.toml: deploy.timeout = 0 is out of range; use 1 or more",
        ),
        (
            "[train.node]\ngpus = 0",
            "config: ml-pipeline.toml: train.node.gpus = 0 is out of range; use 1 or more",
        ),
        (
            "[deploy]\nwatch = -1",
            "config: ml-pipeline.toml: deploy.watch = -1 is out of range; use 0 or more",
        ),
        (
            "[deploy]\ninsufficient = 'block'",
            'config: ml-pipeline.toml: deploy.insufficient is "block", a string; write "keep" or "back"',
        ),
        (
            "[deploy.tolerances]\nerrors = 2",
            "config: ml-pipeline.toml: deploy.tolerances.errors = 2 is out of range; "
            "use a number between 0 and 1",
        ),
        (
            "[deploy.tolerances]\nerrosr = 0.1",
            "config: ml-pipeline.toml: unknown key 'errosr' in [deploy.tolerances]; did you mean 'errors'?",
        ),
        (
            "[deploy]\nmemory_mb = 0",
            "config: ml-pipeline.toml: deploy.memory_mb = 0 is out of range; use 1 or more",
        ),
        (
            "[deploy]\nnamespace = 'My_Models'",
            "config: ml-pipeline.toml: deploy.namespace = 'My_Models' is not a valid name in a cluster; "
            "use at most 53 lower-case letters, digits and inner hyphens",
        ),
    ],
)
def test_a_mistake_gets_one_line(addition: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        config.parse(None, MINIMAL + addition)
    assert str(refusal.value) == message


def test_an_error_in_pyproject_names_its_table() -> None:
    text = MINIMAL.replace("[data]", "[tool.ml-pipeline.data]").replace('"classification"', '"ranking"')
    with pytest.raises(ConfigError, match=r"^config: pyproject.toml: tool\.ml-pipeline\.task is \"ranking\""):
        config.parse(f"[tool.ml-pipeline]{text}", None)
    with pytest.raises(
        ConfigError, match=r"^config: pyproject.toml: tool\.ml-pipeline is 3, an integer; write"
    ):
        config.parse("[tool]\nml-pipeline = 3", None)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^config: ml-pipeline.toml: data.target is missing; add it$"):
        config.parse(None, MINIMAL.replace('target = "cultivar"', ""))


def test_text_that_is_not_toml() -> None:
    with pytest.raises(ConfigError, match=r"^config: pyproject.toml is not TOML: .* \(at line 1, column 1\)"):
        config.parse("][", None)


def test_no_configuration_at_all() -> None:
    with pytest.raises(ConfigError, match=r"^config: neither ml-pipeline.toml nor \[tool.ml-pipeline\]"):
        config.parse('[project]\nname = "x"', None)


def test_two_configurations() -> None:
    with pytest.raises(ConfigError, match=r"^config: both ml-pipeline.toml and pyproject.toml configure"):
        config.parse(f"[tool.ml-pipeline]{MINIMAL.replace('[data]', '[tool.ml-pipeline.data]')}", MINIMAL)


def test_a_price_below_nothing() -> None:
    with pytest.raises(ConfigError) as refusal:
        config.parse(None, f"price_per_hour = -1.0\n{MINIMAL}")
    assert str(refusal.value) == (
        "config: ml-pipeline.toml: price_per_hour = -1.0 is out of range; "
        "use a number of 0 or more, or remove it"
    )
    assert config.parse(None, f"price_per_hour = 0.2\n{MINIMAL}").price_per_hour == 0.2
