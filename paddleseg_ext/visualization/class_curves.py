"""The IoU of each class over the iterations of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from paddleseg_ext.visualization.curve import MARKED, History, broken, finite, label_iterations, save
from paddleseg_ext.visualization.fonts import chart_fonts, chart_names

ALL = 24  # classes up to which all are drawn in one chart
FEW = 10  # of more classes so many in each of three charts
BRIGHTEST = 0.75  # of a line on white paper; brighter colors are darkened to it
LINE = 0.045  # of a chart's height: the least distance of two names


def plot_classes(history: History, path: str | Path, palette: np.ndarray | None = None) -> None:
    """Draw the IoU of each class; of more than 24 the highest, the lowest and those that changed most lately.

    Args:
        history: Records with `iter` and, those of evaluations, `classes`: the `iou` of each by name.
        path: PNG file to write, its folder included.
        palette: (K, 3) uint8 RGB, in the order of the classes; for the chart of all.
    """
    from matplotlib.figure import Figure

    evaluations = [record for record in history if record.get("classes")]
    names = list(dict.fromkeys(name for record in evaluations for name in record["classes"]))
    x = np.array([record["iter"] for record in evaluations])
    iou = np.full((len(x), len(names)), np.nan)  # percent
    for row, record in zip(iou, evaluations):
        for place, name in enumerate(names):
            if finite(value := record["classes"].get(name, {}).get("iou")):
                row[place] = 100 * value
    there = np.flatnonzero(np.isfinite(iou).any(0))
    shown = chart_names(names)
    if palette is not None and (len(there) > ALL or len(palette) != len(names)):
        palette = None  # too many colors to tell apart, or the history is of other classes, too
    with chart_fonts(shown):
        if len(there) <= ALL:
            figure = Figure(figsize=(9, max(4.5, 1.5 + 0.22 * len(there))), layout="constrained")
            charts = {"": {i: f"{shown[i]} {_last(iou[:, i]):.1f}" for i in there}}
        else:
            figure = Figure(figsize=(17, 5.5), layout="constrained")
            charts = _chosen(x, iou, there, shown)
        grid = figure.subplots(1, len(charts), sharey=True, squeeze=False)[0]
        for axes, (title, labels) in zip(grid, charts.items()):
            if len(charts) > 1:
                for i in there:
                    axes.plot(*broken(x, iou[:, i]), color="lightgray", linewidth=0.6, zorder=1)
            _draw(axes, x, iou, labels, palette)
            axes.set_title(title, fontsize=10)
            label_iterations(axes)
        grid[0].set_ylabel("IoU, %")
        save(figure, path)


def _chosen(x: np.ndarray, iou: np.ndarray, there: np.ndarray, names: list[str]) -> dict[str, dict[int, str]]:
    """Classes with what is written beside their lines, by the title of their chart."""
    last = np.array([_last(column) for column in iou.T])
    order = there[np.argsort(-last[there])]
    charts = {
        f"highest of {len(there)} classes": {i: f"{names[i]} {last[i]:.1f}" for i in order[:FEW]},
        f"lowest of {len(there)} classes": {i: f"{names[i]} {last[i]:.1f}" for i in order[-FEW:]},
    }
    if len(x) > 1:
        middle = (len(x) - 1) // 2
        change = last - iou[middle]
        changed = there[np.isfinite(change[there])]
        changed = changed[np.argsort(-np.abs(change[changed]))][:FEW]
        title = f"changed most since iteration {x[middle]:,}"
        charts[title] = {i: f"{names[i]} {last[i]:.1f} ({change[i]:+.1f})" for i in changed}
    return charts


def _draw(axes: Any, x: np.ndarray, iou: np.ndarray, labels: dict[int, str], palette: np.ndarray | None) -> None:
    """Lines of some classes; what is written at their ends keeps its distance."""
    ends = {i: _last(iou[:, i]) for i in labels}
    low, high = (float(np.nanmin(iou)), float(np.nanmax(iou))) if labels else (0.0, 100.0)
    margin = max(0.04 * (high - low), 0.5)
    axes.set_ylim(low - margin, high + margin)
    axes.grid(alpha=0.3)
    height = high - low + 2 * margin
    places = _spread([(value - low + margin) / height for value in ends.values()])
    for number, (i, place) in enumerate(zip(labels, places)):
        color: Any = f"C{number % 10}" if palette is None else _dark_enough(palette[i])
        marker = "o" if len(x) <= MARKED // 2 else None
        axes.plot(*broken(x, iou[:, i]), color=color, marker=marker, markersize=3, linewidth=1.5, zorder=2)
        axes.annotate(
            labels[i],
            (x[np.isfinite(iou[:, i])][-1], ends[i]),
            (1.04, place),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 1, "relpos": (0, 0.5), "shrinkB": 3},
        )


def _spread(places: list[float]) -> list[float]:
    """Heights 0…1 moved as little as needed so that neighbors are a line apart, in their order."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    line = min(LINE, 1 / max(len(places) - 1, 1))
    moved = list(places)
    for below, i in zip(order, order[1:]):
        moved[i] = max(moved[i], moved[below] + line)
    top = 1.0
    for i in reversed(order):
        moved[i] = top = min(moved[i], top)
        top -= line
    return moved


def _dark_enough(rgb: np.ndarray) -> tuple[float, ...]:
    color = np.asarray(rgb) / 255
    brightness = float(color @ [0.299, 0.587, 0.114])
    return tuple(color * min(1, BRIGHTEST / max(brightness, 1e-6)))


def _last(values: np.ndarray) -> float:
    """The last number in a column of an evaluation each."""
    return float(values[np.isfinite(values)][-1]) if np.isfinite(values).any() else np.nan
