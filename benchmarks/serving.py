"""How fast the image's server is, beside the servers that one would use otherwise.

    apt-get install wrk nghttp2-client
    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/serving.py           about 4 minutes
    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/serving.py --quick   under 50 s

All serve the same small model (`rivals/model.py`: 14 raw columns, 8 of them strings) with one process each
(and those that LitServe and BentoML start beside it), to clients on the same machine over loopback:

- throughput: wrk, 16 connections, one row a request. All servers are up; they are asked in turn, and the
  figures are medians of the rounds' own ratios, with the least and the greatest. Ours validates every value,
  counts, and measures drift; the bare FastAPI handler does none of that
- overhead: one connection; the median time of a request, less that of a bare call of ONNX Runtime
- overload: h2load with three times the connections, each asking again as soon as it is answered, after a
  second in which the queue is still a burst. The p99 of those let in beside that of the 16 connections,
  which saturate it once (`overload_p99_ratio`), and beside that of one connection, which finds it idle
  (`overload_p99_vs_idle`); how many times what it answers was asked (`overload_offered`), what was lost, and
  the memory before and after
- start: from the process's start to its first prediction
- size: what the image installs above its base; `sizes.py` has the others'

The last line is one JSON object of these.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sizes
from rivals import model
from rivals.session import Session
from rounds import ratio, say

HERE = Path(__file__).resolve().parent
CONNECTIONS, OVERLOAD = 16, 3
OURS, BARE = "ours", "fastapi_onnx"
SERVERS = {
    OURS: ["-m", "ml_pipeline.serving.serve"],
    "litserve": ["-m", "rivals.by_litserve"],
    "bentoml": ["-m", "bentoml", "serve", "rivals.by_bentoml:Small", "--port"],
    "fastapi_torch": ["-m", "rivals.by_fastapi_torch"],
    BARE: ["-m", "rivals.by_fastapi_onnx"],
}
SCRIPT = """
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
wrk.body = io.open("{}"):read("*a")
"""


@dataclass
class Bench:
    folder: Path
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def request(self) -> Path:
        return self.folder / "request.json"

    @contextlib.contextmanager
    def server(self, name: str) -> Iterator[int]:
        """Start one in a process group of its own, and end all of it."""
        port = 9300 + len(self.ports)
        self.ports[name] = port
        variables = {"ML_MODEL": str(self.folder), "ML_PORT": str(port), "ML_DRAIN": "0"}
        variables |= {"PYTHONPATH": str(HERE.parent / "src"), "BENTOML_HOME": str(self.folder / "bentoml")}
        variables |= {"BENTOML_DO_NOT_TRACK": "true"}
        arguments = [*SERVERS[name], *([str(port)] if name == "bentoml" else [])]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=HERE, env=os.environ | variables,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            yield port
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def ask(self, connection: http.client.HTTPConnection) -> Any:
        connection.request(
            "POST", "/predict", self.request.read_bytes(), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise OSError(f"{response.status}: {text[:200]!r}")
        return json.loads(text)["predictions"]

    def wait(self, port: int) -> None:
        """Return with the first prediction."""
        give_up = time.monotonic() + 60
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                self.ask(connection)
            except OSError:
                if time.monotonic() > give_up:
                    sys.exit(f"nothing answers on port {port}; see the logs in {self.folder}")
                time.sleep(0.01)
            else:
                return
            finally:
                connection.close()

    def wrk(self, port: int, seconds: int) -> tuple[float, float]:
        """Return requests a second and the 99th percentile of their time in ms."""
        script = self.folder / "post.lua"
        script.write_text(SCRIPT.format(self.request))
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script)]
        command.append(f"http://127.0.0.1:{port}/predict")
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in text or "Socket errors" in text:
            sys.exit(f"wrk on port {port}: {text}")
        value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text).groups()
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
        return rate, float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]

    def h2load(self, port: int, connections: int, seconds: int) -> tuple[Any, Any, int]:
        """Return the times of answers and of refusals in ms, after a second, and how many were lost."""
        log = self.folder / "requests.tsv"
        log.unlink(missing_ok=True)
        command = ["h2load", "--h1", "-t1", "-c", str(connections), "-D", str(1 + seconds)]
        command += ["-d", str(self.request), "-H", "Content-Type: application/json", f"--log-file={log}"]
        command.append(f"http://127.0.0.1:{port}/predict")
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        errors = sum(map(int, re.search(r"(\d+) errored, (\d+) timeout", text).groups()))
        begun, status, micros = np.loadtxt(log, dtype=np.int64, unpack=True)
        late = begun > begun.min() + 1_000_000
        lost = int(np.count_nonzero((status != 200) & (status != 503))) + errors
        return micros[late & (status == 200)] / 1e3, micros[late & (status == 503)] / 1e3, lost


def throughput(bench: Bench, rounds: int, seconds: int) -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    tails: dict[str, list[float]] = {name: [] for name in SERVERS}
    print(f"throughput, {CONNECTIONS} connections, {rounds} rounds of {seconds} s each")
    with contextlib.ExitStack() as stack:
        for name in SERVERS:
            stack.enter_context(bench.server(name))
        for port in bench.ports.values():
            bench.wait(port)
            bench.wrk(port, 1)
        for turn in range(rounds):
            names = list(SERVERS)[turn % len(SERVERS) :] + list(SERVERS)[: turn % len(SERVERS)]
            for name in names:
                rate, tail = bench.wrk(bench.ports[name], seconds)
                rates[name].append(rate)
                tails[name].append(tail)
    for name in SERVERS:
        middle = statistics.median(rates[name]), statistics.median(tails[name])
        print(f"  {name:20} {middle[0]:8.0f} requests/s   p99 {middle[1]:8.2f} ms")
    ratios = {}
    for name in list(SERVERS)[1:]:
        ratios[f"vs_{name}"] = say(f"times the requests of {name}", ratio(rates[OURS], rates[name]))
    ratios[f"p99_vs_{BARE}"] = say(f"times the p99 of {BARE}", ratio(tails[OURS], tails[BARE]))
    return ratios


def overhead(bench: Bench, port: int, requests: int) -> float:
    """Return the median of a request less that of a call, in ms, the two in turn."""
    os.environ["ML_MODEL"] = str(bench.folder)
    session = Session()
    feeds = session.feeds([model.ROW])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times: dict[str, list[float]] = {"request": [], "call": []}
    for _ in range(requests):
        for name, work in (("request", lambda: bench.ask(connection)), ("call", lambda: session.run(feeds))):
            clock = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - clock) * 1e3)
    connection.close()
    request, call = (statistics.median(times[name]) for name in ("request", "call"))
    print(f"overhead: a request {request:.3f} ms, a bare call {call:.3f} ms, {requests} of each in turn")
    return round(request - call, 3)


def memory(port: int) -> float:
    """Return the server's resident memory in MB."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(re.search(r"^process_resident_memory_bytes (\d+)", text, re.MULTILINE)[1]) / 1e6


