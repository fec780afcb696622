"""Training in several processes: the steps of one, and each way to end."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.training import launch
from tests.programs import run
from tests.training.tabular_rows import labelled
from tests.training.trainings import Training

pytestmark = [pytest.mark.program, pytest.mark.timeout(300)]

# Shares are summed in another order than one process does, in numbers of 24 bits: 1e-7 a step.
TOLERANCE = 1e-5
# 255 training rows, two at a time: of three processes one has none of them.
UNEVEN = {"epochs": 2, "batch_size": 2, "class_weight": "balanced", "refit_rows": 0}


def losses(training: Training) -> list[float]:
    return [float(row[key]) for row in training.history() for key in ("train_loss", "validation_loss")]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, str, dict[str, Any]]:
    """A run of two processes that nothing interrupted, what it printed, and its details."""
    training = Training(tmp_path_factory.mktemp("pair") / "run", processes=2)
    return training, *training.finish()


def test_two_processes_take_the_steps_of_one(
    pair: tuple[Training, str, dict[str, Any]], tmp_path: Path
) -> None:
    together, printed, details = pair
    alone = Training(tmp_path / "alone")
    _, single = alone.finish()
    assert details["processes"] == 2
    assert losses(together) == pytest.approx(losses(alone), rel=TOLERANCE)
    assert details["metrics"]["train_loss"] == pytest.approx(single["metrics"]["train_loss"], rel=TOLERANCE)
    assert details["metrics"]["best_epoch"] == single["metrics"]["best_epoch"]
    assert {path.name for path in (together.folder / "out").iterdir()} == {
        "model.onnx",
        "weights.safetensors",
        "metrics.json",
        "history.csv",
    }
    epochs = re.findall(r"^epoch (\d+) of 6", printed, re.MULTILINE)
    assert epochs == [str(epoch) for epoch in range(1, 7)], "rank 0 alone speaks"
    assert printed.count("training again on all 300 rows") == 1
    assert not together.checkpoint.exists()


def test_a_share_may_be_empty_and_classes_may_weigh(tmp_path: Path) -> None:
    runs = [Training(tmp_path / str(processes), processes, UNEVEN) for processes in (1, 3)]
    for training in runs:
        training.finish()
    one, three = map(losses, runs)
    assert three == pytest.approx(one, rel=TOLERANCE)


def test_two_processes_that_are_killed_end_in_the_same_weights(
    pair: tuple[Training, str, dict[str, Any]], tmp_path: Path
) -> None:
    killed = Training(tmp_path / "run", processes=2)
    killed.kill_after(3)
    assert killed.checkpoint.exists()
    assert not (killed.folder / "out" / "model.onnx").exists()
    printed, details = killed.finish()
    assert re.search(r"^continuing after epoch [123] from the checkpoint", printed, re.MULTILINE)
    assert details["weights"] == pair[2]["weights"]
    assert killed.history() == pair[0].history()


def stage(folder: Path, *arguments: str, **config: Any) -> tuple[str, dict[str, Any]]:
    """Run the stage in two processes; return what it wrote to stderr, and its outcome."""
    (folder / "settings.json").write_text(
        json.dumps({"task": "classification", "target": "y", "config": config})
    )
    paths = {"ML_DATA": "train.parquet", "ML_OUTPUT": "out", "ML_OUTCOME": "outcome.json"}
    variables = {name: str(folder / path) for name, path in paths.items()}
    labelled().write_parquet(folder / "train.parquet")
    words = ("--config", folder / "settings.json", "--workdir", folder, "--processes", "2", *arguments)
    ran = run("training.train", *words, **variables, PYTHONWARNINGS="error")
    return ran.stderr, json.loads((folder / "outcome.json").read_text())


def test_what_the_trainer_refuses_is_said_as_by_one_process(tmp_path: Path) -> None:
    said, outcome = stage(tmp_path, epohcs=3)
    assert outcome["message"] == "train.config has no option 'epohcs'"
    assert said.splitlines()[-1] == f"train: {outcome['message']}; {outcome['hint']}"
    assert "Traceback" not in said


def test_a_command_is_started_by_torchrun_and_told_its_rank(tmp_path: Path) -> None:
    script = (
        "import json, os, pathlib\n"
        "variables = {name: value for name, value in os.environ.items() if name.isupper()}\n"
        "output = pathlib.Path(variables['ML_OUTPUT'])\n"
        "(output / f\"rank-{variables['RANK']}.json\").write_text(json.dumps(variables))\n"
        "if variables['RANK'] == '0':\n"
        "    (output / 'metrics.json').write_text('{\"loss\": 1}')\n"
    )
    (tmp_path / "mine.py").write_text(script)
    _, outcome = stage(tmp_path, "--command", "python -W ignore mine.py")
    assert outcome["status"] == "passed", outcome
    assert outcome["details"]["wrote"] == ["metrics.json", "rank-0.json", "rank-1.json"]
    variables = [json.loads((tmp_path / "out" / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert [(each["RANK"], each["WORLD_SIZE"]) for each in variables] == [("0", "2"), ("1", "2")]
    assert variables[0]["MASTER_PORT"] == variables[1]["MASTER_PORT"]
    assert variables[0]["OMP_NUM_THREADS"] == str(max(1, len(os.sched_getaffinity(0)) // 2))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "test $RANK = 0 && sleep 60; echo the rows are odd >&2; exit 3",
            "the training command exited with 3; its last line was: the rows are odd",
        ),
        ("kill -9 $$", "the training command ran out of memory or was killed (exit 137); it wrote nothing"),
        ("kill -9 $PPID", "a training process ran out of memory or was killed (exit 137)"),
    ],
)
def test_a_command_that_fails_in_one_process(tmp_path: Path, command: str, message: str) -> None:
    said, outcome = stage(tmp_path, "--command", command)
    assert outcome["message"].startswith(message), outcome
    assert said.splitlines()[-1] == f"train: {outcome['message']}; {outcome['hint']}"
    assert "Traceback" not in said
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in lines if b"sleep\x0060" in line], "the other process's command has ended too"


def test_the_words_of_torchrun() -> None:
    nodes = launch.Nodes(3, "10.96.0.7:29400", "wine-1a2b", "10.244.0.9")
    words = launch.torchrun(4, nodes, Path("job.json"))
    assert words[words.index("-m") + 1] == "ml_pipeline.training.torchrun"
    assert set(words) >= {
        "--nnodes=3",
        "--nproc-per-node=4",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=10.96.0.7:29400",
        "--rdzv-id=wine-1a2b",
        "--local-addr=10.244.0.9",
        "--max-restarts=3",
    }
    assert "--standalone" in launch.torchrun(2, None, Path("job.json"))
