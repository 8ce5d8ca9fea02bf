"""The pictures that go with tables: bars of comparisons, and lines of growth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import LogFormatterSciNotation  # noqa: E402

from benchmarks.tables import Row  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmarks.scale import Point

SERIES = {
    "speedup": "time, PaddleSeg / ours",
    "pytorch_speedup": "time, PyTorch / ours",
    "memory_gain": "memory, PaddleSeg / ours",
}
UNITS = {"time": ("ms", 1e3), "memory": ("MiB", 2**-20)}


def bars(rows: Sequence[Row], path: Path) -> None:
    """Draw how many times faster and leaner each row is, on a logarithmic axis; 1 is the peer."""
    keys = ("case", "backbone", "mode", "map", "image")
    labels = [", ".join(str(row[key]) for key in keys if key in row) for row in rows]
    values = {key: [_gain(row, key) for row in rows] for key in SERIES}
    values = {key: found for key, found in values.items() if any(found)}
    figure, axis = plt.subplots(figsize=(9, 1 + 0.18 * (len(values) + 0.1) * len(rows)))
    height = 0.8 / len(values)
    for number, (key, found) in enumerate(values.items()):
        drawn = [(place, value) for place, value in enumerate(found) if value]
        where = [place + (number + 0.5) * height - 0.4 for place, _ in drawn]
        boxes = axis.barh(where, [value for _, value in drawn], height=0.95 * height, label=SERIES[key])
        axis.bar_label(boxes, fmt="%.2f", padding=2, fontsize=7)
    axis.set_yticks(range(len(rows)), labels, fontsize=8)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.margins(x=0.1, y=0.01)
    axis.axvline(1.0, color="black", linewidth=0.8)
    axis.legend(loc="lower right", fontsize=8)
    _save(figure, path)


def _gain(row: Row, key: str) -> float:
    """The length of a bar; 0 where the row has none."""
    value = row.get("memory_ratio" if key == "memory_gain" else key) or 0
    return 1 / value if value and key == "memory_gain" else value


def growth(points: Sequence[Point], rows: Sequence[Row], path: Path) -> None:
    """Draw time and memory over pixels, both logarithmic, with the lines that formulas foretell.

    Args:
        points: What was measured.
        rows: What `scale.exponents` makes of them.
        path: Of the picture.
    """
    from benchmarks.scale import WINDOWS

    panels = list(dict.fromkeys((point.case == WINDOWS, point.mode) for point in points))
    figure, axes = plt.subplots(2, len(panels), figsize=(6 * len(panels), 9), squeeze=False)
    cases = list(dict.fromkeys(point.case for point in points))
    for column, (windows, mode) in enumerate(panels):
        shown = [point for point in points if (point.case == WINDOWS, point.mode) == (windows, mode)]
        for axis, what in zip(axes[:, column], UNITS):
            unit, factor = UNITS[what]
            axis.set_title(f"{what} of {'sliding windows' if windows else f'heads, {mode}'}")
            axis.set_xlabel("pixels of the picture" if windows else "pixels of the stride-8 map")
            axis.set_ylabel(unit)
            _lines(axis, shown, [row for row in rows if (row["mode"], row["what"]) == (mode, what)], factor, cases)
    figure.tight_layout()
    _save(figure, path)


def _lines(axis: Axes, points: Sequence[Point], rows: Sequence[Row], factor: float, cases: Sequence[str]) -> None:
    """Those of one panel, each with its formula's, dashed, through its first point."""
    from benchmarks.scale import formulas

    for case in dict.fromkeys(point.case for point in points):
        (row,) = (row for row in rows if row["case"] == case)
        line = [point for point in points if point.case == case]
        pixels, values = zip(*((point.pixels, factor * point.value(row["what"])) for point in line))
        formula, color = formulas(case)[row["what"]], f"C{cases.index(case)}"
        foretold = [formula.of(point.height, point.width) for point in line]
        axis.plot(
            pixels, values, "o-", color=color, label=f"{case}: pixels^{row['exponent']:.2f}; {formula.text} dashed"
        )
        scale = values[0] / foretold[0]
        axis.plot(pixels, [scale * value for value in foretold], "--", color=color, linewidth=0.8)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.grid(which="both", alpha=0.2)
    axis.legend(fontsize=7)
    if max(point.value(rows[0]["what"]) for point in points) < 2 * min(
        point.value(rows[0]["what"]) for point in points
    ):
        low, high = axis.get_ylim()
        axis.set_ylim(low / 3, 3 * high)  # a flat line is drawn as one
    axis.yaxis.set_major_formatter(LogFormatterSciNotation())


def _save(figure: plt.Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)
