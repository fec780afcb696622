"""A search over hyper-parameters: every trial is the stage, and the best one's files are the model."""

import csv
import json
import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

from ml_pipeline.training.search import combinations
from ml_pipeline.training.settings import Search
from tests.programs import SOURCE
from tests.training.tabular_rows import labelled

pytestmark = pytest.mark.program

PARAMETERS = {"rate": [1, 2, 3], "depth": [1, 2]}
# Its loss is least at rate = 2, depth = 1; the settings that are not searched are there too.
COMMAND = (
    "python3 -c \"import json, os; c = json.load(open(os.environ['ML_CONFIG'])); assert c['epochs'] == 3; "
    "out = open(os.environ['ML_OUTPUT'] + '/metrics.json', 'w'); "
    "json.dump({'loss': abs(c['rate'] - 2) + c['depth']}, out); "
    "open(os.environ['ML_DATA'] + '.started', 'a').write('x')\""
)


class Project:
    """A folder in which the stage searches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "out"
        labelled().write_parquet(folder / "train.parquet")

    def start(self, *arguments: str, config: dict[str, Any] | None = None, **search: Any) -> Popen[str]:
        """Start the stage, in a session of its own."""
        settings = {"task": "classification", "target": "y", "positive": None, "seed": 7, "device": "cpu"}
        settings |= {"config": config or {"epochs": 3}}
        settings["search"] = {
            "parameters": PARAMETERS, "metric": "loss", "mode": "min", "trials": None
        } | search  # fmt: skip
        (self.folder / "settings.json").write_text(json.dumps(settings))
        paths = {
            "ML_DATA": self.folder / "train.parquet",
            "ML_OUTPUT": self.output,
            "ML_CHECKPOINTS": self.folder / "checkpoints",
            "ML_OUTCOME": self.folder / "outcome.json",
            "PYTHONPATH": SOURCE,
        }
        words = ["--config", str(self.folder / "settings.json"), "--workdir", str(self.folder), *arguments]
        return Popen(
            [sys.executable, "-m", "ml_pipeline.training.train", *words],
            env={**os.environ, **{name: str(path) for name, path in paths.items()}},
            stdout=PIPE,
            text=True,
            start_new_session=True,
        )

    def search(self, *arguments: str, **settings: Any) -> dict[str, Any]:
        """Run the stage; return its outcome with what it printed."""
        with self.start(*arguments, **settings) as process:
            printed, _ = process.communicate(timeout=120)
        outcome: dict[str, Any] = json.loads((self.folder / "outcome.json").read_text())
        return outcome | {"printed": printed, "code": process.returncode}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "checkpoints").mkdir()
    return Project(tmp_path)


def test_the_whole_grid(project: Project) -> None:
    outcome = project.search("--command", COMMAND)
    assert outcome["code"] == 0, outcome["message"]
    search = outcome["details"]["search"]
    best = search["trials"][search["best"] - 1]
    assert (best["parameters"], best["value"]) == ({"rate": 2, "depth": 1}, 1)
    assert [trial["value"] for trial in search["trials"]] == [2, 3, 1, 2, 2, 3]
    assert outcome["details"]["wrote"] == ["metrics.json", "trials.csv"]
    assert json.loads((project.output / "metrics.json").read_text()) == {"loss": 1}
    rows = list(csv.DictReader((project.output / "trials.csv").read_text().splitlines()))
    assert [row["loss"] for row in rows] == ["2", "3", "1", "2", "2", "3"]
    assert "trial 3: rate = 2, depth = 1: loss 1\n" in outcome["printed"]
    assert not list((project.folder / "checkpoints").iterdir()), "a search that has ended leaves nothing"


def test_the_greatest_and_some_of_many(project: Project) -> None:
    outcome = project.search("--command", COMMAND, mode="max", trials=4)
    search = outcome["details"]["search"]
    values = [trial["value"] for trial in search["trials"]]
    assert (len(values), values[search["best"] - 1]) == (4, max(values))


def test_draws_are_seeded_and_all_different() -> None:
    parameters = {"a": tuple(range(1000)), "b": tuple(range(1000)), "c": ("x", "y")}
    search = Search(parameters, "loss", "min", 50)
    drawn = combinations(search, 1)
    assert drawn == combinations(search, 1) != combinations(search, 2)
    assert len({tuple(each.values()) for each in drawn}) == 50
    assert [list(each) for each in drawn] == [["a", "b", "c"]] * 50


def test_an_interrupted_search_goes_on_with_what_is_left(project: Project) -> None:
    slow = COMMAND.replace("import json, os;", "import json, os, time;").replace(
        ".write('x')", ".write(str(c['rate']) + str(c['depth']) + ' ')"
    )
    with project.start("--command", slow + "; test -f quick || sleep 0.5") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("trial 2: rate = "):
                os.killpg(process.pid, signal.SIGKILL)
    assert not (project.output / "metrics.json").exists()
    (project.folder / "quick").touch()
    outcome = project.search("--command", slow + "; test -f quick || sleep 0.5")
    assert outcome["code"] == 0
    assert [trial["value"] for trial in outcome["details"]["search"]["trials"]] == [2, 3, 1, 2, 2, 3]
    started = (project.folder / "train.parquet.started").read_text().split()
    assert set(started) == {"11", "12", "21", "22", "31", "32"}
    assert started.count("12") == 1, "it had ended"


def test_trials_that_fail_are_told_and_left_out(project: Project) -> None:
    command = COMMAND.replace("json.dump(", "c['rate'] == 2 and exit('no such rate'); json.dump(")
    outcome = project.search("--command", command)
    assert outcome["code"] == 0
    search = outcome["details"]["search"]
    assert [trial["status"] for trial in search["trials"]].count("failed") == 2
    assert search["trials"][search["best"] - 1]["value"] == 2
    assert "failed: the training command exited with 1; its last line was: no such rate" in outcome["printed"]


def test_a_trial_without_the_metric_does_not_spoil_the_others(project: Project) -> None:
    command = COMMAND.replace("{'loss'", "{'lost' if c['rate'] == 2 else 'loss'")
    outcome = project.search("--command", command)
    assert outcome["code"] == 0, outcome["message"]
    search = outcome["details"]["search"]
    assert [trial["status"] for trial in search["trials"]].count("failed") == 2
    assert search["trials"][search["best"] - 1]["value"] == 2
    assert "which is not in the trial's metrics.json; did you mean 'lost'?" in outcome["printed"]


def test_trials_share_no_file_that_they_write_beside_their_code(project: Project) -> None:
    """Each keeps its best weights in one file of the project's folder, and deletes another, as many do."""
    (project.folder / "cache").mkdir()
    (project.folder / "cache" / "old").touch()
    (project.folder / "fit.py").write_text(
        "import json, os, pathlib, time\n"
        "rate = json.load(open(os.environ['ML_CONFIG']))['rate']\n"
        "pathlib.Path('cache/old').unlink()\n"
        "pathlib.Path('best.ckpt').open('x').write(str(rate))\n"
        "time.sleep(0.2)\n"
        "output = pathlib.Path(os.environ['ML_OUTPUT'])\n"
        "output.joinpath('weights').write_text(pathlib.Path('best.ckpt').read_text())\n"
        "output.joinpath('metrics.json').write_text(json.dumps({'loss': rate}))\n"
    )
    outcome = project.search("--command", "python3 fit.py", parameters={"rate": [3, 1, 2, 4]})
    assert outcome["code"] == 0, outcome["message"]
    assert [trial["value"] for trial in outcome["details"]["search"]["trials"]] == [3, 1, 2, 4]
    assert (project.output / "weights").read_text() == "1", "the weights are those of the best score"
    assert not (project.folder / "best.ckpt").exists()
    assert (project.folder / "cache" / "old").exists()


