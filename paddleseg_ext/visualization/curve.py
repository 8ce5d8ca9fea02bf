"""The course of a training run: scores, losses and learning rate over the iterations.

Records are those of ``metrics.jsonl``. The chart stays readable after long runs: many training losses become a median
in a band, values far from all others leave the axis and are counted at its edge, lines are broken where records are
missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddleseg_ext.data.image_io import make_folder_of
from paddleseg_ext.evaluation.metrics import Metrics

History = Sequence[Mapping[str, Any]]
BINS = 250  # intervals into which the training losses are put where there are more than twice as many
BROKEN = 3.5  # a line is broken where points lie so many times as far apart as usually
FAR = 10  # times the upper quartile: losses beyond it, if also far for their spread, leave the axis
LOGARITHMIC = 30  # times the smallest visible loss: from there on the axis is logarithmic
MOST_TICKS = 6
MARKED = 60  # evaluations up to which each has a marker


def plot_history(history: History, path: str | Path, metric: str = "miou") -> None:
    """Draw scores with the best one marked, losses and learning rate, each where there are any.

    Args:
        history: Records with `iter` and some of `loss`, `lr`, `val_loss`, `miou` and `resumed`; others are skipped.
        path: PNG file to write, its folder included.
        metric: What the best model is best in; drawn beside `miou`.
    """
    from matplotlib.figure import Figure  # takes half a second, and few callers draw

    panels = {"losses": 3}
    if any(len(points(history, key)[0]) for key in ("miou", metric)):
        panels = {"scores": 3, **panels}
    if len(points(history, "lr")[0]):
        panels["rate"] = 1
    figure = Figure(figsize=(9, 0.8 + 0.9 * sum(panels.values())), layout="constrained")
    sizes = {"height_ratios": list(panels.values())}
    grid = dict(zip(panels, figure.subplots(len(panels), sharex=True, squeeze=False, gridspec_kw=sizes)[:, 0]))
    resumed = points(history, "resumed")[1]
    for axes in grid.values():
        axes.grid(alpha=0.3)
        axes.margins(x=0.01)
        for iteration in resumed:
            axes.axvline(iteration, color="gray", linestyle=":", linewidth=1)
    if "scores" in grid:
        _draw_scores(grid["scores"], history, metric)
    _draw_losses(grid["losses"], history)
    if "rate" in grid:
        grid["rate"].plot(*broken(*points(history, "lr")), color="tab:red", linewidth=1)
        grid["rate"].set_ylabel("learning rate")
        grid["rate"].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    label_iterations(axes, "iteration" + (" (dotted: resumed)" if len(resumed) else ""))
    save(figure, path)


def points(history: History, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and values of the records that have a finite number under `key`; float64."""
    found = [(record["iter"], value) for record in history if finite(value := record.get(key))]
    return np.array([x for x, _ in found], np.float64), np.array([y for _, y in found], np.float64)


def finite(value: Any) -> bool:
    """Whether a value of a record is a number and neither infinite nor NaN."""
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def broken(x: np.ndarray, *lines: np.ndarray) -> tuple[np.ndarray, ...]:
    """Points (n,) and lines over them, with a NaN wherever points are missing between two neighbors."""
    steps = np.diff(x)
    gaps = np.flatnonzero(steps > BROKEN * np.median(steps)) + 1 if len(steps) else np.empty(0, int)
    return tuple(np.insert(values.astype(np.float64), gaps, np.nan) for values in (x, *lines))


def label_iterations(axes: Any, text: str = "iteration") -> None:
    """Iterations below an axis, with thousands apart."""
    axes.set_xlabel(text)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=MOST_TICKS, integer=True)


def save(figure: Any, path: str | Path) -> None:
    """Write a chart as a PNG file, making its folder."""
    make_folder_of(path)
    figure.savefig(path, format="png", dpi=120)


