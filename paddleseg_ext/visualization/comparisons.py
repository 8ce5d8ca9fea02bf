"""Drawing chosen images of a validation set: image, label, prediction and errors side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from paddle import nn

from paddleseg_ext.data.checks import channels_of
from paddleseg_ext.data.eval_loader import read
from paddleseg_ext.data.image_io import read_image, save_image, to_rgb
from paddleseg_ext.data.sampler import files_of
from paddleseg_ext.evaluation.lanes import predict_each
from paddleseg_ext.evaluation.predictor import Predictor, evaluating
from paddleseg_ext.visualization.draw import side_by_side


def draw_comparisons(
    model: nn.Layer,
    dataset: Any,
    indices: Sequence[int],
    folder: str | Path,
    names: Sequence[str],
    palette: np.ndarray,
    predictor: Predictor,
) -> list[Path]:
    """Predict some images of `dataset` and write one PNG file for each, named as the image after its index.

    Args:
        model: In PaddleSeg's form.
        dataset: Of validation images, in PaddleSeg's form.
        indices: Which images, in the order of the result.
        folder: Where the files go.
        names: Of the classes.
        palette: (K, 3) uint8 RGB.
        predictor: How the network is applied.
    """
    paths = []
    for index, image in comparisons(model, dataset, indices, names, palette, predictor):
        paths.append(Path(folder, file_name(dataset, index)))
        save_image(paths[-1], image)
    return paths


def file_name(dataset: Any, index: int) -> str:
    """What the picture of an image is called, after its index and the image."""
    return f"{index:05d}_{Path(files_of(dataset, index)[0]).stem}.png"


def comparisons(
    model: nn.Layer,
    dataset: Any,
    indices: Sequence[int],
    names: Sequence[str],
    palette: np.ndarray,
    predictor: Predictor,
    width: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield index and picture (h, w, 3) of some images, as `side_by_side` draws them.

    Args:
        model: In PaddleSeg's form.
        dataset: Of validation images, in PaddleSeg's form.
        indices: Which images, in the order of the result.
        names: Of the classes.
        palette: (K, 3) uint8 RGB.
        predictor: How the network is applied.
        width: In pixels; wider images are reduced to it, so that the legend stays legible in a small image.
    """
    for found in compared(model, dataset, indices, predictor):
        shown = found if width is None else found.at_most(width)
        yield shown.index, side_by_side(shown.image, shown.label, shown.pred, palette, names)


@dataclass(frozen=True)
class Compared:
    """An image with what is true and what was predicted.

    Attributes:
        index: In the data set.
        image: (H, W, 3) uint8 RGB.
        label: (H, W) class ids, or what is not evaluated.
        pred: (H, W) class ids.
    """

    index: int
    image: np.ndarray
    label: np.ndarray
    pred: np.ndarray

    def at_most(self, width: int) -> Compared:
        """The same, reduced where it is wider than so many pixels."""
        if self.image.shape[1] <= width:
            return self
        size = (width, max(1, round(self.image.shape[0] * width / self.image.shape[1])))
        label, pred = (
            cv2.resize(ids.astype("uint16"), size, interpolation=cv2.INTER_NEAREST) for ids in (self.label, self.pred)
        )
        return Compared(self.index, cv2.resize(self.image, size, interpolation=cv2.INTER_AREA), label, pred)


def compared(model: nn.Layer, dataset: Any, indices: Sequence[int], predictor: Predictor) -> Iterator[Compared]:
    """Predict some images, one after the other.

    Args:
        model: In PaddleSeg's form.
        dataset: Of validation images, in PaddleSeg's form.
        indices: Which images, in the order of the result.
        predictor: How the network is applied.
    """
    reader = read(dataset, [[i] for i in indices])
    predicted = predict_each(predictor, model, reader)
    with evaluating(model), closing(reader), closing(predicted):
        for batch, ((pred, _),) in predicted:
            (label,), (index,) = batch.labels, batch.indices
            file = files_of(dataset, index)[0]
            image = to_rgb(read_image(file, channels_of(dataset), getattr(dataset, "image_range", None)))
            pred = np.asarray(pred)
            yield Compared(index, image, np.asarray(label).reshape(pred.shape), pred)


def evenly_spaced(total: int, count: int) -> list[int]:
    """At most `count` of the indices below `total`, from the first to the last."""
    return sorted({round(i) for i in np.linspace(0, total - 1, min(total, count))})
