"""Requests that wait for the model are answered in one run, and only so many may wait."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ml_pipeline.model.loaded import Answer, Model, Rows, join
from ml_pipeline.serving.pace import Pace
from ml_pipeline.serving.pieces import Long, Pieces

PATIENCE = 0.1  # seconds; a longer burst is overload
BURST = 1.0  # seconds that a burst may wait

Outcome = Answer | Exception


class Refused(Exception):
    """A request can't wait: too many requests, `waiting` of them, wait already."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are waiting already; try again")


class _Waiting(NamedTuple):
    rows: Rows
    answer: "asyncio.Future[Answer]"


class Batcher:
    """One model, one run at a time. To be used from the event loop only.

    No request waits for a batch to fill: a run takes the requests that wait when it begins, at most
    `pace.rows` rows. With a quick model these are the requests that one turn of the event loop has read. A
    request of more rows runs in pieces, and between two of them the others have a run.

    In a burst `queue` requests may wait, but none that would wait for more than a second. When on average
    over some 0.1 s more than `standing` requests have come for each run, it is not a burst but overload: a
    long queue would then make every request wait, and answer no more of them. From then on only `standing`
    requests may wait (and no more than a run takes), until that was enough for 0.1 s. The idea is CoDel's
    (Nichols and Jacobson, ACM Queue 10(5), 2012): a queue that drains may be long, a queue that stays long
    may not. These numbers bound the time of waiting: each waiting request is answered by the next run, and
    `pace.rows` bounds how long that takes. A request in pieces is refused if those before it take longer
    than a second.
    """

    def __init__(
        self,
        model: Model,
        pace: Pace,
        queue: int,
        standing: int,
        ran: Callable[[Sequence[Rows], Sequence[Outcome]], None],
    ) -> None:
        """`ran` is called with the parts and answers of each run, after the answers were handed on."""
        self._model, self._pace, self._ran = model, pace, ran
        self._standing = min(queue, standing, pace.rows)
        self._queue = max(self._standing, min(queue, int(pace.rows * BURST / pace.seconds)))
        self._waiting: deque[_Waiting] = deque()
        self._pieces = Pieces(pace)
        self._was_piece = True  # whether the last run was one; the first is not
        self._busy = False  # a thread runs the model
        self._turn = False  # a run is due in this turn of the event loop
        self._came = 0  # requests since the last run, refused ones too
        self._load = 0.0  # a mean of those over some PATIENCE
        self._overloaded = False
        self._pressed = 0.0  # when more than `standing` requests last waited
        self._began = 0.0  # when the first request for the next run came
        self._ended = 0.0  # when the last run ended
        self.pool = ThreadPoolExecutor(1, "model")

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a run."""
        return len(self._waiting) + len(self._pieces)

    @property
    def running(self) -> bool:
        """Whether the model's thread is busy."""
        return self._busy

    def admit(self, coming: int = 0) -> None:
        """Raise `Refused` where a request can't wait now; `coming` others are before it."""
        waiting = len(self._waiting) + coming
        if not (waiting or self._busy):
            return
        if waiting >= (self._standing if self._overloaded else self._queue):
            self._came += 1
            self._pressed = asyncio.get_running_loop().time()
            raise Refused(waiting)

    async def answer(self, rows: Rows) -> Answer:
        """Answer rows, in one run with others'. Raises `Refused`, or the model's own error on these rows."""
        if rows.count > self._pace.rows:
            if self._pieces and self._pieces.seconds > BURST:
                raise Refused(self.waiting)
        else:
            self.admit()
        self._came += 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if not (self._waiting or self._busy):
            self._began = loop.time()
            if self._began - self._ended > PATIENCE:
                self._load, self._overloaded = 0.0, False
        if rows.count > self._pace.rows:
            self._pieces.add(Long(rows, future))
        else:
            self._waiting.append(_Waiting(rows, future))
        if not (self._turn or self._busy):
            self._turn = True
            loop.call_soon(self._run)
        return await future

    def _run(self) -> None:
        self._turn = False
        loop = asyncio.get_running_loop()
        if self._pieces and not (self._waiting and self._was_piece):
            self._was_piece = self._busy = True
            part, began = self._pieces.take(), loop.time()
            work = loop.run_in_executor(self.pool, self._answers, [part])
            work.add_done_callback(lambda done: self._finish_piece(part, loop.time() - began, done))
            return
        self._was_piece = False
        if not self._waiting:
            return
        self._watch(loop.time())
        batch = [self._waiting.popleft()]
        rows = batch[0].rows.count
        while self._waiting and rows + self._waiting[0].rows.count <= self._pace.rows:
            batch.append(self._waiting.popleft())
            rows += batch[-1].rows.count
        if self._pace.inline:
            self._deliver(batch, self._answers([one.rows for one in batch]))
            self._next()
            return
        self._busy = True
        work = loop.run_in_executor(self.pool, self._answers, [one.rows for one in batch])
        work.add_done_callback(lambda done: self._finish(batch, done))

    def _watch(self, now: float) -> None:
        """Update the mean of requests for each run, weighted by the time in which they came."""
        self._load += (self._came - self._load) * min(1.0, (now - self._began) / PATIENCE)
        self._came, self._began = 0, now
        if self._load > self._standing:
            self._overloaded, self._pressed = True, now
        elif now - self._pressed > PATIENCE:
            self._overloaded = False

    def _finish(self, batch: list[_Waiting], done: "asyncio.Future[list[Outcome]]") -> None:
        self._busy = False
        if not done.cancelled():
            self._deliver(batch, done.result())
        self._next()

    def _finish_piece(self, part: Rows, seconds: float, done: "asyncio.Future[list[Outcome]]") -> None:
        self._busy = False
        if not done.cancelled():
            outcomes = done.result()
            self._pieces.put(outcomes[0], part.count, seconds)
            asyncio.get_running_loop().call_soon(self._ran, [part], outcomes)
        self._next()

    def _next(self) -> None:
        self._ended = asyncio.get_running_loop().time()
        if self._waiting or self._pieces:
            self._turn = True
            asyncio.get_running_loop().call_soon(self._run)

    def _answers(self, parts: Sequence[Rows]) -> list[Outcome]:
        """Return one answer for each part. If the model fails on all together, answer each part alone."""
        try:
            together = self._model.answer(join(parts))
        except Exception as error:  # noqa: BLE001 - a predictor may raise anything; it is raised where it is awaited
            return [error] if len(parts) == 1 else [self._answers([part])[0] for part in parts]
        return _split(together, parts)

    def _deliver(self, batch: list[_Waiting], outcomes: list[Outcome]) -> None:
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.answer.done():  # its caller is gone
                continue
            if isinstance(outcome, Exception):
                one.answer.set_exception(outcome)
            else:
                one.answer.set_result(outcome)
        asyncio.get_running_loop().call_soon(self._ran, [one.rows for one in batch], outcomes)


def _split(answer: Answer, parts: Sequence[Rows]) -> list[Outcome]:
    if len(parts) == 1:
        return [answer]
    answers: list[Outcome] = []
    start = 0
    for part in parts:
        end = start + part.count
        shares = None if answer.probabilities is None else answer.probabilities[start:end]
        answers.append(Answer(answer.predictions[start:end], shares))
        start = end
    return answers
