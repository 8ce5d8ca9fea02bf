"""Lines over iterations for a page: everything but the drawing, which the page does as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 640, 300  # of the drawing
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 34  # margins
MOST = 800  # points of a line; more are averaged
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One run's.

    Attributes:
        run: Its position among the runs.
        points: ``x,y x,y …`` in the drawing.
        dots: (x, y, text) of points that are worth a mark each; none where there are many.
    """

    run: int
    points: str
    dots: Sequence[tuple[float, float, str]]


@dataclass(frozen=True)
class Chart:
    """A drawing of `WIDTH` × `HEIGHT`.

    Attributes:
        title: What is drawn.
        lines: One for each run that tells it.
        x_ticks: (x, text).
        y_ticks: (y, text).
        cut: Whether outliers above are left out of the drawing.
        width: Of the drawing, as all that follows in its own units, which are pixels unless a page enlarges it.
        height: Of the drawing.
        left: Where the vertical axis stands.
        right: Where the lines end.
        top: Where the largest value lies.
        bottom: Where the horizontal axis stands.
    """

    title: str
    lines: Sequence[Line]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    cut: bool
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def line_chart(title: str, runs: Mapping[int, Points], form: str = "g", robust: bool = False) -> Chart | None:
    """Lines of some runs; None where there is not a point.

    Args:
        title: What is drawn.
        runs: (iteration, value) by the run's position.
        form: Of a value as text.
        robust: Let the axis end above most values, so that a few outliers do not flatten all the others.
    """
    runs = {run: points for run, points in runs.items() if points}
    if not runs:
        return None
    values = np.array([value for points in runs.values() for _, value in points])
    last = max(x for points in runs.values() for x, _ in points)
    low, high, cut = _range(values, robust)
    x_ticks, y_ticks = _ticks(0, last), _ticks(low, high)
    high = max(high, y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        right, down = x / max(last, 1), (high - y) / (high - low)
        return (
            round(LEFT + right * (WIDTH - LEFT - RIGHT), 1),
            round(TOP + down * (HEIGHT - TOP - BOTTOM), 1),
        )

    lines = []
    for run, points in runs.items():
        marked = [(*place(x, y), f"{y:{form}} at {x:g}") for x, y in points] if len(points) <= 60 else []
        drawn = [place(x, y) for x, y in _thinned(points)]
        lines.append(Line(run, " ".join(f"{x},{y}" for x, y in drawn), marked))
    return Chart(
        title,
        lines,
        [(place(x, low)[0], f"{x:g}") for x in x_ticks],
        [(place(0, y)[1], f"{y:g}") for y in y_ticks],
        cut,
    )


def _range(values: np.ndarray, robust: bool) -> tuple[float, float, bool]:
    """Lower and upper end of the axis, and whether something is above."""
    low, high, cut = float(values.min()), float(values.max()), False
    if robust and len(values) > 10:
        most = float(np.quantile(values, 0.97))
        if high - low > 1.5 * (most - low) > 0:
            high, cut = most + 0.1 * (most - low), True
    if low == high:
        low, high = low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
    return low - 0.03 * (high - low) if low > 0 else low, high, cut


def _ticks(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [round(float(tick), 12) for tick in found if low - 1e-12 <= tick <= high + 1e-12] or [low]


def _thinned(points: Points) -> Points:
    if len(points) <= MOST:
        return points
    return [tuple(part.mean(0)) for part in np.array_split(np.array(points, float), MOST)]
