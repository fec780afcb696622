"""A server that is busy: open requests in the background."""

import threading
from typing import Any

from tests.programs import Server, until


class Background:
    """Open requests in threads, and their answers."""

    def __init__(self, server: Server, count: int, age: int) -> None:
        self.answers: list[tuple[int, Any]] = []
        self._server, self._age = server, age
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        self.answers.append(self._server.predict({"age": self._age, "job": "x"}))

    def join(self) -> list[int]:
        for thread in self._threads:
            thread.join(20)
        return sorted(status for status, _ in self.answers)


def busy(server: Server, waiting: int) -> list[Background]:
    """Start one request of a second, and others of a second that wait for it."""
    first = Background(server, 1, age=-10)
    until(lambda: server.figures()["ml_running"] == 1)
    others = Background(server, waiting, age=-10)
    until(lambda: server.figures()["ml_queue"] == waiting)
    return [first, others]
