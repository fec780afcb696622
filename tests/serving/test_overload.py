"""The server under load: requests wait, are refused, or fail, each on its own."""

import json
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.programs import Start, until
from tests.serving.busy import Background, busy

pytestmark = pytest.mark.program


def test_overload_is_503_with_retry_after(start: Start, python_folder: Path) -> None:
    served = start(python_folder, ML_QUEUE="2")
    slow = busy(served, 2)
    status, answer, headers = served.ask("POST", "/predict", {"instances": [{"age": 1}]})
    assert (status, headers["Retry-After"]) == (503, "1")
    assert answer["error"] == "2 requests are waiting already; try again"
    assert served.figures()['ml_refusals_total{reason="queue"}'] == 1
    assert served.figures()["ml_requests_in_flight"] == 4  # one runs, two wait, and the one for the figures
    assert served.ask("GET", "/ready")[0] == 200  # a full server is not a broken one
    assert [one.join() for one in slow] == [[200], [200, 200]]
    assert served.predict({"age": 1})[0] == 200
    counted = served.figures()
    assert (counted["ml_batch_rows_count"], counted["ml_batch_rows_sum"]) == (3, 4)  # two ran together


def test_refusals_keep_their_order_and_the_connection(start: Start, python_folder: Path) -> None:
    """Two requests in one packet while the queue is full, then what follows on the same connection."""
    served = start(python_folder, ML_QUEUE="1")
    slow = busy(served, 1)
    body = b'{"instances": [{"age": 41}]}'
    post = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(post + post + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        codes: list[bytes] = []
        text = b""
        while len(codes) < 3:
            text += connection.recv(65536)
            codes = re.findall(rb"HTTP/1.1 (\d+)", text)
        assert codes == [b"503", b"503", b"200"]
        assert [one.join() for one in slow] == [[200], [200]]
        connection.sendall(post)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert served.figures()['ml_requests_total{path="/predict",code="503"}'] == 2


def test_no_request_is_lost_in_overload(start: Start, onnx_folder: Path) -> None:
    """Each caller keeps one connection, and is answered its own row or refused."""
    served = start(onnx_folder, ML_QUEUE="1", ML_STANDING="1")

    def call(age: int) -> list[int]:
        connection, codes = served.connect(), []
        for _ in range(20):
            connection.request("POST", "/predict", json.dumps({"instances": [{"age": age}]}))
            response = connection.getresponse()
            answer = json.loads(response.read())
            codes.append(response.status)
            assert response.status == 503 or answer["predictions"] == ["yes" if age > 40 else "no"]
        connection.close()
        return codes

    with ThreadPoolExecutor(24) as pool:
        codes = [code for called in pool.map(call, range(17, 65)) for code in called]
    counted = served.figures()
    assert set(codes) == {200, 503}
    assert counted['ml_requests_total{path="/predict",code="200"}'] == codes.count(200)
    assert counted['ml_requests_total{path="/predict",code="503"}'] == codes.count(503)


def test_a_row_that_the_model_fails_on_fails_its_own_request_only(start: Start, python_folder: Path) -> None:
    served = start(python_folder)
    first = Background(served, 1, age=-10)
    until(lambda: served.figures()["ml_running"] == 1)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda age: served.predict({"age": age, "job": "x"}), [41, 666, 39]))
    assert [status for status, _ in answers] == [200, 500, 200]
    assert [answer.get("predictions") for _, answer in answers] == [["yes"], None, ["no"]]
    assert first.join() == [200]
    assert served.figures()["ml_batch_rows_count"] == 2


def test_sigterm_answers_what_is_under_way_and_new_requests_while_it_drains(
    start: Start, python_folder: Path
) -> None:
    served = start(python_folder, ML_DRAIN="1.5")
    slow = busy(served, 1)
    served.process.send_signal(signal.SIGTERM)
    until(lambda: served.ask("GET", "/ready")[0] == 503)
    assert served.ask("GET", "/v2/health/ready")[0] == 503
    assert served.ask("GET", "/v2/models/club/ready")[0] == 503
    status, _, headers = served.ask("GET", "/health")
    assert (status, headers["Connection"]) == (200, "close")
    assert [one.join() for one in slow] == [[200], [200]]
    assert served.process.wait(10) == 0
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", served.port)):
        pass
