"""A page that shows an evaluation: numbers, charts and the images on which the network did worst."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from matplotlib.figure import Figure
from paddle import nn

from paddleseg_ext.data.sampler import files_of
from paddleseg_ext.evaluation.evaluate import EvalResult
from paddleseg_ext.evaluation.metrics import percent
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.visualization.comparisons import draw_comparisons
from paddleseg_ext.visualization.fonts import with_fonts

TEMPLATE = Path(__file__).with_name("report.html")
WORST = 12  # images
PAGE_WIDTH = 1500  # pixels of a picture in the page; the files keep their size
LEGIBLE = 40  # classes up to which cells of the confusion matrix carry numbers


def write_report(
    folder: str | Path,
    result: EvalResult,
    model: nn.Layer,
    dataset: Any,
    names: Sequence[str],
    palette: np.ndarray,
    settings: Mapping[str, Any],
) -> Path:
    """Write `confusion.png`, `classes.png`, `worst/*.png` and `index.html`, which needs none of the others.

    Args:
        folder: Made if it is missing.
        model: In PaddleSeg's form.
        dataset: Of validation images, in PaddleSeg's form.
        result: Of `evaluate(model, dataset, …, **settings)`.
        names: Of the classes.
        palette: (K, 3) uint8 RGB.
        settings: Arguments of `Predictor`.

    Returns:
        The page.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    draw_confusion(result.matrix.counts, names, folder / "confusion.png")
    draw_classes(result.class_iou, names, palette, folder / "classes.png")
    # images in which nothing is labeled have no score, and come last in numpy's order
    worst = [int(i) for i in np.argsort(result.image_miou)[:WORST] if not np.isnan(result.image_miou[i])]
    pictures = draw_comparisons(model, dataset, worst, folder / "worst", names, palette, Predictor(**settings))
    columns = {"IoU": result.class_iou, "precision": result.metrics.precision, "recall": result.metrics.recall}
    columns["F1"] = result.metrics.f1
    if result.boundary is not None:
        columns["boundary IoU"] = result.boundary
    environment = jinja2.Environment(autoescape=True)
    environment.filters["percent"] = percent
    page = environment.from_string(TEMPLATE.read_text("utf-8")).render(
        data=type(dataset).__name__,
        result=result,
        date=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        settings=", ".join(f"{key} {value}" for key, value in settings.items()) or "whole images",
        means=result.metrics.means(),
        columns=columns,
        classes=[(name, f"rgb{tuple(rgb)}") for name, rgb in zip(names, palette.tolist())],
        charts=[_embed(folder / "classes.png"), _embed(folder / "confusion.png")],
        worst=[
            (files_of(dataset, i)[0], result.image_miou[i], _embed(path, PAGE_WIDTH))
            for i, path in zip(worst, pictures)
        ],
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    return folder / "index.html"


@with_fonts
def draw_confusion(counts: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Draw for each true class (row) what it was predicted as, in percent of its pixels; PNG file."""
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
    """Draw a bar of each class's IoU, best first, in the class's color; classes without one come last. PNG file."""
    order = np.argsort(-iou)  # NaN last
    figure = Figure(figsize=(8, 1.5 + 0.24 * len(names)))
    axes = figure.add_subplot(xlabel="IoU, %", xlim=(0, 110))
    axes.barh(range(len(order)), 100 * np.nan_to_num(iou[order]), color=palette[order] / 255, edgecolor="black", lw=0.5)
    for row, i in enumerate(order):
        axes.text(100 * np.nan_to_num(iou[i]) + 1, row, percent(iou[i]), va="center", fontsize=8)
    axes.set_yticks(range(len(order)), [names[i] for i in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    figure.savefig(path, format="png", dpi=100, bbox_inches="tight")


def _embed(path: Path, width: int | None = None) -> str:
    """A picture as a data address; with a `width`, at most so wide and compressed like a photograph."""
    if width is None:
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    picture = cv2.imread(str(path))
    if picture.shape[1] > width:
        picture = cv2.resize(
            picture, (width, picture.shape[0] * width // picture.shape[1]), interpolation=cv2.INTER_AREA
        )
    code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return "data:image/jpeg;base64," + base64.b64encode(code.tobytes()).decode()
