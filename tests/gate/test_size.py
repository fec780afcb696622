"""How large an image is: its files, once each."""

import os
from pathlib import Path

import pytest

from ml_pipeline.gate import size

pytestmark = pytest.mark.program


def test_files_count_once_and_links_not_at_all(tmp_path: Path) -> None:
    base, image = tmp_path / "base", tmp_path / "image"
    for root in (base, image):
        (root / "usr" / "bin").mkdir(parents=True)
        (root / "usr" / "bin" / "python").write_bytes(b"x" * 2_000_000)
        (root / "bin").symlink_to("usr/bin")
    (image / "model.onnx").write_bytes(b"x" * 500_000)
    os.link(image / "model.onnx", image / "same.onnx")
    (image / "large").symlink_to(tmp_path)
    unpacked = {"image_mb": 2.5, "image_above_base_mb": 0.5}
    assert size.measure(image, base) == unpacked
    pulled = {"image_compressed_mb": 1.5, "image_above_base_compressed_mb": 0.5}
    assert size.measure(image, base, (1.5, 1.0)) == unpacked | pulled
