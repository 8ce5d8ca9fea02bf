"""Drawing chosen images of a validation set: image, truth and prediction side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from paddle import nn

from paddleseg_ext.data.eval_loader import read
from paddleseg_ext.data.image_io import read_image
from paddleseg_ext.data.sampler import files_of
from paddleseg_ext.evaluation.predictor import Inference, evaluating
from paddleseg_ext.visualization.draw import save_picture, triptych


def draw_triptychs(
    model: nn.Layer,
    dataset: Any,
    indices: Sequence[int],
    folder: str | Path,
    names: Sequence[str],
    palette: np.ndarray,
    how: Inference,
) -> list[Path]:
    """Predict some images of `dataset` and write one PNG file for each, named as the image after its index.

    Args:
        indices: Which images, in the order of the result.
        names: Of the classes.
        palette: (K, 3) uint8 RGB.
        how: How the network is applied.
    """
    paths = []
    for index, picture in triptychs(model, dataset, indices, names, palette, how):
        stem = Path(files_of(dataset, index)[0]).stem
        paths.append(Path(folder, f"{index:05d}_{stem}.png"))
        save_picture(paths[-1], picture)
    return paths


def triptychs(
    model: nn.Layer,
    dataset: Any,
    indices: Sequence[int],
    names: Sequence[str],
    palette: np.ndarray,
    how: Inference,
    width: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield index and picture (h, w, 3) of some images; arguments as for `draw_triptychs`.

    Args:
        width: Wider images are reduced to it, so that the legend stays legible in a small picture.
    """
    with evaluating(model), closing(read(dataset, [[i] for i in indices])) as reader:
        for batch in reader:
            (pred,), (label,), (index,) = (
                how.predict(model, batch.images, batch.trans_infos),
                batch.labels,
                batch.indices,
            )
            file = files_of(dataset, index)[0]
            image = cv2.cvtColor(read_image(file), cv2.COLOR_BGR2RGB)
            pred = np.asarray(pred)
            truth = np.asarray(label).reshape(pred.shape)
            if width is not None and image.shape[1] > width:
                size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                truth, pred = (
                    cv2.resize(ids.astype("uint16"), size, interpolation=cv2.INTER_NEAREST) for ids in (truth, pred)
                )
            yield index, triptych(image, truth, pred, palette, names)


def evenly_spaced(total: int, count: int) -> list[int]:
    """At most `count` of the indices below `total`, from the first to the last."""
    return sorted({round(i) for i in np.linspace(0, total - 1, min(total, count))})
