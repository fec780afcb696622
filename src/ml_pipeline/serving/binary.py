"""Tensors in binary form, an extension of the Open Inference Protocol that Triton's clients use by default.

A tensor's values follow the JSON, little-endian and without padding. Each value of BYTES follows its length
in 4 bytes. The format:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import struct
from collections.abc import Iterable

import numpy as np

from ml_pipeline.columns.values import Array

_ELEMENTS = {
    "BOOL": "?",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
}


def values(data: memoryview, datatype: str) -> list[object]:
    """Return a tensor's values as JSON would have them; NaN is None. Raises `ValueError`."""
    if datatype == "BYTES":
        return _strings(data)
    element = np.dtype(_ELEMENTS[datatype])
    if len(data) % element.itemsize:
        raise ValueError(f"{len(data)} bytes are not a whole number of {datatype}")
    array = np.frombuffer(data, np.uint8 if element.kind == "b" else element)
    numbers: list[object] = (array.astype(np.bool_) if element.kind == "b" else array).tolist()
    if element.kind == "f":
        return [value if value == value else None for value in numbers]  # noqa: PLR0124 - NaN differs from itself
    return numbers


def _strings(data: memoryview) -> list[object]:
    strings: list[object] = []
    at = 0
    while at < len(data):
        end = at + 4
        size = struct.unpack_from("<I", data, at)[0] if end <= len(data) else len(data)
        if end + size > len(data):
            raise ValueError("a string ends beyond its tensor")
        strings.append(str(data[end : end + size], "utf-8"))  # a UnicodeDecodeError is a ValueError
        at = end + size
    return strings


def packed(data: Array | Iterable[object], datatype: str) -> bytes:
    """Return the values of an array or a list as bytes."""
    if datatype == "BYTES":
        texts = [str(value).encode() for value in data]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.asarray(data, _ELEMENTS[datatype]).tobytes()
