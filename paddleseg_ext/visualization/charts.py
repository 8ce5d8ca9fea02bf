"""Charts of an evaluation: what each class is taken for, and its IoU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from paddleseg_ext.evaluation.metrics import percent
from paddleseg_ext.visualization.fonts import with_fonts

LEGIBLE = 40  # classes up to which cells of the confusion matrix carry numbers


@with_fonts
def draw_confusion(counts: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Draw for each true class (row) what it was predicted as, in percent of its pixels.

    Args:
        counts: (K, K) pixels, a row per true class.
        names: Of the K classes.
        path: Of the PNG file.
    """
    totals = counts.sum(1, keepdims=True)
    share = np.divide(100 * counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    size = 3 + 0.32 * len(names)
    figure = Figure(figsize=(size + 1, size))
    axes = figure.add_subplot(xlabel="prediction", ylabel="truth")
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_facecolor("lightgray")  # classes that are nowhere true
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    if len(names) <= LEGIBLE:
        for i, j in np.argwhere(share >= 0.5):
            shade = "white" if share[i, j] > 50 else "black"
            axes.text(j, i, f"{share[i, j]:.0f}", ha="center", va="center", fontsize=7, color=shade)
    figure.colorbar(picture, ax=axes, shrink=0.6, label="% of the true class's pixels")
    figure.savefig(path, format="png", dpi=100, bbox_inches="tight")


@with_fonts
def draw_classes(iou: np.ndarray, names: Sequence[str], palette: np.ndarray, path: Path) -> None:
    """Draw a bar of each class's IoU, best first, in the class's color; classes without one come last.

    Args:
        iou: (K,) fractions, NaN where there is none.
        names: Of the K classes.
        palette: (K, 3) uint8 RGB.
        path: Of the PNG file.
    """
    order = np.argsort(-iou)  # NaN last
    figure = Figure(figsize=(8, 1.5 + 0.24 * len(names)))
    axes = figure.add_subplot(xlabel="IoU, %", xlim=(0, 110))
    axes.barh(range(len(order)), 100 * np.nan_to_num(iou[order]), color=palette[order] / 255, edgecolor="black", lw=0.5)
    for row, i in enumerate(order):
        axes.text(100 * np.nan_to_num(iou[i]) + 1, row, percent(iou[i]), va="center", fontsize=8)
    axes.set_yticks(range(len(order)), [names[i] for i in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    figure.savefig(path, format="png", dpi=100, bbox_inches="tight")
