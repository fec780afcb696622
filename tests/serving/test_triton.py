"""Triton's own HTTP client against the server: metadata, JSON tensors, tensors in binary form."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.programs import Server, Start

pytestmark = pytest.mark.program

ROWS = [
    {"age": 50, "job": "clerk", "member": True, "seen": 1.7e9},
    {"age": 20, "job": "smith", "member": False, "seen": None},
    {"age": 41, "job": "Ørsted", "member": True, "seen": 0.0},
]
TYPES = {
    "age": ("INT32", np.int32),
    "job": ("BYTES", np.object_),
    "member": ("BOOL", np.bool_),
    "seen": ("FP64", np.float64),
}


@pytest.fixture(scope="module")
def server(start: Start, onnx_folder: Path) -> Server:
    return start(onnx_folder)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    made = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    yield made
    made.close()


def tensors(binary: bool, **changes: Any) -> list[Any]:
    inputs = []
    for name, (datatype, element) in TYPES.items():
        values = changes.get(name, [row[name] for row in ROWS])
        tensor = triton.InferInput(name, [len(values)], datatype)
        tensor.set_data_from_numpy(np.array(values, dtype=element), binary_data=binary)
        inputs.append(tensor)
    return inputs


def test_the_server_and_the_model_are_described(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("club")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert [column["name"] for column in client.get_model_metadata("club")["inputs"]] == list(TYPES)


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("returned", [True, False])
def test_tensors_come_and_go_in_either_form(client: Any, server: Server, sent: bool, returned: bool) -> None:
    outputs = [
        triton.InferRequestedOutput(name, binary_data=returned) for name in ("probabilities", "prediction")
    ]
    inputs = tensors(True) if sent else tensors(False, seen=[1.7e9, 0.0, 0.0])  # JSON has no NaN
    result = client.infer("club", inputs, outputs=outputs, request_id="7")
    _, expected = server.predict(*(ROWS if sent else [row | {"seen": row["seen"] or 0.0} for row in ROWS]))
    labels = result.as_numpy("prediction").tolist()
    assert [label.decode() if isinstance(label, bytes) else label for label in labels] == expected[
        "predictions"
    ]
    assert result.get_response()["id"] == "7"
    shares = result.as_numpy("probabilities")
    assert shares.dtype == np.float32
    np.testing.assert_array_equal(shares, np.array(expected["probabilities"], dtype=np.float32))


def test_all_outputs_are_binary_when_none_is_named(client: Any) -> None:
    result = client.infer("club", tensors(True))
    assert result.as_numpy("prediction").tolist() == [b"yes", b"no", b"yes"]
    assert result.get_output("probabilities")["parameters"] == {"binary_data_size": 24}


def test_an_error_names_the_tensors(client: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"instances\[2\].seen|inputs") as refused:
        client.infer("club", tensors(True, age=[1, 2]))
    assert refused.value.status() == "422"
