"""A time of its own, for what waits."""


class Clock:
    """Stands for the module `time`: only pauses move it. Seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
