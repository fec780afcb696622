"""The counters of the server, and their text for Prometheus."""

import contextlib
import os
import platform
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from ml_pipeline.model.signature import Label
from ml_pipeline.serving.prometheus import escaped, head, histogram

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)  # rows
REASONS = ("queue", "bodies", "connections")  # for a refusal by 503
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Figures:
    """Counters of one process. To be used from the event loop only: there are no locks."""

    def __init__(self, name: str, version: str, classes: Iterable[Label]) -> None:
        self.in_flight = 0  # requests that have begun and are not answered yet
        self._model = f'name="{escaped(name)}",version="{escaped(version)}"'
        self._build = _build()
        self._started = f"{_started():.2f}"
        self._requests: Counter[tuple[str, int]] = Counter()
        self._refused: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        self._begun = [0, 0]  # the first requests of connections, and the others
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._classes: Counter[str] = Counter({str(value): 0 for value in classes})
        self._by_class = bool(self._classes)
        self._rows = 0
        self._batches = [0] * (len(BATCHES) + 1)
        self._batch_rows = 0

    def begun(self, kept: bool) -> None:
        """Count one request, of any kind, when it begins; `kept`: its connection had one before."""
        self._begun[kept] += 1

    def request(self, path: str, code: int, seconds: float) -> None:
        """Count one answered request; `path` is the route's, not the caller's."""
        self._requests[path, code] += 1
        if code == 200 and path in {"/predict", "/v2/models/NAME/infer"}:
            self._buckets[bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds

    def refused(self, reason: str) -> None:
        """Count one refusal by 503, for one of REASONS."""
        self._refused[reason] += 1

    def batch(self, rows: int) -> None:
        """Count one run of the model."""
        self._batches[bisect_left(BATCHES, rows)] += 1
        self._batch_rows += rows

    def predicted(self, predictions: list[Label]) -> None:
        """Count the model's predictions."""
        self._rows += len(predictions)
        if self._by_class:
            self._classes.update(map(str, predictions))

    def text(self, waiting: int, running: bool) -> str:
        """Return all figures, and those of the process."""
        lines = [*head("ml_model_info", "gauge", "The model served."), f"ml_model_info{{{self._model}}} 1"]
        lines += [
            *head("ml_build_info", "gauge", "The versions in the image."),
            f"ml_build_info{{{self._build}}} 1",
        ]
        lines += head("ml_requests_total", "counter", "Requests by route and status code.")
        for (path, code), count in sorted(self._requests.items()):
            lines.append(f'ml_requests_total{{path="{path}",code="{code}"}} {count}')
        lines += head("ml_refusals_total", "counter", "Requests refused by 503, by what was exhausted.")
        for reason, count in self._refused.items():
            lines.append(f'ml_refusals_total{{reason="{reason}"}} {count}')
        lines += head("ml_requests_in_flight", "gauge", "Requests that have begun and are not answered yet.")
        lines.append(f"ml_requests_in_flight {self.in_flight}")
        lines += head("ml_connection_requests_total", "counter", "Requests on new and on kept connections.")
        for connection, count in zip(("new", "kept"), self._begun, strict=True):
            lines.append(f'ml_connection_requests_total{{connection="{connection}"}} {count}')
        lines += histogram(
            "ml_request_seconds", "Time from a request to its answer, predictions only.",
            BUCKETS, self._buckets, self._seconds,
        )  # fmt: skip
        lines += histogram(
            "ml_batch_rows",
            "Rows in one run of the model.",
            BATCHES,
            self._batches,
            self._batch_rows,
        )
        lines += [*head("ml_rows_total", "counter", "Rows predicted."), f"ml_rows_total {self._rows}"]
        if self._by_class:
            lines += head("ml_predictions_total", "counter", "Predictions by class.")
            for name, count in sorted(self._classes.items()):
                lines.append(f'ml_predictions_total{{class="{escaped(name)}"}} {count}')
        lines += [*head("ml_queue", "gauge", "Requests waiting for the model."), f"ml_queue {waiting}"]
        lines += head("ml_running", "gauge", "1 while the model's thread is busy.")
        lines.append(f"ml_running {int(running)}")
        lines += head("process_start_time_seconds", "gauge", "When the process started, since 1970.")
        lines.append(f"process_start_time_seconds {self._started}")
        for name, (help_, value) in _memory().items():
            lines += [*head(name, "gauge", help_), f"{name} {value}"]
        return "\n".join(lines) + "\n"


def _memory() -> dict[str, tuple[str, str]]:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "process_resident_memory_bytes": ("Resident memory.", str(_bytes(fields["VmRSS"]))),
        "process_peak_memory_bytes": ("Largest resident memory so far.", str(_bytes(fields["VmHWM"]))),
    }


def _started() -> float:
    """Return when this process started, in seconds since 1970."""
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[19])  # from the machine's start on
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _build() -> str:
    """Return the labels of `ml_build_info`; a package that the image does not have is left out."""
    versions = {"python": platform.python_version()}
    with contextlib.suppress(metadata.PackageNotFoundError):
        versions["onnxruntime"] = metadata.version("onnxruntime")
    return ",".join(f'{name}="{escaped(text)}"' for name, text in versions.items())


def _bytes(kilobytes: str) -> int:
    return int(kilobytes.split(maxsplit=1)[0]) * 1024
