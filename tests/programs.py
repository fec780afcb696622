"""Small real models, a graph made with onnx.helper and a predictor.py; and how tests run programs."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

SOURCE = Path(__file__).parents[1] / "src"
CLASSES = ["no", "yes"]
COLUMNS = [
    {"name": "age", "type": "integer", "nullable": False},
    {"name": "job", "type": "string", "nullable": True},
    {"name": "member", "type": "boolean", "nullable": True},
    {"name": "seen", "type": "datetime", "nullable": True},
]
EXAMPLE = {"age": 40, "job": "clerk", "member": True, "seen": "2024-01-01T00:00:00Z"}


def run(module: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the program ROOM.NAME as the containers do."""
    return subprocess.run(
        [sys.executable, "-m", f"ml_pipeline.{module}", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,  # several processes that load torch, on a machine that is busy
    )


def peak_memory(program: Sequence[str | Path], variables: Mapping[str, str]) -> int:
    """Run a program that succeeds; return the most bytes that it had in memory, without pages of files."""
    peak = 0
    with subprocess.Popen(program, env=variables, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, _own_memory(process.pid))
            time.sleep(0.02)
    assert process.returncode == 0
    assert peak > 0
    return peak


def _own_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0  # a process that has just ended has no such line


def signature(**changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "name": "club",
        "version": "0123456789ab",
        "task": "classification",
        "runtime": "onnx",
        "columns": COLUMNS,
        "classes": CLASSES,
        "positive": "yes",
        "example": EXAMPLE,
    } | changes


def graph(age: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """P(yes) = sigmoid((age - 40) / 10 + job + member / 2 + (seen is there)).

    Missing age counts as 40, member as 0; job is 1 for "clerk", -1 for "smith", else 0.
    """
    make = helper.make_node
    number = {"ten": 10.0, "forty": 40.0, "half": 0.5, "zero": 0.0, "one": 1.0}
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in number.items()]
    nodes = [
        make("Cast", ["age"], ["age_f"], to=TensorProto.FLOAT),
        make("IsNaN", ["age_f"], ["age_lost"]),
        make("Where", ["age_lost", "forty", "age_f"], ["age_known"]),
        make("Sub", ["age_known", "forty"], ["age_over"]),
        make("Div", ["age_over", "ten"], ["age_score"]),
        make(
            "LabelEncoder",
            ["job"],
            ["job_score"],
            domain="ai.onnx.ml",
            keys_strings=["clerk", "smith"],
            values_floats=[1.0, -1.0],
            default_float=0.0,
        ),
        make("IsNaN", ["member"], ["member_lost"]),
        make("Where", ["member_lost", "zero", "member"], ["member_known"]),
        make("Mul", ["member_known", "half"], ["member_score"]),
        make("Cast", ["seen"], ["seen_f"], to=TensorProto.FLOAT),
        make("IsNaN", ["seen_f"], ["seen_lost"]),
        make("Where", ["seen_lost", "zero", "one"], ["seen_score"]),
        make("Sum", ["age_score", "job_score", "member_score", "seen_score"], ["score"]),
        make("Sigmoid", ["score"], ["p_yes"]),
        make("Sub", ["one", "p_yes"], ["p_no"]),
        make("Concat", ["p_no", "p_yes"], ["probabilities"], axis=1),
        make("ArgMax", ["probabilities"], ["index"], axis=1, keepdims=0),
        make(
            "LabelEncoder",
            ["index"],
            ["prediction"],
            domain="ai.onnx.ml",
            keys_int64s=[0, 1],
            values_strings=CLASSES,
        ),
    ]
    value = helper.make_tensor_value_info
    inputs = [
        value("age", age, ["N", 1]),
        value("job", TensorProto.STRING, ["N", 1]),
        value("member", TensorProto.FLOAT, ["N", 1]),
        value("seen", TensorProto.DOUBLE, ["N", 1]),
    ]
    outputs = [
        value("prediction", TensorProto.STRING, ["N"]),
        value("probabilities", TensorProto.FLOAT, ["N", 2]),
    ]
    body = helper.make_graph(nodes, "club", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    return model


PREDICTOR = '''
"""Says yes from 40 on; an age below 0 is how many tenths of a second it takes."""
import time
from helper_beside_it import LIMIT

loaded = []

def load(folder):
    loaded.append(folder)

def predict(rows):
    assert loaded
    for row in rows:
        if row["age"] < 0:
            time.sleep(-row["age"] / 10)
        if row["age"] == 666:
            raise RuntimeError("no such age")
    return ["yes" if row["age"] >= LIMIT and row["job"] is not None else "no" for row in rows]
'''


@dataclass
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Return status, document (JSON, else text) and headers."""
        connection = self.connect()
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text, response.headers

    def figures(self) -> dict[str, float]:
        """Return the samples of /metrics by name and labels."""
        status, text, headers = self.ask("GET", "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        samples = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in samples}

    def predict(self, *rows: Any) -> tuple[int, Any]:
        status, document, _ = self.ask("POST", "/predict", {"instances": list(rows)})
        return status, document


Start = Callable[..., Server]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until the condition holds."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)