def test_a_huge_grid_is_drawn_from() -> None:
    parameters = {name: tuple(range(100_000)) for name in "abcd"}  # 10**20 combinations
    assert len({tuple(each.values()) for each in combinations(Search(parameters, "loss", "min", 5), 1)}) == 5


@pytest.mark.parametrize(
    ("command", "search", "message"),
    [
        ("exit 3", {}, "all 6 trials failed; the first: the training command exited with 3"),
        (
            COMMAND,
            {"metric": "los"},
            "all 6 trials failed; the first: train.search.metric is 'los', which is not in the trial's",
        ),
        (
            COMMAND.replace("abs(", "float('nan')*("),
            {},
            "all 6 trials failed; the first: its metric was not finite",
        ),
    ],
)
def test_searches_that_find_nothing(
    project: Project, command: str, search: dict[str, Any], message: str
) -> None:
    outcome = project.search("--command", command, **search)
    assert outcome["code"] == 1
    assert outcome["message"].startswith(message)


def test_the_built_in_trainer_searches(project: Project) -> None:
    parameters = {"width": [8, 16], "dropout": [0.1]}
    outcome = project.search(config={"epochs": 2}, parameters=parameters, metric="validation_loss")
    assert outcome["code"] == 0, outcome["message"]
    details = outcome["details"]
    assert details["trainer"] == "built-in"
    assert details["wrote"] == sorted(
        ["history.csv", "metrics.json", "model.onnx", "trials.csv", "weights.safetensors"]
    )
    assert "trial 2: epoch 2 of 2: train loss" in outcome["printed"]
    unknown = project.search(parameters={"widht": [8]}, metric="validation_loss")
    assert "train.config has no option 'widht'" in unknown["message"]
