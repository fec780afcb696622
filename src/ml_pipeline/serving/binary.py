"""Tensors in binary form: the Open Inference Protocol's extension, as Triton's clients use it by default.

A tensor's values lie after the JSON, little-endian and without padding; of BYTES each value follows its
length in 4 bytes. The format:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import struct
from typing import Any

import numpy as np

_ELEMENTS = {
    "BOOL": "?",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
}


def values(data: memoryview, datatype: str) -> list[Any]:
    """A tensor's values as JSON would have them: NaN is None. Raises `ValueError`."""
    if datatype == "BYTES":
        return _strings(data)
    element = np.dtype(_ELEMENTS[datatype])
    if len(data) % element.itemsize:
        raise ValueError(f"{len(data)} bytes are no whole number of {datatype}")
    array: Any = np.frombuffer(data, np.uint8 if element.kind == "b" else element)
    found: list[Any] = (array.astype(np.bool_) if element.kind == "b" else array).tolist()
    if element.kind == "f":
        return [value if value == value else None for value in found]  # noqa: PLR0124 - NaN differs from itself
    return found


def _strings(data: memoryview) -> list[str]:
    found, at = [], 0
    while at < len(data):
        end = at + 4
        size = struct.unpack_from("<I", data, at)[0] if end <= len(data) else len(data)
        if end + size > len(data):
            raise ValueError("a string ends beyond its tensor")
        found.append(str(data[end : end + size], "utf-8"))  # a UnicodeDecodeError is a ValueError
        at = end + size
    return found


def packed(data: Any, datatype: str) -> bytes:
    """Values, an array or a list, as bytes."""
    if datatype == "BYTES":
        texts = [str(value).encode() for value in data]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return bytes(np.asarray(data, _ELEMENTS[datatype]).tobytes())
