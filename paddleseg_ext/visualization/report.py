"""A page that shows an evaluation: what was evaluated, scores, confusions, the worst and the best images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from paddle import nn

from paddleseg_ext.data.image_io import save_image
from paddleseg_ext.data.sampler import files_of
from paddleseg_ext.evaluation.confusions import Confusion, strongest
from paddleseg_ext.evaluation.evaluate import EvalResult
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.evaluation.provenance import Provenance
from paddleseg_ext.visualization.charts import draw_classes, draw_confusion
from paddleseg_ext.visualization.comparisons import Compared, compared, file_name
from paddleseg_ext.visualization.draw import color, side_by_side
from paddleseg_ext.visualization.errors import error_map, evaluated
from paddleseg_ext.visualization.pages.page import color_of, drawing, photograph, write_page

WORST, BEST = 12, 4  # images
CONFUSIONS, EXAMPLES = 20, 2  # pairs of classes, and images of each
PANEL_WIDTH = 560  # pixels of a picture in the page; the files keep their size
BARS = ("IoU", "precision", "recall", "F1", "boundary IoU")


@dataclass
class Picture:
    """An image in the page.

    Attributes:
        index: In the data set.
        panels: Pictures by their titles, as data addresses.
        size: Their width and height, so that nothing moves when they appear.
        classes: Ids of those that occur.
        ignored: Whether it has pixels that are not evaluated.
        wrong: Fraction of the evaluated pixels.
    """

    index: int
    panels: Mapping[str, str]
    size: tuple[int, int]
    classes: Sequence[int]
    ignored: bool
    wrong: float


@dataclass
class Section:
    """Some of the images under a title; each image is in one section only, so that a link finds it.

    Attributes:
        id: Of the element in the page.
        title: A few words.
        indices: Of the images in the data set, in their order.
        pictures: Of these images.
    """

    id: str
    title: str
    indices: Sequence[int]
    pictures: list[Picture] = field(default_factory=list)


def write_report(
    folder: str | Path,
    result: EvalResult,
    model: nn.Layer,
    dataset: Any,
    names: Sequence[str],
    palette: np.ndarray,
    settings: Mapping[str, Any],
    provenance: Provenance,
) -> Path:
    """Write `confusion.png`, `classes.png`, `worst/*.png` and `index.html`, which needs none of the others.

    Args:
        folder: Made if it is missing.
        result: Of `evaluate(model, dataset, …, **settings)`.
        model: In PaddleSeg's form.
        dataset: Of validation images, in PaddleSeg's form.
        names: Of the classes.
        palette: (K, 3) uint8 RGB.
        settings: Arguments of `Predictor`.
        provenance: Of the result.

    Returns:
        The page.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    counts = result.matrix.counts
    draw_confusion(counts, names, folder / "confusion.png")
    draw_classes(result.class_iou, names, palette, folder / "classes.png")
    confusions = [(entry, _examples(result, entry)) for entry in strongest(counts, CONFUSIONS)]
    sections = _sections(result.image_miou, [index for _, images in confusions for index in images])
    places = {index: section for section in sections for index in section.indices}
    for found in compared(model, dataset, list(places), Predictor(**settings)):
        places[found.index].pictures.append(_picture(found, palette))
        if places[found.index].id == "worst":
            picture = side_by_side(found.image, found.label, found.pred, palette, names)
            save_image(folder / "worst" / file_name(dataset, found.index), picture)
    return write_page(
        folder / "index.html",
        "report.html",
        data=provenance.data,
        lines=provenance.lines(),
        configuration=yaml.safe_dump(provenance.to_dict()["effective"], sort_keys=False, allow_unicode=True),
        result=result,
        sections=sections,
        confusions=confusions,
        files={index: _name(dataset, index) for index in places},
        names=names,
        colors=[color_of(rgb) for rgb in palette],
        bars=BARS,
        **_classes(result),
    )


def _classes(result: EvalResult) -> dict[str, Any]:
    """What the page tells of each class."""
    counts = result.matrix.counts
    label, pred, total = counts.sum(1), counts.sum(0), max(int(counts.sum()), 1)
    metrics = result.metrics
    columns = {"IoU": metrics.iou, "precision": metrics.precision, "recall": metrics.recall, "F1": metrics.f1}
    if result.boundary is not None:
        columns["boundary IoU"] = result.boundary
    columns.update({"% of the truth": label / total, "% of the prediction": pred / total})
    occurs, ignored = (label + pred) > 0, int(result.matrix.ignored[0])
    return {
        "columns": columns,
        "present": np.flatnonzero(occurs).tolist(),
        "absent": np.flatnonzero(~occurs).tolist(),
        "ignored": ignored / (ignored + total),
        "share": np.divide(counts, label[:, None], out=np.zeros(counts.shape), where=label[:, None] > 0).tolist(),
    }


def _examples(result: EvalResult, entry: Confusion) -> list[int]:
    """The images that show a confusion best."""
    return [] if result.confused is None else result.confused.of(entry.label, entry.pred)[:EXAMPLES]


def _sections(image_miou: np.ndarray, examples: Sequence[int]) -> list[Section]:
    """Which images are shown, and where.

    Args:
        image_miou: (images,), NaN for those without a score.
        examples: Of confusions.
    """
    order = [int(i) for i in np.argsort(image_miou, kind="stable") if not np.isnan(image_miou[i])]
    worst = order[:WORST]
    best = [i for i in reversed(order[-BEST:]) if i not in worst]
    others = [i for i in dict.fromkeys(examples) if i not in (*worst, *best)]
    found = [
        Section("worst", "Worst images", worst),
        Section("best", "Best images", best),
        Section("examples", "Further images of confusions", others),
    ]
    return [section for section in found if section.indices]


def _picture(found: Compared, palette: np.ndarray) -> Picture:
    known = evaluated(found.label, len(palette))
    wrong = float((found.label != found.pred)[known].mean()) if known.any() else float("nan")
    small = found.at_most(PANEL_WIDTH)
    panels = {
        "image": photograph(small.image),
        "truth": drawing(color(small.label, palette)),
        "prediction": drawing(color(small.pred, palette)),
        "errors": drawing(error_map(small.image, small.label, small.pred, len(palette))),
    }
    classes = np.unique(np.concatenate([found.label[known], found.pred.reshape(-1)])).tolist()
    height, width = small.pred.shape
    return Picture(found.index, panels, (width, height), classes, not known.all(), wrong)


def _name(dataset: Any, index: int) -> str:
    """An image's file as the page calls it: below the data set's folder, if it is there."""
    file, root = str(files_of(dataset, index)[0]), str(getattr(dataset, "dataset_root", None) or "")
    inside = root and os.path.abspath(file).startswith(os.path.join(os.path.abspath(root), ""))
    return os.path.relpath(file, root) if inside else file
