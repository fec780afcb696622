"""What pods counted, look by look: restarts, pods that are gone, our own requests, images that count less."""

import math
import threading
from typing import Any

import pytest

from ml_pipeline.cluster.errors import Refused
from ml_pipeline.release.evidence import Count
from ml_pipeline.release.traffic import NOTHING, Counters, Look, Reader, parse
from ml_pipeline.serving.figures import BUCKETS, Figures
from tests.release.pods import Pod, Pods


def test_the_servers_own_text_is_read() -> None:
    figures = Figures("club", "1", ["no", 'a "b"\\'])
    for path, code, seconds in [
        ("/predict", 200, 0.003),
        ("/v2/models/NAME/infer", 200, 0.3),
        ("/predict", 422, 0.1),
        ("/predict", 499, 0.1),
        ("/health", 200, 0.1),
    ]:
        figures.request(path, code, seconds)
    figures.predicted(['a "b"\\', "no", "no"])
    counters = parse(figures.text(1, running=True))
    assert counters.codes == {200: 2, 422: 1, 499: 1}
    assert counters.errors == Count(1, 3)
    assert counters.classes == {"no": 2, 'a "b"\\': 1}
    assert counters.buckets is not None
    assert sorted(counters.buckets) == [*BUCKETS, math.inf]
    assert (counters.buckets[0.0025], counters.buckets[0.005], counters.buckets[math.inf]) == (0, 1, 2)


def test_a_server_that_has_answered_nothing_counts_0_and_another_server_counts_nothing() -> None:
    fresh = parse(Figures("club", "1", []).text(0, running=False))
    assert (fresh.codes, fresh.classes) == ({}, None)
    assert parse('{"status": "ok"}') == Counters()
    assert Counters().errors is None
    unlike = [
        'ml_requests_total{path="/predict",code="2xx"} 3',
        "ml_request_seconds_bucket 1",
        "ml_rows_total -",
    ]
    assert parse("\n".join(unlike)) == Counters({}, None, None)


def test_looks_are_differences_and_a_restart_counts_from_0() -> None:
    pod = Pod(requests=10)
    reader = Reader(Pods({"a": pod}), ["a"])
    first = reader.look()
    assert (first.counters.answers, first.down) == (0, Count(0, 1))
    assert reader.look().counters.answers == 10
    pod.restart()
    again = reader.look()
    assert (again.counters.answers, again.down) == (10, Count(1, 1))
    assert reader.total.answers == 20
    assert reader.before.answers == 10


def test_pods_that_are_gone_or_down() -> None:
    pods = Pods({"a": Pod(requests=10), "b": Pod(requests=5)})
    reader = Reader(pods, ["a", "b", "c"])
    reader.look()
    assert reader.pods == ("a", "b")
    pods.down = {"a"}
    assert reader.look().down == Count(1, 2)
    pods.down = set()
    assert reader.look().counters.answers == 15  # a restart would lose some; a pod that hung does not
    pods.metrics_code = 500
    assert reader.look() == Look(NOTHING, Count(2, 2))
    pods.metrics_code = 200
    pods.api_is_up = False
    assert reader.look().down == Count()  # nobody knows


def test_pods_are_read_at_once_and_one_that_hangs_is_down() -> None:
    together = threading.Barrier(4, timeout=20)

    class Slow(Pods):
        def ask(self, *arguments: Any, **more: Any) -> tuple[int, bytes]:
            together.wait()
            return super().ask(*arguments, **more)

    pods = Slow({name: Pod(requests=10) for name in "abcd"})
    reader = Reader(pods, list("abcd"))
    reader.look()
    pods.silent = {"a"}
    look = reader.look()
    assert (look.counters.answers, look.down) == (30, Count(1, 4))
    assert len(reader.ask({"instances": [{}]}, range(4))) == 3
    pods.silent = set()
    assert reader.look().down == Count(0, 4)


def test_a_server_without_metrics_counts_nothing_and_is_not_down() -> None:
    pods = Pods({"a": Pod()})
    pods.metrics_code = 404
    reader = Reader(pods, ["a"])
    reader.look()
    assert reader.look() == Look(Counters(), Count(0, 1))


def test_a_missing_right_is_not_a_pod_that_is_gone() -> None:
    class Forbidden:
        def ask(self, *_: object, **__: object) -> tuple[int, bytes]:
            raise Refused("the kubeconfig's user may not get pods/proxy in namespace x", "grant it", 403)

    with pytest.raises(Refused, match="may not get pods/proxy"):
        Reader(Forbidden(), ["a"]).look()


def test_our_own_requests_are_not_the_callers() -> None:
    pod = Pod(requests=0, code=422)
    reader = Reader(Pods({"a": pod}), ["a"])
    reader.look()
    assert [code for code, _ in reader.ask({"instances": [{}]}, range(3))] == [422] * 3
    pod.requests = 4
    look = reader.look().counters
    assert (look.errors, look.buckets, look.classes) == (Count(0, 4), {}, {})
    assert reader.look().counters.classes != {}


def test_an_image_that_counts_less_is_named_by_none() -> None:
    reader = Reader(Pods({"a": Pod(), "b": Pod(only_codes=True)}), ["a", "b"])
    reader.look()
    look = reader.look().counters
    assert (look.answers, look.buckets, look.classes) == (50, None, None)


def test_the_reference_is_what_was_counted_meanwhile_unless_that_is_little() -> None:
    reader = Reader(Pods({"a": Pod(requests=1000)}), ["a"])
    reader.look()
    assert reader.reference().answers == 1000
    reader.look()
    assert reader.reference().answers == 2000
    reader.look()
    assert reader.reference().answers == 2000
    assert Reader(Pods({}), []).reference() == NOTHING
