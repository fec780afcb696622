"""Heads that are too large, callers that are silent, too many connections, wishes for another protocol."""

import contextlib
import re
import select
import socket
import time
from pathlib import Path

import pytest

from tests.programs import Server, Start, until

pytestmark = pytest.mark.program

BODY = b'{"instances": [{"age": 41}]}'
SILENCE = 0.4  # seconds
FILES = 256  # that the crowded server may open


@pytest.fixture(scope="module")
def server(start: Start, onnx_folder: Path) -> Server:
    return start(onnx_folder, ML_SILENCE=str(SILENCE))


def dial(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def read_to_end(connection: socket.socket) -> bytes:
    text = b""
    while piece := connection.recv(65536):
        text += piece
    return text


def answer_to(server: Server, *segments: bytes, pause: float = 0.05) -> bytes:
    """Send the segments one after the other; return what comes until the server ends the connection."""
    with dial(server) as connection:
        try:
            for segment in segments:
                connection.sendall(segment)
                time.sleep(pause if len(segments) > 1 else 0)
        except OSError:
            pass  # the server has answered, and ended the connection
        return read_to_end(connection)


def codes(text: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", text)]


def head(more: bytes = b"", url: bytes = b"/predict", body: bytes = BODY, method: bytes = b"POST") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%s %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n" % (method, url, length, more)


CLOSE = b"Connection: close\r\n"


@pytest.mark.parametrize(
    ("code", "request_"),
    [
        (200, head(CLOSE + b"A: " + b"x" * 60_000 + b"\r\n") + BODY),
        (431, head(CLOSE + b"A: " + b"x" * 70_000 + b"\r\n") + BODY),
        (431, head(b"".join(b"A%d: x\r\n" % index for index in range(20_000))) + BODY),
        (431, b"GET / HTTP/1.1\r\nA: " + b"x" * (2 << 20)),
        (414, head(url=b"/" + b"x" * 9_000, method=b"GET", body=b"")),
        (414, b"GET /" + b"x" * (2 << 20)),
        (400, b"hello\r\n\r\n"),
        (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (405, b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
    ids=["large", "header", "headers", "header-endless", "url", "url-endless", "word", "http2", "tunnel"],
)
def test_a_head_that_is_too_large_or_no_head_is_refused(server: Server, code: int, request_: bytes) -> None:
    assert codes(answer_to(server, request_)) == [code]


def test_trailers_and_extensions_without_end_are_refused(server: Server) -> None:
    chunked = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert codes(answer_to(server, chunked, b"0\r\nA: " + b"x" * (1 << 20))) == [431]
    trailer = chunked + b"%x\r\n%s\r\n0\r\nContent-Encoding: br\r\n\r\n" % (len(BODY), BODY)
    assert codes(answer_to(server, trailer + head(CLOSE) + BODY)) == [200, 200]
    assert server.figures()["process_peak_memory_bytes"] < 200 << 20


def test_requests_before_a_wrong_one_are_answered(server: Server) -> None:
    assert codes(answer_to(server, head() + BODY + b"hello\r\n\r\n")) == [200]
    many = answer_to(server, (head(b"", b"/health", b"", b"GET")) * 2_000)
    assert 64 <= len(codes(many)) <= 66
    assert many.count(b"connection: close") == 1


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
WHOLE = head(H2C) + BODY
LAST = head(CLOSE, b"/health", b"", b"GET")


@pytest.mark.parametrize(
    "segments",
    [
        (WHOLE + LAST,),
        (head(H2C), BODY + LAST),
        (head(H2C) + BODY[:5], BODY[5:] + LAST),
        (WHOLE[:60], WHOLE[60:120], WHOLE[120:], LAST),
        (head() + BODY + WHOLE, LAST),
        (WHOLE + WHOLE + LAST,),
    ],
    ids=["one", "head-body", "in-body", "in-head", "after-another", "two"],
)
def test_a_wish_for_http2_is_as_if_it_were_not_there(server: Server, segments: tuple[bytes, ...]) -> None:
    """As the JDK's HttpClient and `curl --http2` send it; the body was lost, or read as a request."""
    text = answer_to(server, *segments)
    count = b"".join(segments).count(b"POST ")
    assert codes(text) == [200] * (count + 1)
    assert text.count(b'"predictions":["yes"]') == count


def test_other_upgrades_are_ignored(server: Server) -> None:
    websocket = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    assert codes(answer_to(server, head(websocket, b"/health", b"", b"GET"))) == [200]
    inner = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    upgrade = b"Connection: close, Upgrade\r\nUpgrade: x\r\n"
    assert codes(answer_to(server, head(upgrade, body=inner) + inner)) == [422]  # the body is data


def test_silent_callers_are_let_go(server: Server) -> None:
    silent = [b"", b"\r\n", b"POST /pre", head(), head() + BODY[:9], head(body=BODY, url=b"/health")]
    connections = []
    for text in silent:
        connections.append(dial(server))
        connections[-1].sendall(text)
    began = time.monotonic()
    answers = [codes(read_to_end(connection)) for connection in connections]
    assert answers == [[], [], [408], [408], [408], [405]]
    assert time.monotonic() - began < SILENCE + 4
    for connection in connections:
        connection.close()


def test_a_slow_head_is_not_waited_for(server: Server) -> None:
    with dial(server) as connection:
        began = time.monotonic()
        connection.sendall(b"GET /health HTTP/1.1\r\nA: ")
        ended = select.poll()
        ended.register(connection, select.POLLIN)
        while not ended.poll(50):
            assert time.monotonic() - began < 10 * SILENCE
            connection.sendall(b"x")
        assert codes(connection.recv(4096)) == [408]


@pytest.fixture(scope="module")
def crowded(start: Start, onnx_folder: Path) -> Server:
    """A server that may open FILES files, at a time when nobody is silent for too long."""
    return start(onnx_folder, limits=(f"--nofile={FILES}",))


def test_silent_connections_make_room_for_others(crowded: Server) -> None:
    """With as many as the server has files, probes failed, and each failure was a traceback in the log."""
    with contextlib.ExitStack() as opened:
        kept = opened.enter_context(contextlib.closing(crowded.connect()))
        kept.request("GET", "/health")
        kept.getresponse().read()
        for index in range(2 * FILES):
            silent = opened.enter_context(dial(crowded))
            if index % 16 == 0:
                silent.sendall(head()[: index % 40])
                assert crowded.ask("GET", "/ready")[0] == 200
                kept.request("POST", "/predict", BODY)
                assert kept.getresponse().read().startswith(b'{"predictions":["yes"]')
    log = crowded.log.read_text()
    assert log.count("\n") == 1
    assert "connections are open, as many as may be (ML_CONNECTIONS); silent ones end to make room" in log


def test_an_answer_that_nobody_takes_is_given_up(server: Server) -> None:
    rows = b'{"instances": [' + b",".join([b'{"age": 41}'] * 10_000) + b"]}"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall((head(body=rows) + rows) * 20)  # more than the system keeps
        ended = select.poll()
        ended.register(connection, 0)
        until(lambda: bool(ended.poll(0)), 60)


def test_it_listens_on_both_families(server: Server) -> None:
    with socket.create_connection(("::1", server.port), timeout=5) as connection:
        connection.sendall(head(CLOSE) + BODY)
        assert codes(read_to_end(connection)) == [200]


def test_there_are_no_redirects(server: Server) -> None:
    for path in ("/predict/", "/v2/", "/health/"):
        method = "POST" if path == "/predict/" else "GET"
        status, answer, headers = server.ask(method, path, Host="elsewhere.example")
        assert (status, headers["Location"]) == (404, None)
        assert answer == {"error": f"there is no page {path!r}"}
