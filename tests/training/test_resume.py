"""A run that is killed goes on where it was, to the same weights; what can't be gone on with is not."""

from pathlib import Path

import pytest
import torch

from ml_pipeline.training.tabular.checkpoints import Checkpoints, State
from tests.training.trainings import Training

pytestmark = pytest.mark.program


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, str]:
    """A run that nothing interrupted, and its weights' digest."""
    training = Training(tmp_path_factory.mktemp("whole") / "run")
    _, details = training.finish()
    return training, details["weights"]


@pytest.mark.timeout(600)
def test_a_run_that_is_killed_three_times(whole: tuple[Training, str], tmp_path: Path) -> None:
    killed = Training(tmp_path / "run")
    for epoch in (1, 3, 5):
        killed.kill_after(epoch)
        assert not (killed.folder / "out" / "model.onnx").exists()
    printed, details = killed.finish()
    # The last line printed is of an epoch whose checkpoint may not have been written yet.
    assert "continuing after epoch 5" in printed or "continuing after epoch 4" in printed
    assert details["weights"] == whole[1]
    assert killed.history() == whole[0].history()
    assert not killed.checkpoint.exists(), "a run that has ended leaves none"


STATE = State({"weight": torch.arange(6.0), "step": torch.tensor(3)}, {"best": 2, "history": [{}]})


@pytest.mark.parametrize("spoil", ["torn", "changed", "empty"])
def test_a_checkpoint_that_is_torn(tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save("this run", STATE)
    kept = checkpoints.load("this run")
    assert kept is not None
    assert kept.facts == STATE.facts
    assert torch.equal(kept.tensors["weight"], STATE.tensors["weight"])
    (path,) = (tmp_path / "checkpoints").iterdir()
    content = path.read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes({"torn": content[:-10], "changed": changed, "empty": b""}[spoil])
    assert checkpoints.load("this run") is None
    assert capsys.readouterr().out == "the checkpoint is damaged: training starts from the beginning\n"


def test_a_checkpoint_of_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("that run", STATE)
    assert checkpoints.load("this run") is None
    assert (
        capsys.readouterr().out == "the checkpoint is from another run: training starts from the beginning\n"
    )
    checkpoints.clear()
    assert checkpoints.load("this run") is None
    assert capsys.readouterr().out == ""
