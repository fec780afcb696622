"""Numbers, intervals and differences as people read them."""

import pytest

from ml_pipeline.common.wording import difference, number, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8612, "0.8612"),
        (0.9, "0.9"),
        (12, "12"),
        (431.53, "431.5"),
        (1e-7, "1e-07"),
        (-0.5, "-0.5"),
        (0, "0"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("ends", "text"), [((0.865, 0.87721), " [0.865, 0.8772]"), ((1.0, 1.0), ""), (None, "")]
)
def test_shown(ends: tuple[float, float] | None, text: str) -> None:
    assert shown(ends) == text


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"value": 0.01, "interval": None}, "+0.01"),
        ({"value": -0.01, "interval": [-0.02, None]}, "-0.01"),
        ({"value": 0, "interval": [-0.02, 0.02]}, "0 [-0.02, 0.02]"),
        ({"value": None, "interval": None}, ""),
        (None, ""),
    ],
)
def test_difference(found: dict[str, object] | None, text: str) -> None:
    assert difference(found) == text
