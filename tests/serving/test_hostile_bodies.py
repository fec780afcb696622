"""Bodies that are small or legal, and cost much: memory stays bounded, and others are answered meanwhile."""

import math
import socket
import threading
import time
from pathlib import Path

import pytest

from ml_pipeline.distributions import record
from ml_pipeline.distributions.record import Categories, Record
from tests.programs import Server, Start, until
from tests.serving.wide import wide_model

pytestmark = pytest.mark.program

POD = 512 << 20  # bytes: the default limit of a pod
PEAK = "process_peak_memory_bytes"
ROW = b'{"size":1.0}'
PATIENCE = 10  # seconds on a busy machine; alone it is less than one
LONG = 10  # requests with a string of 8 MB


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return start(wide_model(tmp_path_factory.mktemp("wide")))


def instances(row: bytes, count: int) -> bytes:
    return b'{"instances": [' + b",".join([row] * count) + b"]}"


class Beside:
    """Asks for one row again and again while something else goes on; `slowest` is in seconds."""

    def __init__(self, server: Server) -> None:
        self._server, self._over = server, False
        self.slowest, self.codes = 0.0, set[int]()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Beside":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()

    def _ask(self) -> None:
        while not self._over:
            started = time.monotonic()
            self.codes.add(self._server.ask("POST", "/predict", instances(ROW, 1))[0])
            self.slowest = max(self.slowest, time.monotonic() - started)
            time.sleep(0.01)


def test_rows_beyond_the_limit_are_413(server: Server) -> None:
    """60,000 rows in 180 kB took 1 GB, and 2,700,000 in 8 MB would take 40 times that."""
    with Beside(server) as beside:
        for row, count in ((b"{}", 60_000), (b"{}", 2_700_000)):
            status, answer, _ = server.ask("POST", "/predict", instances(row, count))
            assert status == 413
            assert answer["error"] == (
                f"instances: {count} rows are more than a request may have, 10000 (ML_MAX_ROWS); "
                "send several requests"
            )
        tensor = {"name": "size", "datatype": "FP32", "shape": [20_000], "data": [1.0] * 20_000}
        assert server.ask("POST", "/v2/models/club/infer", {"inputs": [tensor]})[0] == 413
    assert beside.codes == {200}
    assert beside.slowest < PATIENCE
    assert server.figures()[PEAK] < POD


def long_runs(server: Server) -> float:
    """Return how many runs of the model had more than 128 rows."""
    figures = server.figures()
    return figures["ml_batch_rows_count"] - figures['ml_batch_rows_bucket{le="128"}']


def test_the_largest_request_runs_in_pieces(server: Server) -> None:
    before = long_runs(server)
    rows = [{"size": index / 1000} for index in range(10_000)]
    status, answer, _ = server.ask("POST", "/predict", {"instances": rows})
    assert status == 200
    squashed = [1 / (1 + math.exp(-row["size"])) for row in rows]
    assert answer["predictions"] == pytest.approx(squashed, abs=1e-5)
    assert long_runs(server) - before >= 9
    assert server.figures()[PEAK] < POD


def test_others_are_answered_between_the_pieces(server: Server) -> None:
    """A request of one row waited for all that came before it."""
    codes: list[int] = []
    body = instances(ROW, 10_000)
    threads = [
        threading.Thread(target=lambda: codes.append(server.ask("POST", "/predict", body)[0]))
        for _ in range(24)
    ]
    began = time.monotonic()
    with Beside(server) as beside:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
    assert set(codes) <= {200, 503}
    assert 200 in codes
    assert beside.slowest < took / 2
    assert server.figures()[PEAK] < POD


def test_an_output_named_twice_is_refused(server: Server) -> None:
    inputs = [{"name": "size", "datatype": "FP32", "shape": [1], "data": [1]}]
    outputs = [{"name": "prediction"}] * 20_000
    status, answer, _ = server.ask("POST", "/v2/models/club/infer", {"inputs": inputs, "outputs": outputs})
    assert (status, answer["error"]) == (422, "outputs[1]: 'prediction' is named twice")


def test_bodies_that_stop_before_their_end_are_counted(server: Server) -> None:
    """Each has 8 MB but for the last 100 kB."""
    size = 8 << 20
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    part = b" " * (size - 100_000)
    connections = []
    try:
        with Beside(server) as beside:
            for _ in range(40):
                connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
                connections.append(connection)
                try:
                    connection.sendall(head + part)
                except OSError:
                    continue
        refused = 0
        for connection in connections:
            connection.settimeout(0.05)
            try:
                refused += b" 503 " in connection.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                refused += 1
    finally:
        for connection in connections:
            connection.close()
    assert refused >= 30
    assert server.figures()['ml_refusals_total{reason="bodies"}'] >= 30
    assert beside.slowest < PATIENCE
    assert server.figures()[PEAK] < POD
    until(lambda: server.ask("POST", "/predict", instances(ROW + b" " * 7_000, 1_000))[0] == 200)


def test_long_strings_are_not_kept(start: Start, tmp_path: Path) -> None:
    """Strings were kept until 250 rows had come."""
    folder = wide_model(tmp_path)
    notes = Categories("string", {"good": 300, "bad": 300}, 0)
    record.write(Record(600, {"note": notes}), folder / "record.json")
    watched = start(folder)
    body = b'{"instances": [{"note": "%s"}]}' % (b"x" * 8_000_000)
    assert "ml_input_rows" in watched.figures()
    for _ in range(LONG):
        assert watched.ask("POST", "/predict", body)[0] == 200
    counted = watched.figures()
    assert counted["ml_input_rows"] == LONG
    assert counted[PEAK] < 150e6  # 190 MB if all are kept
