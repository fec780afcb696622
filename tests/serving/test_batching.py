"""What waits is run together, and how long a queue may stand."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ml_pipeline.model.loaded import Answer, Rows
from ml_pipeline.serving.batching import Batcher, Refused
from ml_pipeline.serving.pace import Pace, measure
from ml_pipeline.serving.pieces import MOST, Long, Pieces

pytestmark = pytest.mark.program


def model(seconds: Callable[[int], float], runs: list[int] | None = None, runtime: str = "onnx") -> Any:
    """A model whose time is a function of its rows, and whose answer is its column."""

    def answer(rows: Rows) -> Answer:
        time.sleep(seconds(rows.count))
        if runs is not None:
            runs.append(rows.count)
        if "bad" in rows.columns["x"]:
            raise RuntimeError("bad")
        return Answer(rows.columns["x"].tolist(), None)

    signature = SimpleNamespace(example={}, runtime=runtime)
    return SimpleNamespace(answer=answer, read=lambda _: table("example"), signature=signature)


def table(*values: str) -> Rows:
    return Rows(len(values), {"x": np.array(values, dtype=object)})


def batcher(of: Any, pace: Pace, queue: int = 64, standing: int = 16) -> Batcher:
    return Batcher(of, pace, queue, standing, lambda *_: None)


async def outcome(answer: Awaitable[Answer]) -> Any:
    try:
        return (await answer).predictions
    except (Refused, RuntimeError) as error:
        return type(error).__name__


@pytest.mark.parametrize("inline", [True, False])
def test_each_request_gets_the_answers_to_its_own_rows(inline: bool) -> None:
    runs: list[int] = []

    async def body() -> list[Any]:
        batches = batcher(model(lambda _: 0, runs), Pace(5, inline, 1e-4))
        requests = [
            table("a"),
            table("b", "c"),
            table("bad"),
            table("d"),
            table("e", "f", "g", "h", "i", "j"),
        ]
        return await asyncio.gather(*[outcome(batches.answer(rows)) for rows in requests])

    assert asyncio.run(body()) == [["a"], ["b", "c"], "RuntimeError", ["d"], list("efghij")]
    # Five rows of four requests fail together, so each is answered alone; six rows of one are not divided.
    assert runs == [5, 1, 2, 1, 1, 6]


def pieces_of(rows: int, pace: Pace, seconds: Callable[[int], float]) -> list[int]:
    """Return the sizes of the pieces of a request, where a run's time is a function of its rows."""

    async def body() -> list[int]:
        pieces, sizes = Pieces(pace), list[int]()
        one = Long(table(*["a"] * rows), asyncio.get_running_loop().create_future())
        pieces.add(one)
        while pieces:
            part = pieces.take()
            sizes.append(part.count)
            pieces.put(Answer(part.columns["x"].tolist(), None), part.count, seconds(part.count))
        assert one.answer.result().predictions == ["a"] * rows
        return sizes

    return asyncio.run(body())


@pytest.mark.parametrize(
    ("pace", "seconds", "sizes"),
    [
        # Its cost is that of a call, so larger pieces are cheaper.
        (Pace(64, inline=False, seconds=0.05), lambda _: 0.05, [64, 128, 256, 512, MOST, 16]),
        (Pace(2, inline=False, seconds=0.002), lambda rows: rows * 0.001, [10] * 200),
        # Its rows take much longer than its example.
        (
            Pace(64, inline=False, seconds=0.001),
            lambda rows: rows * 0.001,
            [640, 320, 160, 80, *[64] * 12, 32],
        ),
        (Pace(64, inline=True, seconds=0.0001), lambda rows: rows * 2e-6, [MOST, 976]),
    ],
    ids=["call", "row", "slower", "quick"],
)
def test_pieces_are_as_large_as_others_can_wait(
    pace: Pace, seconds: Callable[[int], float], sizes: list[int]
) -> None:
    assert pieces_of(2000, pace, seconds) == sizes


async def flood(batches: Batcher, per_turn: int, seconds: float) -> list[tuple[float, bool, float]]:
    """Ask at a steady rate; return when each request came, whether it was admitted, how long it took."""
    requests: list[tuple[float, bool, float]] = []
    started = time.perf_counter()

    async def one() -> None:
        came = time.perf_counter()
        answer = await outcome(batches.answer(table("a")))
        requests.append((came - started, answer == ["a"], time.perf_counter() - came))

    async with asyncio.TaskGroup() as tasks:
        while time.perf_counter() - started < seconds:
            for _ in range(per_turn):
                tasks.create_task(one())
            await asyncio.sleep(0.01)
    return requests


def test_a_burst_may_wait_and_overload_is_refused() -> None:
    """A run takes 40 ms and 4 rows; 20 requests come in that time."""

    async def body() -> None:
        batches = batcher(model(lambda _: 0.04), Pace(4, inline=False, seconds=0.04), queue=12, standing=12)
        burst = await asyncio.gather(*[outcome(batches.answer(table("a"))) for _ in range(12)])
        assert burst == [["a"]] * 12
        later = [request for request in await flood(batches, 5, 1.0) if request[0] > 0.3]
        assert {admitted for _, admitted, _ in later} == {True, False}
        waits = sorted(took for _, admitted, took in later if admitted)
        assert waits[len(waits) // 2] < 0.1  # the rest of one run, and a run
        await asyncio.sleep(0.15)
        assert await asyncio.gather(*[outcome(batches.answer(table("a"))) for _ in range(12)]) == burst

    asyncio.run(body())


def test_before_a_slow_model_a_burst_does_not_wait_for_long() -> None:
    """A run takes 0.3 s and one row: one runs, three wait, the others are refused."""

    async def body() -> list[Any]:
        batches = batcher(model(lambda _: 0.3), Pace(1, inline=False, seconds=0.3))
        first = asyncio.create_task(outcome(batches.answer(table("a"))))
        await asyncio.sleep(0.05)
        others = await asyncio.gather(*[outcome(batches.answer(table("a"))) for _ in range(20)])
        return [await first, *others]

    assert asyncio.run(body()) == [["a"]] * 4 + ["Refused"] * 17


def test_without_a_queue_one_request_at_a_time_is_answered() -> None:
    async def body() -> list[Any]:
        batches = batcher(model(lambda _: 0.01), Pace(4, inline=False, seconds=0.04), queue=0)
        together = await asyncio.gather(*[outcome(batches.answer(table("a"))) for _ in range(3)])
        return [*together, await outcome(batches.answer(table("b")))]

    assert asyncio.run(body()) == [["a"], "Refused", "Refused", ["b"]]


@pytest.mark.parametrize(
    ("seconds", "runtime", "rows", "inline"),
    [
        (lambda _: 0.0, "onnx", 64, True),
        (lambda _: 0.0, "python", 64, False),
        (lambda _: 0.004, "onnx", 64, False),
        (lambda rows: 0.01 * rows, "onnx", 2, False),
        (lambda rows: 0.3 * rows, "onnx", 1, False),
    ],
)
def test_the_pace_of_a_model(seconds: Callable[[int], float], runtime: str, rows: int, inline: bool) -> None:
    pace = measure(model(seconds, runtime=runtime))
    assert (pace.rows, pace.inline) == (rows, inline)
    assert seconds(rows) <= pace.seconds < 2 * seconds(rows) + 0.01