def _draw_scores(axes: Any, history: History, metric: str) -> None:
    """In percent, on an axis that fits them; the best one marked with its value."""
    for key, color in {metric: "tab:orange", "miou": "tab:orange" if metric == "miou" else "tab:purple"}.items():
        x, y = points(history, key)
        if len(x):
            marker = "o" if len(x) <= MARKED else None
            title = f"validation {Metrics.MEANS[key]}"
            axes.plot(*broken(x, 100 * y), color=color, marker=marker, markersize=3.5, linewidth=1.5, label=title)
    axes.set_ylabel("score, %")
    shown = 100 * np.concatenate([points(history, key)[1] for key in {metric, "miou"}])
    low, high = shown.min(), shown.max()
    if len(shown) >= 8:  # the first evaluations may lie far below all others
        quarters = np.percentile(shown, [25, 75])
        low = max(low, quarters[0] - 4 * (quarters[1] - quarters[0]) - 1)
    margin = max(0.08 * (high - low), 0.5)
    axes.set_ylim(low - margin, high + 2.5 * margin)  # room for what is written at the best one
    x, y = points(history, metric)
    if len(x):
        best = int(y.argmax())
        late = x[best] > (x[0] + x[-1]) / 2
        axes.plot(x[best], 100 * y[best], marker="*", markersize=13, color="black", linestyle="none", zorder=5)
        axes.annotate(
            f"best {100 * y[best]:.2f} at {x[best]:,.0f}",
            (x[best], 100 * y[best]),
            (-9 if late else 9, 7),
            textcoords="offset points",
            ha="right" if late else "left",
            fontsize=10,
        )
    _legend(axes)


def _draw_losses(axes: Any, history: History) -> None:
    x, y = points(history, "loss")
    if len(x) > 2 * BINS:
        x, (low, middle, high) = _binned(x, y)
        x, low, middle, high = broken(x, low, middle, high)
        axes.fill_between(x, low, high, color="tab:blue", alpha=0.25, linewidth=0)
        axes.plot(x, middle, color="tab:blue", linewidth=1.2, label="training loss (median; 10 to 90 % shaded)")
    elif len(x):
        axes.plot(*broken(x, y), color="tab:blue", linewidth=1.2, label="training loss")
    val_x, val_y = points(history, "val_loss")
    if len(val_x):
        marker = "o" if len(val_x) <= MARKED else None
        axes.plot(
            *broken(val_x, val_y), color="tab:green", marker=marker, markersize=3.5, label="validation loss (mask)"
        )
    axes.set_ylabel("loss")
    both_x, both = (np.concatenate(pair) for pair in zip(points(history, "loss"), (val_x, val_y)))
    if len(both):
        _scale_losses(axes, both_x, both)
    _legend(axes)


def _scale_losses(axes: Any, x: np.ndarray, y: np.ndarray) -> None:
    """Fit the axis to the losses that are not far from all others, and count those at its upper edge."""
    lower, upper = np.percentile(y, [25, 75])
    if lower > 0:
        end = upper * max(FAR, (upper / lower) ** 3)
    else:
        end = upper + FAR * (upper - lower)
    inside = y[y <= end]
    low, high = inside.min(), inside.max()
    if low > 0 and high > LOGARITHMIC * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.15, high * 1.15)
    else:
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        axes.set_ylim(low - margin, high + margin)
    if far := x[y > end].tolist():
        edge = axes.get_xaxis_transform()  # the height is a fraction of the chart's
        label = f"{len(far)} beyond the axis, up to {y.max():.3g}"
        axes.plot(far, [0.97] * len(far), "^", color="tab:red", markersize=5, transform=edge, label=label)


def _binned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean place (n,) of the points in each interval that has some, and their 10, 50, 90 % percentiles (3, n)."""
    places = np.minimum(BINS * (x - x[0]) // (x[-1] - x[0]), BINS - 1)
    groups = [places == place for place in np.unique(places)]
    return np.array([x[group].mean() for group in groups]), np.stack(
        [np.percentile(y[group], [10, 50, 90]) for group in groups], axis=1
    )


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 0.98), ncols=4, frameon=False, fontsize=9)
