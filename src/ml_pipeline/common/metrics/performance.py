"""Speed and size of the running image, and what validate-data measures."""

from functools import partial

from ml_pipeline.common.metrics.metric import MEGABYTES, MILLISECONDS, PER_SECOND, Metric

NO_IMAGE = "the project builds no image (`serve.runtime = false`)"

_lower = partial(Metric, family="performance", higher_is_better=False, range="0 and above", missing=NO_IMAGE)
_time = partial(_lower, unit=MILLISECONDS)
_size = partial(_lower, unit=MEGABYTES)
_compressed = partial(
    _size,
    source="the layers of the image's tar archive, compressed as in a registry",
    missing=f"{NO_IMAGE}, or nothing asks for it: no gate is on a compressed size and the image is not "
    "pushed",
)

PERFORMANCE = (
    Metric(
        "throughput_rows_per_s",
        "throughput",
        "performance",
        higher_is_better=True,
        definition="The rows of all batches divided by the time for them: one client sends a batch, waits "
        "for the answer, and sends the next, for a second.",
        source="`/predict`, up to 200 holdout rows in one request",
        range="above 0",
        unit=PER_SECOND,
        missing=NO_IMAGE,
        main=8,
    ),
    *(
        _time(
            f"latency_p{percent}_ms",
            f"latency, {percent} % quantile",
            definition=f"The {percent} % quantile of the time from sending a request of one row until its "
            "whole answer is read, over one open connection: each sampled row once and then again, up to "
            "500 requests or 10 seconds, after 20 that are not counted.",
            source="`/predict`, one holdout row in a request",
            interval="Student's t between blocks of consecutive requests (batch means: Conway 1963); the "
            "baseline is asked in turn",
            missing=f"{NO_IMAGE}. It has no interval of fewer than {500 if percent == 99 else 100} requests",
            main=7 if percent == 95 else None,
        )
        for percent in (50, 95, 99)
    ),
    *(
        _time(
            f"batch_latency_p{percent}_ms",
            f"batch latency, {percent} % quantile",
            definition=f"The {percent} % quantile of the same time for a request of all sampled rows, "
            "repeated for a second.",
            source="`/predict`, up to 200 holdout rows in one request",
        )
        for percent in (50, 95, 99)
    ),
    _size(
        "memory_mb",
        "memory",
        definition="The peak memory of the serving process after all these requests; the memory that it has "
        "at this moment if it does not report its peak.",
        source="`process_peak_memory_bytes`, else `process_resident_memory_bytes`, of `/metrics`",
        missing=f"{NO_IMAGE}, or its `/metrics` has neither number",
        main=9,
    ),
    _time(
        "cold_start_ms",
        "cold start",
        definition="The time from the start of the server's process until its first prediction; the median "
        "of 3 starts. The download of the image and the creation of the container are not included.",
        source="the image's own server, in the image",
    ),
    _size(
        "image_mb",
        "image size",
        definition="The size of all files of the image; a file with several names counts once.",
        source="the image's root filesystem",
    ),
    _size(
        "image_above_base_mb",
        "image size above its base",
        definition="`image_mb` minus the same sum for the base image.",
        source="the root filesystems of both",
        range="any number",
    ),
    _compressed(
        "image_compressed_mb",
        "compressed image size",
        definition="The size of the image as a node downloads it.",
    ),
    _compressed(
        "image_above_base_compressed_mb",
        "compressed image size above its base",
        definition="`image_compressed_mb` minus the same size of the base image.",
        range="any number",
    ),
)
DATA = (
    Metric(
        "drift_share",
        "share of columns that drifted",
        "data",
        higher_is_better=False,
        definition="The share of compared columns that have drifted from the reference. The size of one "
        "column's drift is `drift.COLUMN`; it is 0 if the column's test is not significant.",
        source="validate-data; see docs/data.md",
        missing="the run has no reference (the gate passes then), or if no gate is on drift",
    ),
)
