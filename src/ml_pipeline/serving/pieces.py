"""Requests of many rows: they run in pieces, so that memory is bounded and others are answered in between."""

import asyncio
from collections import deque

import numpy as np

from ml_pipeline.model.loaded import Answer, Rows
from ml_pipeline.serving.pace import Pace

SECONDS = 0.01  # that a piece may take, however fast a run of single rows is
LONGER = 1.5  # times as long as such a run; with a cost of its own for each call, larger pieces are cheaper
MOST = 1024  # rows of a piece: what a graph needs for each of them is bounded by no one


class Long:
    """A request of more rows than one run takes, and the answers to its first pieces."""

    def __init__(self, rows: Rows, answer: "asyncio.Future[Answer]") -> None:
        self.answer = answer
        self._rows = rows
        self._at = 0
        self._answers: list[Answer] = []

    @property
    def left(self) -> int:
        """The number of rows that were not run yet."""
        return self._rows.count - self._at

    def take(self, most: int) -> Rows:
        """Return the next rows, `most` of them."""
        begin, self._at = self._at, min(self._at + most, self._rows.count)
        columns = {name: array[begin : self._at] for name, array in self._rows.columns.items()}
        return Rows(self._at - begin, columns, self._rows.is_large)

    def put(self, outcome: Answer | Exception) -> None:
        """Take the answer to the last piece. Where it is the last of all, or an error, the request ends."""
        if self.answer.done():
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
            return
        self._answers.append(outcome)
        if not self.left:
            self.answer.set_result(_joined(self._answers))


class Pieces:
    """The requests of many rows that wait, in the order in which they came."""

    def __init__(self, pace: Pace) -> None:
        self.rows = min(MOST, max(pace.rows, int(pace.rows * SECONDS / pace.seconds)))  # of a piece
        self._least = pace.rows
        self._enough = max(SECONDS, LONGER * pace.seconds)
        self._row_seconds = pace.seconds / pace.rows
        self._waiting: deque[Long] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def seconds(self) -> float:
        """How long the model will need for those that wait."""
        return sum(one.left for one in self._waiting) * self._row_seconds

    def add(self, one: Long) -> None:
        """Take a request that came."""
        self._waiting.append(one)

    def take(self) -> Rows:
        """Return the next piece."""
        return self._waiting[0].take(self.rows)

    def put(self, outcome: Answer | Exception, rows: int, seconds: float) -> None:
        """Take the answer to the last piece, and how long it took."""
        if rows == self.rows:
            self._row_seconds = seconds / rows
            if seconds < self._enough:
                self.rows = min(MOST, rows * 2)
            elif seconds > 3 * self._enough:
                self.rows = max(self._least, rows // 2)
        one = self._waiting[0]
        one.put(outcome)
        if one.answer.done():
            self._waiting.popleft()


def _joined(answers: list[Answer]) -> Answer:
    shares = [answer.probabilities for answer in answers if answer.probabilities is not None]
    predictions = [prediction for answer in answers for prediction in answer.predictions]
    return Answer(predictions, np.concatenate(shares) if len(shares) == len(answers) else None)
