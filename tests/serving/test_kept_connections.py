"""A connection that its caller keeps is ended by an answer when it is old, and no request is lost by it."""

import http.client
import json
import re
import socket
import time
from pathlib import Path

import pytest

from tests.programs import Server, Start
from tests.serving.busy import busy

pytestmark = pytest.mark.program

BODY = b'{"instances": [{"age": 41, "job": "x"}]}'
POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
SLOW = POST.replace(b"41", b"-3")  # takes 0.3 s
AGE = 0.6  # seconds


@pytest.fixture(scope="module")
def server(start: Start, python_folder: Path) -> Server:
    started = start(python_folder, ML_CONNECTION_AGE=str(AGE))
    started.figures()  # it accepts connections only now, and a connection's age begins when it is accepted
    return started


def heads(text: bytes) -> list[tuple[bytes, bool]]:
    """Return the status of each response, and whether it says that the connection ends."""
    found = re.findall(rb"HTTP/1\.1 (\d+) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n", text)
    return [(code, b"connection: close" in head.lower()) for code, head in found]


def read_to_end(connection: socket.socket) -> bytes:
    text = b""
    while piece := connection.recv(65536):
        text += piece
    return text


def dial(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_an_answer_ends_an_old_connection_and_none_before(server: Server) -> None:
    before = server.figures()
    with dial(server) as connection:
        connected = time.monotonic()
        text = b""
        while piece := (connection.sendall(POST), connection.recv(65536))[1]:
            text += piece
            if heads(text)[-1][1]:
                break
            time.sleep(0.02)
        lived = time.monotonic() - connected
        assert connection.recv(1) == b""
    answers = heads(text)
    assert AGE <= lived < AGE + 2
    assert len(answers) > 5
    assert answers == [(b"200", False)] * (len(answers) - 1) + [(b"200", True)]
    after = server.figures()
    new, kept = (f'ml_connection_requests_total{{connection="{each}"}}' for each in ("new", "kept"))
    assert after[kept] - before[kept] == len(answers) - 1
    assert after[new] - before[new] == 2  # ours, and the one that asks for the figures


def test_a_client_that_keeps_connections_loses_no_request(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    sockets, over = set(), time.monotonic() + 3 * AGE
    while time.monotonic() < over:
        connection.request("POST", "/predict", BODY)
        sockets.add(connection.sock.getsockname())
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["predictions"]) == (200, ["yes"])
    connection.close()
    assert len(sockets) >= 3


def test_an_idle_connection_is_not_ended_for_its_age(server: Server) -> None:
    with dial(server) as connection:
        connection.sendall(POST)
        assert heads(connection.recv(65536)) == [(b"200", False)]
        time.sleep(2 * AGE)
        connection.sendall(POST)
        assert heads(read_to_end(connection)) == [(b"200", True)]


def test_requests_that_were_sent_ahead_are_answered_before_the_connection_ends(server: Server) -> None:
    with dial(server) as connection:
        time.sleep(1.25 * AGE)
        connection.sendall(SLOW + POST + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert heads(read_to_end(connection)) == [(b"200", False), (b"200", False), (b"200", True)]


def test_a_caller_that_never_waits_for_answers_is_ended_without_losing_one(server: Server) -> None:
    """What was sent after the last request that is answered gets no answer, and resets nothing."""
    with dial(server) as connection:
        text, sent, ended = b"", 0, time.monotonic() + 10 * AGE
        while not (heads(text) and heads(text)[-1][1]):
            assert time.monotonic() < ended
            while sent < len(heads(text)) + 3:
                connection.sendall(SLOW)
                sent += 1
            text += connection.recv(65536)
        connection.sendall(SLOW)
        text += read_to_end(connection)
    answers = heads(text)
    assert answers == [(b"200", False)] * (len(answers) - 1) + [(b"200", True)]
    assert len(answers) < sent
    assert text.count(b'"predictions":["no"]') == len(answers)


def test_a_refusal_ends_an_old_connection_too(start: Start, python_folder: Path) -> None:
    full = start(python_folder, ML_QUEUE="1", ML_CONNECTION_AGE="0.2")
    full.figures()  # it accepts connections only now
    with dial(full) as connection, dial(full) as ahead:
        time.sleep(0.2)
        slow = busy(full, 1)
        connection.sendall(POST)
        ahead.sendall(POST + POST)
        assert heads(read_to_end(connection)) == [(b"503", True)]
        assert heads(read_to_end(ahead)) == [(b"503", False), (b"503", True)]
    assert [one.join() for one in slow] == [[200], [200]]


def test_age_0_keeps_connections(start: Start, python_folder: Path) -> None:
    for_ever = start(python_folder, ML_CONNECTION_AGE="0")
    with dial(for_ever) as connection:
        time.sleep(0.3)
        connection.sendall(POST)
        assert heads(connection.recv(65536)) == [(b"200", False)]
