"""Which files a folder or a glob means."""

from pathlib import PurePosixPath

import pytest

from ml_pipeline.data.paths import is_meant, is_table


@pytest.mark.parametrize(
    "path",
    [
        "a.csv",
        "a.csv.gz",
        "a.tsv",
        "a.tab",
        "a.jsonl",
        "a.ndjson.gz",
        "deep/b.PQ",
        "year=2025/c.parquet",
        "_year=2025/_month=1/c.csv",
    ],
)
def test_files_of_a_folder_s_table(path: str) -> None:
    assert is_table(PurePosixPath(path))


@pytest.mark.parametrize(
    "path",
    [
        "a.txt",
        "_a.csv",
        ".a.csv",
        "_temporary/0/a.csv",
        "_delta_log/1.parquet",
        "year=1/.spark-staging/b.csv",
    ],
)
def test_what_a_writer_left_in_a_folder_is_no_table(path: str) -> None:
    assert not is_table(PurePosixPath(path))


@pytest.mark.parametrize(
    ("path", "pattern", "meant"),
    [
        ("a/b.csv", "**/*.csv", True),
        ("_temporary/b.csv", "**/*.csv", False),
        ("_temporary/b.csv", "_temp*/*.csv", True),
        (".cache/b.csv", "*/*.csv", False),
        ("_x=1/b.csv", "*/*.csv", True),
        ("a/_SUCCESS", "a/*", False),
    ],
)
def test_a_glob_means_what_a_shell_s_would(path: str, pattern: str, meant: bool) -> None:
    assert is_meant(PurePosixPath(path), pattern) is meant
