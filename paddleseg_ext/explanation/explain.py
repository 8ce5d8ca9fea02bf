"""An explanation of what a network does with an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.data.image_io import to_rgb
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation import score_maps
from paddleseg_ext.evaluation.predictor import evaluating, restore
from paddleseg_ext.evaluation.task import ImageLike, Task
from paddleseg_ext.explanation import general
from paddleseg_ext.explanation.findings import Findings
from paddleseg_ext.explanation.geometry import Geometry, grid
from paddleseg_ext.explanation.page import write_page
from paddleseg_ext.explanation.pictures import write_pictures
from paddleseg_ext.explanation.registry import explain_head
from paddleseg_ext.explanation.view import View, array
from paddleseg_ext.registry import closest
from paddleseg_ext.segmentor import EncoderDecoder

GRID = (12, 9)  # columns and rows of pixels, unless some are chosen
FIELDS = (4, 3)  # of those whose gradient is taken, which costs a backward pass each
MOST_PIXELS = 400
CLASSES = 8  # that are shown of those predicted, largest first


class Explanation(Findings):
    """What `explain` found: ``explanation["section"]["finding"].values`` are the numbers; see `Findings`."""

    def save(self, folder: str | Path, pictures: bool = False) -> Path:
        """Write ``index.html``, which needs nothing else, and on demand each map as a PNG file under ``pictures/``.

        Returns:
            The page.

        Raises:
            UserError: The folder cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if pictures:
                write_pictures(folder / "pictures", self.image, self.sections, self.classes)
            return write_page(folder / "index.html", self)
        except OSError as error:
            raise UserError(f"`save_dir` {folder}: nothing can be written there ({error.strerror})") from error


def explain(
    network: nn.Layer,
    task: Task,
    image: ImageLike,
    pixels: Sequence[Sequence[int]] | None = None,
    *,
    classes: Sequence[str | int] | None = None,
    grid_size: Sequence[int] = GRID,
) -> Explanation:
    """What a network does with an image: its head's own part, then what can be said of any network.

    The network sees the prepared image once and whole, without windows, scales and flips.

    Args:
        network: An `EncoderDecoder`; of any other network in PaddleSeg's form the general part is told.
        task: What it was trained for.
        image: As `Task.read` takes it.
        pixels: (x, y) of those asked about, in pixels of the image; by default a grid.
        classes: Names or ids of those asked about; by default those predicted, largest first, at most 8.
        grid_size: Columns and rows of the grid.

    Raises:
        UserError: The image cannot be read, a pixel lies outside, or a class is unknown.
    """
    picture = task.read(image)
    size = picture.shape[:2]
    chosen = grid(size, *_grid_size(grid_size)) if pixels is None else _pixels(pixels, size)
    known = None if classes is None else [_class(given, task.classes) for given in classes]
    sample = task.prepared(picture)
    with evaluating(network), general.frozen(network):
        trace = general.Trace(network, paddle.to_tensor(sample["img"][None]), len(task.classes))
        geometry = _geometry(network, size, sample, chosen)
        logits = array(trace.logits)[0]
        restored = restore(score_maps.from_tensor(trace.logits.detach()), sample["trans_info"])
        pred = np.asarray(score_maps.argmax(restored[0]))
        asked = known if known is not None else _commonest(pred, len(task.classes))
        head = network.decode_head if isinstance(network, EncoderDecoder) else None
        view = View(lambda: head and head(trace.feats), geometry, task.classes, _at(logits, geometry), pred, asked)
        sections = [general.scores(view)]
        sections += explain_head(head, view) if head is not None else []
        few = grid(size, *(min(pair) for pair in zip(_grid_size(grid_size), FIELDS))) if pixels is None else chosen
        fewer = _geometry(network, size, sample, few)
        sections.append(general.receptive_field(trace, fewer, _at(logits, fewer).argmax(1)))
        activation = general.class_activation(trace, view)
        sections += [activation] if activation else []
    name = Path(image).name if isinstance(image, (str, Path)) else "an image"
    kind = type(head).__name__ if head is not None else type(network).__name__
    return Explanation(
        np.ascontiguousarray(to_rgb(picture)),
        pred,
        chosen,
        asked,
        list(task.classes),
        task.palette,
        sections,
        f"{kind} on {name}",
        _notes(task, size, logits.shape[1:]),
    )


