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
        made = batcher(model(lambda _: 0, runs), Pace(5, inline, 1e-4))
        requests = [
            table("a"),
            table("b", "c"),
            table("bad"),
            table("d"),
            table("e", "f", "g", "h", "i", "j"),
        ]
        return await asyncio.gather(*[outcome(made.answer(rows)) for rows in requests])

    assert asyncio.run(body()) == [["a"], ["b", "c"], "RuntimeError", ["d"], list("efghij")]
    # Five rows of four requests are taken, and fail, so each is asked alone; six of one are not divided.
    assert runs == [5, 1, 2, 1, 1, 6]


async def flood(made: Batcher, per_turn: int, seconds: float) -> list[tuple[float, bool, float]]:
    """Requests at a steady rate: when each came, whether it was let in, how long it took."""
    found: list[tuple[float, bool, float]] = []
    started = time.perf_counter()

    async def one() -> None:
        came = time.perf_counter()
        answer = await outcome(made.answer(table("a")))
        found.append((came - started, answer == ["a"], time.perf_counter() - came))

    async with asyncio.TaskGroup() as tasks:
        while time.perf_counter() - started < seconds:
            for _ in range(per_turn):
                tasks.create_task(one())
            await asyncio.sleep(0.01)
    return found


def test_a_burst_may_wait_and_a_standing_queue_may_not() -> None:
    """A run takes 40 ms and 4 rows; 20 requests come meanwhile."""

    async def body() -> None:
        made = batcher(model(lambda _: 0.04), Pace(4, inline=False, seconds=0.04), queue=12, standing=12)
        burst = await asyncio.gather(*[outcome(made.answer(table("a"))) for _ in range(12)])
        assert burst == [["a"]] * 12
        found = await flood(made, 5, 1.0)
        later = [one for one in found if one[0] > 0.3]
        assert {admitted for _, admitted, _ in later} == {True, False}
        waits = sorted(took for _, admitted, took in later if admitted)
        assert waits[len(waits) // 2] < 0.1  # the rest of one run, and a run
        await asyncio.sleep(0.15)
        assert await asyncio.gather(*[outcome(made.answer(table("a"))) for _ in range(12)]) == burst

    asyncio.run(body())


def test_a_slow_model_lets_no_burst_wait_for_long() -> None:
    """A run takes 0.3 s and one row: one runs, three wait, the others are refused."""

    async def body() -> list[Any]:
        made = batcher(model(lambda _: 0.3), Pace(1, inline=False, seconds=0.3))
        first = asyncio.create_task(outcome(made.answer(table("a"))))
        await asyncio.sleep(0.05)
        found = await asyncio.gather(*[outcome(made.answer(table("a"))) for _ in range(20)])
        return [await first, *found]

    found = asyncio.run(body())
    assert found == [["a"]] * 4 + ["Refused"] * 17


def test_with_no_queue_one_at_a_time_is_answered() -> None:
    async def body() -> list[Any]:
        made = batcher(model(lambda _: 0.01), Pace(4, inline=False, seconds=0.04), queue=0)
        together = await asyncio.gather(*[outcome(made.answer(table("a"))) for _ in range(3)])
        return [*together, await outcome(made.answer(table("b")))]

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
