"""The training stage around a project's own command: the contract, and each way to end badly."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training import command
from tests.programs import SOURCE, run

pytestmark = pytest.mark.program

SETTINGS = {"task": "classification", "target": "y", "positive": None, "seed": 7, "config": {"epochs": 3}}


@dataclass(frozen=True)
class Ended:
    """How a run of the stage ended."""

    code: int
    stdout: str
    stderr: str
    outcome: dict[str, Any]


Train = Callable[..., Ended]
COUNTS = "echo '{}' > $ML_OUTPUT/metrics.json"


@pytest.fixture
def train(tmp_path: Path) -> Train:
    def once(*arguments: str, settings: Mapping[str, Any] | None = None, **variables: str) -> Ended:
        (tmp_path / "settings.json").write_text(json.dumps({**SETTINGS, **(settings or {})}))
        (tmp_path / "train.parquet").touch()
        (tmp_path / "project").mkdir(exist_ok=True)
        paths = {"ML_DATA": tmp_path / "train.parquet", "ML_OUTPUT": tmp_path / "out"}
        defaults = {name: str(path) for name, path in paths.items()}
        defaults |= {"ML_OUTCOME": str(tmp_path / "outcome.json"), "PYTHONWARNINGS": "error"}
        ran = run(
            "training.train",
            *("--config", tmp_path / "settings.json", "--workdir", tmp_path / "project"),
            *arguments,
            **(defaults | variables),
        )
        assert "Traceback" not in ran.stderr
        return Ended(
            ran.returncode, ran.stdout, ran.stderr, json.loads((tmp_path / "outcome.json").read_text())
        )

    return once


def test_a_command_is_given_the_contract(train: Train, tmp_path: Path) -> None:
    (tmp_path / "project" / "mine").mkdir(parents=True)
    (tmp_path / "project" / "mine" / "train.py").write_text(
        "import json, os, pathlib\n"
        "variables = {k: v for k, v in os.environ.items() if k.startswith('ML_')}\n"
        "variables['config'] = json.loads(pathlib.Path(variables['ML_CONFIG']).read_text())\n"
        "variables['resumes'] = pathlib.Path(variables['ML_CHECKPOINTS']).is_dir()\n"
        "output = pathlib.Path(variables['ML_OUTPUT'])\n"
        "(output / 'variables.json').write_text(json.dumps(variables))\n"
        "(output / 'metrics.json').write_text('{\"loss\": 0.25}')\n"
        "print('one epoch')\n"
    )
    ended = train("--command", "python -m mine.train")
    assert (ended.code, ended.stdout) == (0, "one epoch\n")
    assert ended.outcome["details"] == {
        "device": "cpu",
        "wrote": ["metrics.json", "variables.json"],
        "trainer": "command",
    }
    variables = json.loads((tmp_path / "out" / "variables.json").read_text())
    assert variables["config"] == {"epochs": 3}
    assert variables["resumes"]
    assert (variables["ML_SEED"], variables["ML_DEVICE"]) == ("7", "cpu")
    assert variables["ML_DATA"] == str(tmp_path / "train.parquet")
    assert "ML_OUTCOME" not in variables


def test_variables_win_over_the_settings(train: Train, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    command = 'echo "{\\"seed\\": $ML_SEED}" > $ML_OUTPUT/metrics.json; cp $ML_CONFIG $ML_OUTPUT/config.json'
    ended = train("--command", command, ML_SEED="11", ML_CONFIG=str(tmp_path / "mine.json"))
    assert ended.code == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == {"seed": 11}
    assert (tmp_path / "out" / "config.json").read_text() == "{}"


def test_relative_paths_are_the_callers_not_the_projects(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text('{"loss": 1}')
    command = "test -f $ML_DATA && test -d $ML_CHECKPOINTS && cp $ML_CONFIG $ML_OUTPUT/metrics.json"
    (tmp_path / "kept").mkdir()
    variables = {
        "ML_DATA": "train.parquet",
        "ML_OUTPUT": "out",
        "ML_CONFIG": "mine.json",
        "ML_CHECKPOINTS": "kept",
    }
    ended = train("--command", command, **variables)
    assert (ended.code, ended.outcome["details"]["wrote"]) == (0, ["metrics.json"])


# Command → what the one line says.
BAD: dict[str, str] = {
    "echo first >&2; echo the rows are odd >&2; echo >&2; exit 3": (
        "the training command exited with 3; its last line was: the rows are odd"
    ),
    "exit 1": "the training command exited with 1; it wrote nothing to stderr",
    "no-such-program --epochs=3": "the training command was not found (exit 127); its last line was: sh: ",
    "kill -9 $$": "the training command ran out of memory or was killed (exit 137); it wrote nothing",
    "sh -c 'kill -9 $$'; exit $?": "the training command ran out of memory or was killed (exit 137)",
    "kill -15 $$": "the training command exited with 143; it wrote nothing to stderr",
    "true": "wrote neither model.onnx, predictor.py nor metrics.json into ML_OUTPUT",
    "touch $ML_OUTPUT/model.pt": (
        "wrote neither model.onnx, predictor.py nor metrics.json into ML_OUTPUT (only model.pt)"
    ),
    "echo nothing > $ML_OUTPUT/metrics.json": "metrics.json is not JSON: Expecting value: ",
    "echo [] > $ML_OUTPUT/metrics.json": "metrics.json is not an object",
    'echo \'{"loss": "low"}\' > $ML_OUTPUT/metrics.json': (
        "metrics.json has 'loss' = \"low\", which is not a number"
    ),
}


@pytest.mark.parametrize("command", BAD)
def test_a_command_that_fails(train: Train, command: str) -> None:
    ended = train("--command", command)
    assert ended.code == 1
    assert ended.outcome["message"].startswith(BAD[command])
    assert ended.stderr.splitlines()[-1] == f"train: {ended.outcome['message']}; {ended.outcome['hint']}"


def test_a_line_that_never_ends_is_cut(train: Train) -> None:
    ended = train("--command", "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 2")
    assert len(ended.outcome["message"]) < 400
    assert ended.stderr.startswith("x" * 100_000)  # passed on whole


@pytest.mark.parametrize("listens", [True, False])
def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    monkeypatch.setattr(command, "GRACE", 2)
    reaction = "echo stopping >&2; exit 0" if listens else ""
    hangs = f"echo waiting >&2; trap '{reaction}' TERM; sleep 4321 & wait; sleep 4322"
    with pytest.raises(StageFailure) as failed:
        command.run_command(hangs, tmp_path, {}, 1)
    said = "stopping" if listens else "waiting"
    assert failed.value.cause == f"the training command was stopped after 1 s; its last line was: {said}"
    assert failed.value.hint == "raise train.timeout, or find out what the command waits for"
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in lines if b"432" in line and b"sleep" in line]


def test_a_timeout_from_the_settings(train: Train) -> None:
    ended = train("--command", "sleep 4323", settings={"timeout": 1})
    assert ended.code == 1
    assert ended.outcome["message"].startswith("the training command was stopped after 1 s; it wrote nothing")


@pytest.mark.parametrize("name", ["ML_DATA", "ML_OUTPUT"])
def test_a_variable_that_is_not_set(train: Train, name: str) -> None:
    assert train(**{name: ""}).outcome["message"] == f"{name} is not set"


def test_paths_that_are_not_there(train: Train, tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    assert train(ML_DATA=missing).outcome["message"] == f"ML_DATA is {missing}, which is not a file"
    ended = train("--command", "true", "--workdir", missing)
    assert ended.outcome["message"] == f"the project's folder {missing} does not exist"


def test_a_device_that_is_none(train: Train) -> None:
    assert train("--command", "true", ML_DEVICE="tpu").outcome["message"] == "ML_DEVICE is 'tpu'"


TORCH = """
class cuda:
    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 2)
    get_device_name = staticmethod(["NVIDIA H200", "NVIDIA L4"].__getitem__)
"""


def test_gpus_are_named_by_torch(train: Train, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(TORCH)
    ended = train("--command", COUNTS, ML_DEVICE="cuda", PYTHONPATH=f"{tmp_path}:{SOURCE}")
    assert (ended.outcome["details"]["device"], ended.outcome["details"]["gpus"]) == (
        "cuda",
        ["NVIDIA H200", "NVIDIA L4"],
    )


def test_gpus_are_named_by_the_driver_where_torch_is_not_there(train: Train, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError")
    listing = tmp_path / "nvidia-smi"
    listing.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-6be7c66e-c474-7fdb-69e1-06bcec8f0a69)'\n"
    )
    listing.chmod(0o755)
    path = {"PYTHONPATH": f"{tmp_path}:{SOURCE}", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = train("--command", COUNTS, ML_DEVICE="cuda", **path)
    assert ended.outcome["details"]["gpus"] == ["NVIDIA H200"]
    on_cpu = train("--command", COUNTS, ML_DEVICE="cpu", **path)
    assert "gpus" not in on_cpu.outcome["details"]
