"""Growth is fitted on logarithms and held against formulas."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import scale
from paddleseg_ext.evaluation.sliding_window import window_starts
from paddleseg_ext.inspection.analysis.timing import Timing


def points(case: str, power: float, fixed: float = 0.0) -> list[scale.Point]:
    """Of square maps, whose time and memory grow with a power of the pixels beside what is fixed."""
    values = [(side, fixed + 1e3 * side ** (2 * power)) for side in (16, 32, 64, 128)]
    return [scale.Point(case, "training", side, side, Timing([value]), int(value)) for side, value in values]


@pytest.mark.parametrize(
    ("case", "power", "faster"),
    [
        ("PSPHead", 1.0, "no"),
        ("PSPHead", 1.2, "FASTER"),
        ("CCHead", 1.2, "no"),
        ("CCHead", 1.5, "no"),
        ("CCHead", 1.7, "FASTER"),
    ],
)
def test_exponents_are_those_of_powers(case: str, power: float, faster: str) -> None:
    time, memory = scale.exponents(points(case, power))
    assert time["exponent"] == time["at_the_end"] == pytest.approx(power)
    assert memory["exponent"] == pytest.approx(power, abs=0.01)
    assert time["formula_exponent"] == (1.5 if case == "CCHead" else 1.0)
    assert time["faster"] == memory["faster"] == faster
    assert ("FASTER than" in scale.verdict(time)) == (faster == "FASTER")


def test_what_is_fixed_does_not_hide_the_growth() -> None:
    row = next(scale.exponents(points("PSPHead", 1.3, fixed=1e7)))
    assert row["exponent"] < 1.1 < row["at_the_end"] and row["faster"] == "FASTER"


def test_windows_are_as_many_for_each_megapixel() -> None:
    (_, top), (_, down) = scale.CROP, scale.STRIDE
    counts = [len(window_starts(number * scale.PICTURE[0], top, down)) for number in (1, 2, 7, 64)]
    assert counts == [3 * number for number in (1, 2, 7, 64)]
    assert 0.95e6 < scale.PICTURE[0] * scale.PICTURE[1] < 1.05e6


def test_arrays_are_counted_beside_tensors() -> None:
    count = 10**6
    assert count <= scale.peak_with_arrays(lambda: np.ones(count, np.uint8)) < 2 * count
