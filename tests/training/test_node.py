"""Two nodes that train together, as programs of this machine: what they hand over, and how one is lost."""

import csv
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import urllib3

from tests.programs import SOURCE
from tests.training.tabular_rows import labelled

pytestmark = pytest.mark.program

# The program as it is, but for how long it waits for one who watches.
PROGRAM = "from ml_pipeline.training import node; node.UNWATCHED_S = {}; node.main()"
EPOCHS = {"epochs": 8, "patience": 8, "refit_rows": 0}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Node:
    """A node's process, and the port of its result."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ask(self, method: str, path: str) -> bytes | None:
        try:
            answer = urllib3.request(method, f"http://127.0.0.1:{self.port}{path}", retries=False)
        except urllib3.exceptions.HTTPError:
            return None
        return answer.data if answer.status == 200 else None


@dataclass
class Together:
    """Two nodes; what a node has on its disk goes with it."""

    folder: Path
    arguments: tuple[str, ...] = ()
    unwatched_s: float = 1000
    port: int = field(default_factory=free_port)
    nodes: dict[int, Node] = field(default_factory=dict)
    lost: list[Node] = field(default_factory=list)

    def start(self, index: int) -> None:
        folder = self.folder / f"{index}-{len(self.lost)}"
        folder.mkdir()
        port = free_port()
        variables = {
            "ML_DATA": str(self.folder / "train.parquet"),
            "ML_OUTPUT": str(folder / "out"),
            "ML_CHECKPOINTS": str(folder / "checkpoints"),
            "POD_IP": f"127.0.0.{index + 1}",
            "JOB_COMPLETION_INDEX": str(index),
            "PYTHONPATH": str(SOURCE),
            "PYTHONUNBUFFERED": "1",
        }
        words = ["--scratch", str(folder), "--port", str(port), "--nodes", "2", "--run", "together"]
        words += ["--rendezvous", f"127.0.0.1:{self.port}", "--config", str(self.folder / "settings.json")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM.format(self.unwatched_s), *words, *self.arguments],
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
            )
        self.nodes[index] = Node(process, folder, port)

    def lose(self, index: int) -> None:
        node = self.nodes.pop(index)
        node.process.terminate()
        assert node.process.wait(30) == 143
        self.lost.append(node)

    def end(self) -> None:
        for node in self.nodes.values():
            node.process.kill()
            node.process.wait()

    def until(self, condition: Callable[[], Any], seconds: float = 400) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            assert time.monotonic() < deadline, "\n".join(node.log() for node in self.nodes.values())
            time.sleep(0.2)
        return answer

    def epoch(self, number: int) -> None:
        """Wait until an epoch is over."""
        self.until(lambda: any(f"\nepoch {number} of" in node.log() for node in self.nodes.values()))

    def result(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Wait for the result, take it, and return the outcome and the files."""
        holder = self.until(lambda: next((n for n in self.nodes.values() if n.ask("GET", "/ready")), None))
        content = holder.ask("GET", "/result")
        assert holder.ask("GET", "/digest").decode() == hashlib.sha256(content).hexdigest()
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            files = {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}  # type: ignore[union-attr]
        assert holder.ask("POST", "/taken") is not None
        return json.loads(files.pop("outcome.json")), files


@pytest.fixture
def together(tmp_path: Path) -> Iterator[Together]:
    pl.concat([labelled()] * 8).write_parquet(tmp_path / "train.parquet")
    (tmp_path / "settings.json").write_text(
        json.dumps({"task": "classification", "target": "y", "config": EPOCHS})
    )
    made = Together(tmp_path)
    yield made
    made.end()


def history(files: dict[str, bytes]) -> list[str]:
    rows = csv.DictReader(files["output/history.csv"].decode().splitlines())
    return [row["validation_loss"] for row in rows]


@pytest.mark.timeout(1200)
def test_either_node_may_be_lost_and_training_ends_in_the_same_weights(together: Together) -> None:
    for index in (0, 1):
        together.start(index)
    together.epoch(2)
    together.lose(1)
    together.start(1)
    together.epoch(4)
    together.lose(0)
    together.start(0)
    outcome, files = together.result()
    assert outcome["status"] == "passed"
    assert outcome["details"]["processes"] == 2
    assert {"output/model.onnx", "output/metrics.json", "output/weights.safetensors"} <= set(files)
    for node in together.nodes.values():
        assert node.process.wait(60) == 0
    logs = [node.log() for node in together.nodes.values()]
    assert any(
        re.search("^continuing after epoch [1-7] from the checkpoint", log, re.MULTILINE) for log in logs
    )

    whole = Together(together.folder / "whole")
    whole.folder.mkdir()
    for name in ("train.parquet", "settings.json"):
        (whole.folder / name).symlink_to(together.folder / name)
    for index in (0, 1):
        whole.start(index)
    try:
        undisturbed, others = whole.result()
    finally:
        whole.end()
    assert undisturbed["details"]["weights"] == outcome["details"]["weights"]
    assert history(others) == history(files)


@pytest.mark.timeout(600)
def test_what_a_command_says_is_handed_over(together: Together) -> None:
    project = together.folder / "project"
    project.mkdir()
    (project / "rows.txt").write_text("odd")
    project.chmod(0o555)
    command = "echo $RANK > written; echo the rows are $(cat rows.txt) >&2; exit 3"
    together.arguments = ("--source", str(project), "--command", command)
    for index in (0, 1):
        together.start(index)
    outcome, files = together.result()
    assert outcome["message"] == "the training command exited with 3; its last line was: the rows are odd"
    assert files == {}
    assert sorted(path.name for path in project.iterdir()) == ["rows.txt"]


def test_what_nobody_watches_ends_itself(together: Together) -> None:
    together.unwatched_s = 3
    together.start(0)  # which waits for the other
    node = together.nodes[0]
    assert node.process.wait(60) == 0
    assert node.log().endswith("nobody watches this training any more: it ends\n")