def overload(bench: Bench, port: int, rounds: int, seconds: int) -> dict[str, Any]:
    print(
        f"overload, 1, {CONNECTIONS} and {OVERLOAD * CONNECTIONS} connections, {rounds} rounds of {seconds} s"
    )
    tails: dict[int, list[float]] = {1: [], CONNECTIONS: [], OVERLOAD * CONNECTIONS: []}
    lost, answered, refused = 0, 0, 0
    bench.h2load(port, OVERLOAD * CONNECTIONS, 0)
    before = memory(port)
    for _ in range(rounds):
        for connections, times_p99 in tails.items():
            times, late, gone = bench.h2load(port, connections, seconds)
            times_p99.append(float(np.percentile(times, 99)))
            lost += gone
            if connections > CONNECTIONS:
                answered, refused = answered + len(times), refused + len(late)
    after = memory(port)
    idle, alone, many = tails.values()
    for connections, times_p99 in tails.items():
        print(f"  p99 at {connections:2} connections {statistics.median(times_p99):6.2f} ms")
    print(f"  of threefold load: {answered} answered, {refused} refused by 503; lost in all: {lost}")
    print(f"  memory {before:.1f} MB before, {after:.1f} MB after")
    return {
        "overload_p99_ratio": say("times the p99 of 16 connections", ratio(many, alone)),
        "overload_p99_vs_idle": say("times the p99 of one connection", ratio(many, idle)),
        "overload_offered": round((answered + refused) / answered, 2),
        "overload_lost": lost,
        "overload_memory_mb": [round(before, 1), round(after, 1)],
    }


def first_prediction(bench: Bench, rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        clock = time.perf_counter()
        with bench.server(OURS) as port:
            bench.wait(port)
            seconds.append(time.perf_counter() - clock)
    return say("s from start to first prediction", seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter and fewer rounds, under 50 s")
    quick = parser.parse_args().quick
    for tool, package in (("wrk", "wrk"), ("h2load", "nghttp2-client")):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed; run apt-get install {package}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        model.write(bench.folder)
        figures: dict[str, Any] = throughput(bench, 3 if quick else 5, 1 if quick else 5)
        with bench.server(OURS) as port:
            bench.wait(port)
            figures["overhead_ms"] = overhead(bench, port, 1000 if quick else 5000)
            figures |= overload(bench, port, 1 if quick else 5, 2 if quick else 8)
        figures["first_prediction_s"] = first_prediction(bench, 3 if quick else 7)
    figures["image_mb"] = round(sizes.ours(), 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
