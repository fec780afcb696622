"""A history.csv of any program."""

import pytest

from ml_pipeline.common.history import read_history


@pytest.mark.parametrize(
    "text",
    [
        "epoch,loss\n1,0.5\n2,0.25\n",
        "\ufeffepoch, loss\r\n1,0.5\r\n\r\n2,0.25\r\n",
        "epoch,loss\r1,0.5\r2,0.25\r",
        "epoch,loss\0\n1,0.5\n2,0.\x0025",
        f"epoch,loss,note\n1,0.5,{'x' * 200_000}\n2,0.25,a\n",
        "epoch,loss\n1,0.5,7,8\n2,0.25,9\n",
        'epoch,loss,"of\ntwo lines"\n1,0.5,a\n2,0.25,"b\nc"\n',
    ],
)
def test_the_numbers_of_each_row(text: str) -> None:
    assert read_history(text) == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]


def test_rows_without_a_header_are_all_rows() -> None:
    assert read_history("1,0.5\n2,0.25\n") == [
        {"column 1": 1, "column 2": 0.5},
        {"column 1": 2, "column 2": 0.25},
    ]


@pytest.mark.parametrize("text", ["", "\ufeff", "\n\n", "epoch,loss\n", "\0"])
def test_no_rows(text: str) -> None:
    assert read_history(text) == []


def test_a_cell_that_is_no_number_is_left_out() -> None:
    assert read_history("a,b,\n-,1e400,3\n,nan(),\n") == [{"b": float("inf")}, {}]
