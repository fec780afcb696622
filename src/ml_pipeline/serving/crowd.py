"""All connections together: how many there may be, and which end because their callers are silent.

A caller is silent while the server waits for the rest of a head or of a body, or for an answer to be taken.
Idle connections between two requests are not; these end after `KEEP_ALIVE`, see `serve`.
"""

import logging
import resource
from collections.abc import Collection, Iterable
from typing import Protocol

RESERVE = 200  # files for everything but connections, and for those that come and end in one turn
UNSENT = 64 << 20  # bytes of answers that callers have not taken yet
SHARE = 20  # of the connections, one in so many makes room at a time
QUIET = 60.0  # seconds between two log lines
_LOG = logging.getLogger("uvicorn.error")


class Connection(Protocol):
    """What is asked of a connection."""

    def closing(self) -> bool:
        """Whether it ends already."""

    def dispensable(self) -> tuple[int, float] | None:
        """Return its place among those that make room, the least first; None while it is answered."""

    def unsent(self, now: float) -> tuple[int, float]:
        """Return the bytes of answers that were not taken yet, and the seconds since the last were."""

    def silent(self, now: float, seconds: float) -> bool:
        """Whether the caller owes the rest of a request for so long."""

    def give_up(self) -> None:
        """End it because its caller is silent."""

    def end(self) -> None:
        """End it to make room."""

    def abort(self) -> None:
        """End it now, whatever was not sent yet."""

    def turn_away(self) -> None:
        """Refuse the caller, because no connection can make room."""


class Crowd:
    """The limits of connections. `limit`: how many; `silence`: seconds that a caller may be silent."""

    def __init__(self, limit: int, silence: float) -> None:
        self.limit = limit
        self._silence = silence
        self._logged = -QUIET

    def sweep(self, connections: Iterable[Connection], now: float) -> None:
        """End the connections of silent callers."""
        held: list[tuple[int, Connection]] = []
        for each in list(connections):
            if each.silent(now, self._silence):
                each.give_up()
            size, seconds = each.unsent(now)
            if seconds > self._silence:
                each.abort()
            elif size:
                held.append((size, each))
        total = sum(size for size, _ in held)
        for size, each in sorted(held, key=lambda one: one[0], reverse=True):
            if total <= UNSENT:
                break
            each.abort()
            total -= size

    def make_room(self, connections: Collection[Connection], newcomer: Connection, now: float) -> None:
        """End some connections that are not being answered, so that probes and others get in.

        The first to go are those that never sent a request, then idle ones, then those whose bodies are
        under way; of each kind those that have been silent longest.
        """
        others = [each for each in connections if each is not newcomer and not each.closing()]
        if len(others) < self.limit:
            return
        ranked = [(rank, each) for each in others if (rank := each.dispensable()) is not None]
        ranked.sort(key=lambda one: one[0])
        leaving = [each for _, each in ranked[: max(1, self.limit // SHARE)]]
        for each in leaving:
            each.end()
        if not leaving:
            newcomer.turn_away()
        if now - self._logged >= QUIET:
            self._logged = now
            _LOG.warning(
                "%d connections are open, as many as may be (ML_CONNECTIONS); silent ones end to make room",
                len(others),
            )


def limit(connections: int) -> int:
    """Return how many connections this process may have; it raises its limit of open files if it can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(16, min(connections, soft - RESERVE))
    return connections
