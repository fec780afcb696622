"""Callers who note what each of their requests got: half on new connections, half on kept ones."""

import collections
import http.client
import json
import random
import threading
import time
from dataclasses import dataclass
from typing import Self

NEW, KEPT = "new", "kept"
PATIENCE_S = 10
START_S = 30  # for the first answer
AGES = 100  # the rows that they send


@dataclass(frozen=True)
class Request:
    """One request: the kind of its connection, when its answer came, and its status, 0 for none."""

    kind: str
    at: float
    status: int


class Callers:
    """Asks http://HOST/predict until the block ends: `callers` of each kind, each so often a second."""

    def __init__(self, host: str, *, callers: int, rate: float) -> None:
        self.requests: list[Request] = []
        self.why: collections.Counter[str] = collections.Counter()  # how requests were lost
        self._host, self._pause = host, 1 / rate
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(kind, number / callers / rate))
            for kind in (NEW, KEPT)
            for number in range(callers)
        ]

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_S
        connection = self._connection()
        while self._ask(connection, NEW) != 200 and time.monotonic() < deadline:
            time.sleep(0.2)  # a new Service is refused until the node's proxy has heard of its pods
        connection.close()
        self.why.clear()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def lost(self, kind: str) -> int:
        """Return how many requests of a kind got no answer, or an error."""
        return sum(each.kind == kind and each.status != 200 for each in self.requests)

    def bad(self, since: float = 0, kind: str = "") -> list[float]:
        """Return when errors of the model itself were answered, in order."""
        return sorted(
            each.at
            for each in self.requests
            if each.status == 500 and each.at >= since and kind in {"", each.kind}
        )

    def _call(self, kind: str, start: float) -> None:
        connection = self._connection()
        due = time.monotonic() + start
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic() - self._pause)  # what is late is not made up for
            status = self._ask(connection, kind)
            self.requests.append(Request(kind, time.monotonic(), status))
            if kind == NEW:
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, kind: str) -> int:
        age = random.randrange(AGES)  # noqa: S311 - no secret
        headers = {"Content-Type": "application/json"} | ({"Connection": "close"} if kind == NEW else {})
        try:
            connection.request("POST", "/predict", json.dumps({"instances": [{"age": age}]}), headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.why[f"{kind}: {type(error).__name__}"] += 1
            return 0
        if response.status != 200:
            self.why[f"{kind}: {response.status}"] += 1
        return response.status

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, timeout=PATIENCE_S)