def _geometry(network: nn.Layer, size: Sequence[int], sample: dict[str, Any], pixels: np.ndarray) -> Geometry:
    multiple = getattr(getattr(network, "maps", None), "multiple", 1)
    align_corners = bool(getattr(network, "align_corners", False))
    return Geometry(size, sample["trans_info"], sample["img"].shape[1:], multiple, pixels, align_corners)


def _at(logits: np.ndarray, geometry: Geometry) -> np.ndarray:
    """(P, K): logits (K, h, w) of the network's output at the pixels."""
    rows, columns = geometry.taps
    return np.einsum("ph,khw,pw->pk", rows, logits, columns, optimize=True)


def _commonest(pred: np.ndarray, num_classes: int) -> list[int]:
    counts = np.bincount(pred.ravel(), minlength=num_classes)
    return [int(k) for k in np.argsort(-counts, kind="stable")[:CLASSES] if counts[k]]


def _pixels(pixels: Any, size: Sequence[int]) -> np.ndarray:
    """Pixels as an array (P, 2).

    Raises:
        UserError: They are none, or one lies outside.
    """
    height, width = size
    listed = [tuple(pixel) if isinstance(pixel, (tuple, list, np.ndarray)) else (pixel,) for pixel in pixels]
    if not listed or len(listed) > MOST_PIXELS:
        raise UserError(f"`pixels`: {len(listed)} are not allowed; it takes 1 to {MOST_PIXELS} pairs of x and y")
    for pixel in listed:
        if len(pixel) != 2 or not all(isinstance(n, (int, np.integer)) for n in pixel):
            raise UserError(
                f"`pixels`: {' '.join(map(str, pixel))} is not allowed; a pixel is two whole numbers, x and y"
            )
        if not (0 <= pixel[0] < width and 0 <= pixel[1] < height):
            raise UserError(
                f"`pixels`: {pixel[0]} {pixel[1]} lies outside the image of {width}×{height}; x is 0…{width - 1}, "
                f"y is 0…{height - 1}"
            )
    return np.array(list(dict.fromkeys(listed)), int)


def _grid_size(grid_size: Sequence[int]) -> tuple[int, int]:
    fits = len(grid_size) == 2 and all(isinstance(n, (int, np.integer)) and n >= 1 for n in grid_size)
    if not fits or grid_size[0] * grid_size[1] > MOST_PIXELS:
        raise UserError(
            f"`grid`: {' '.join(map(str, grid_size))} is not allowed; it is columns and rows, at most {MOST_PIXELS} "
            "pixels"
        )
    return int(grid_size[0]), int(grid_size[1])


def _class(given: str | int, classes: Sequence[str]) -> int:
    """The id of a class.

    Raises:
        UserError: There is none of this name or id.
    """
    if given in classes:
        return list(classes).index(str(given))
    if str(given).isdecimal() and int(given) < len(classes):
        return int(given)
    hint = closest(str(given), classes) or f"; they are {', '.join(classes[:20])}{', …' if len(classes) > 20 else ''}"
    raise UserError(f"`classes`: {str(given)!r} is no class of the network{hint}")


def _notes(task: Task, size: Sequence[int], prepared: Sequence[int]) -> list[str]:
    notes = []
    if tuple(size) != tuple(prepared):
        notes.append(f"The image has {size[1]}×{size[0]} pixels, and the network saw {prepared[1]}×{prepared[0]}.")
    if task.test_config.get("is_slide") or task.test_config.get("aug_eval"):
        notes.append("The network saw it once and whole; the windows, scales and flips of its test were left out.")
    return notes
