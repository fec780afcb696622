"""Training that fails, a model that can't be used, a gate that fails: each error is one line."""

import re

import pytest

from tests.calls import Dagger, Project
from tests.conftest import Lab

pytestmark = pytest.mark.engine

CONFIG, COMMAND = "ml-pipeline.toml", 'command = "python -m tumours.train"'

# Name → the training command, and the line that it ends in.
TRAINING: dict[str, tuple[str, str]] = {
    "exits 3": (
        "echo the rows are odd >&2; exit 3",
        "train: the training command exited with 3; its last line was: the rows are odd; "
        "correct train.command; its output is above",
    ),
    "is not there": (
        "tumours-train",
        "train: the training command was not found (exit 127); its last line was: sh: 1: "
        "tumours-train: not found; check train.command and the project's requirements",
    ),
    "writes nothing": (
        "true",
        "train: wrote neither model.onnx, predictor.py nor metrics.json into ML_OUTPUT; "
        "change the training so that it writes one of them into the folder ML_OUTPUT",
    ),
    "writes a broken graph": (
        "echo broken > $ML_OUTPUT/model.onnx",
        "inspect-model: model.onnx can't be read: [ONNXRuntimeError] : 7 : INVALID_PROTOBUF : "
        "Load model from /model/model.onnx failed:Protobuf parsing failed; "
        "export it again, and check it with onnx.checker",
    ),
    "is killed, as for its memory": (
        "kill -9 $$",
        "train: the training command ran out of memory or was killed (exit 137); it wrote nothing to stderr; "
        "give the engine more memory, or use smaller batches",
    ),
    "is killed with all around it": (
        "kill -9 $PPID",
        "train: ran out of memory or was killed (exit 137); give the engine more memory",
    ),
}


@pytest.mark.parametrize("case", TRAINING)
def test_training_that_fails(dagger: Dagger, tumours: Project, case: str) -> None:
    command, message = TRAINING[case]
    tumours.replace(CONFIG, COMMAND, f"command = '{command}'")
    answer = dagger.call(tumours.path, "train")
    assert (answer.code, answer.errors) == (1, [message])


def test_a_pin_that_does_not_exist(dagger: Dagger, tumours: Project) -> None:
    pins = (tumours.path / "requirements.txt").read_text()
    tumours.write("requirements.txt", f"{pins}idna==99.0\n")
    answer = dagger.call(tumours.path, "train")
    line = (
        "train: the project's requirements can't be installed: Because there is no version of idna==99.0 "
        "and you require idna==99.0, we can conclude that your requirements are unsatisfiable; "
        "fix requirements.txt"
    )
    assert (answer.code, answer.errors) == (1, [line])


def test_a_crash_is_not_answered_from_the_cache(dagger: Dagger, tumours: Project) -> None:
    # A file that can be opened and not read crashes the stage itself. The folder that survives a run says
    # which call this is; the engine can't see that anything has changed.
    crash = "touch $ML_CHECKPOINTS/again; ln -s /proc/self/mem $ML_OUTPUT/metrics.json"
    command = f"test -e $ML_CHECKPOINTS/again || {{ {crash}; exit 0; }}; python -m tumours.train"
    tumours.replace(CONFIG, COMMAND, f'command = "{command}"')
    tumours.train_anew()
    first = dagger.call(tumours.path, "train")
    assert first.code == 1
    assert first.errors[0].startswith("train: exited with code 1: OSError: ")
    second = dagger.call(tumours.path, "train")
    assert second.code == 0, second.errors


def test_a_gate_that_is_not_passed_ships_nothing(dagger: Dagger, lab: Lab, tumours: Project) -> None:
    tumours.replace(CONFIG, "min = 0.85", "min = 0.99")
    tumours.write("README.md", "# Not one that ships\n")
    flags = (f"--registry={lab.registry}/not-passed", *lab.cluster)
    answer = dagger.call(tumours.path, "full-pipeline", *flags)
    line = (
        r"validate-gate: accuracy 0\.9\d+ is below min 0\.99 \(113 holdout rows\); "
        r"improve the model or lower \[tool\.ml-pipeline\.gates\] accuracy\.min"
    )
    assert answer.code == 1
    assert re.fullmatch(line, "\n".join(answer.errors))
    assert "❌ tumours: do not ship" in answer.log
    assert lab.tags("not-passed/tumours") == []


def test_a_holdout_of_three_rows_is_no_evidence(dagger: Dagger, tumours: Project) -> None:
    header, *rows = (tumours.path / "data/tumours.csv").read_text().splitlines()
    kinds = {row.rpartition(",")[2]: row for row in rows}
    tumours.write("data/three.csv", "\n".join([header, *kinds.values(), rows[0]]))
    tumours.replace(CONFIG, "[data.columns]", 'holdout = "data/three.csv"\n\n[data.columns]')
    tumours.replace(CONFIG, "{min = 0.85}", "{min = 0.85, confidence = 0.95}")
    answer = dagger.call(tumours.path, "validate-gate")
    assert answer.code == 1
    (line,) = answer.errors
    assert re.fullmatch(
        r"validate-gate: accuracy: not enough evidence: (1|0\.\d+) has no interval: "
        r"the holdout has 3 rows, and 30 are needed \(3 holdout rows\); "
        r"judge it on more holdout rows, or set \[tool\.ml-pipeline\.gates\] "
        r'accuracy\.insufficient = "allow"',
        line,
    )


def test_a_gate_on_a_metric_that_nobody_measures(dagger: Dagger, tumours: Project) -> None:
    tumours.replace(CONFIG, "accuracy = {min", "acuracy = {required = false, min")
    answer = dagger.call(tumours.path, "validate-gate")
    line = (
        "validate-gate: acuracy no such metric; the nearest are accuracy, balanced_accuracy, "
        "worst_slice_accuracy; correct the name in [tool.ml-pipeline.gates] acuracy"
    )
    assert (answer.code, answer.errors) == (1, [line])


def test_a_command_that_never_wrote_a_graph_cannot_be_served_as_one(dagger: Dagger, tumours: Project) -> None:
    command = 'echo "{}" > $ML_OUTPUT/metrics.json'
    tumours.replace(CONFIG, COMMAND, f"command = '{command}'")
    answer = dagger.call(tumours.path, "build-image")
    message = (
        "build-image: serve.runtime is 'onnx', but training wrote no model; "
        "set serve.runtime = false, or train what it names"
    )
    assert (answer.code, answer.errors) == (1, [message])


def test_a_gpu_that_is_required_and_not_there(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "train", options=["--gpu=on"])
    message = (
        "train: a GPU was asked for (--gpu=on), but the engine has no GPU support; "
        "run the engine with it on a machine that has a GPU, or pass --gpu=off"
    )
    assert (answer.code, answer.errors) == (1, [message])


def test_a_gpu_setting_that_is_none(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "train", options=["--gpu=maybe"])
    assert (answer.code, answer.errors) == (1, ["config: --gpu=maybe is unknown; use auto, on or off"])
