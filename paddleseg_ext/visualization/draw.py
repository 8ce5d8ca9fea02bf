"""Pictures of predictions: colors, overlays, legends.

Images are (H, W, 3) uint8 RGB, labels and predictions (H, W) class ids, palettes (K, 3) uint8 RGB as
`data.classes.palette` gives them. Text is drawn in a size that goes with the picture's width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from paddleseg_ext.data.image_io import PNG, make_folder_of, save_image
from paddleseg_ext.visualization.errors import error_map, evaluated
from paddleseg_ext.visualization.fonts import drawable, font_for

UNLABELED, VOID = (255, 255, 255), "not evaluated"  # color of ids that no class has, and what a legend calls them
PAPER, INK = (255, 255, 255), (20, 20, 20)
OPACITY = 0.4  # of colors laid over an image, as in PaddleSeg's `predict`
SMALLEST, LARGEST = 13, 40  # pixels of text
PER_TEXT = 80  # a picture is so many times as wide as its text is high, between these limits
PANEL = 320  # panels of a triptych, and pictures with a legend, are at least so wide
EDGE = 4  # pixels between panels
COLUMN = 20  # classes in a column of a table of them


def color(pred: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Paint each pixel in the color of its class; ids beyond the palette become white. Returns (H, W, 3)."""
    table = np.vstack([palette, np.array([UNLABELED])]).astype(np.uint8)
    return table[np.minimum(pred, len(palette))]


def overlay(image: np.ndarray, pred: np.ndarray, palette: np.ndarray, opacity: float = OPACITY) -> np.ndarray:
    """Lay the classes' colors over an image; pixels of no class stay as they are.

    Args:
        image: (H, W, 3) uint8 RGB.
        pred: (H, W) class ids.
        palette: (K, 3) uint8 RGB.
        opacity: Of the colors, from 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    blended = cv2.addWeighted(image, 1 - opacity, color(pred, palette), opacity, 0)
    return np.where((np.asarray(pred) < len(palette))[..., None], blended, image)


def legend(classes: Iterable[int], palette: np.ndarray, names: Sequence[str], width: int) -> np.ndarray:
    """Swatches and names of the given classes in as many lines as they need.

    Args:
        classes: Their ids.
        palette: (K, 3) uint8 RGB.
        names: Of the K classes.
        width: Of the result, in pixels; the text's size follows.

    Returns:
        (h, width, 3) uint8 RGB.
    """
    size, names, places = _text_size(width), drawable(names), []
    row, gap = _row(size), size // 2
    x, y = gap, gap // 2
    for i in classes:
        step = row + int(font_for(names[i], size).getlength(names[i])) + 2 * gap
        if x > gap and x + step > width:
            x, y = gap, y + row
        places.append((x, y, i))
        x += step
    canvas = Image.new("RGB", (width, y + row + gap // 2), PAPER)
    for x, y, i in places:
        _entry(canvas, (x, y), palette[i], names[i], size)
    return np.asarray(canvas)


def legend_table(palette: np.ndarray, names: Sequence[str], size: int = 16) -> np.ndarray:
    """All classes with their ids, down the columns of a table; `size` of the text in pixels. Returns (h, w, 3)."""
    names, row, gap = drawable(names), _row(size), size // 2
    font = font_for("0", size)
    columns = [range(first, min(first + COLUMN, len(names))) for first in range(0, len(names), COLUMN)]
    numbers = gap + int(font.getlength(str(len(names) - 1)))  # width of the ids
    widths = [
        numbers + gap + row + 2 * gap + max(int(font_for(names[i], size).getlength(names[i])) for i in ids)
        for ids in columns
    ]
    canvas = Image.new("RGB", (sum(widths), 2 * gap + row * min(len(names), COLUMN)), PAPER)
    for column, ids in enumerate(columns):
        x = sum(widths[:column]) + numbers
        for place, i in enumerate(ids):
            y = gap + place * row
            ImageDraw.Draw(canvas).text((x, y + row / 2), str(i), fill=INK, font=font, anchor="rm")
            _entry(canvas, (x + gap, y), palette[i], names[i], size)
    return np.asarray(canvas)


def add_legend(image: np.ndarray, classes: Iterable[int], palette: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """An image above the legend of some classes; at least 320 pixels wide.

    Args:
        image: (H, W, 3) uint8 RGB.
        classes: Ids of the classes.
        palette: (K, 3) uint8 RGB.
        names: Of the K classes.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    strip = legend(classes, palette, names, max(image.shape[1], PANEL))
    missing = strip.shape[1] - image.shape[1]
    return np.vstack([np.pad(image, ((0, 0), (0, missing), (0, 0)), constant_values=255), strip])


def occurring(pred: np.ndarray, palette: np.ndarray) -> list[int]:
    """The classes that occur, in the order of their ids."""
    return [int(i) for i in np.unique(pred) if 0 <= i < len(palette)]


def side_by_side(
    image: np.ndarray,
    label: np.ndarray,
    pred: np.ndarray,
    palette: np.ndarray,
    names: Sequence[str],
    titles: Sequence[str] = ("image", "truth", "prediction", "errors"),
) -> np.ndarray:
    """Image, label, prediction and errors side by side under their titles, over the legend of the classes in both.

    The image is enlarged by a whole factor where it is narrower than 320 pixels, so that it stays sharp.
    Where nothing is labeled the label is white, and so are the errors, which are red.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) class ids, or what is not evaluated.
        pred: (H, W) class ids.
        palette: (K, 3) uint8 RGB.
        names: Of the K classes.
        titles: Of the four pictures.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    factor = -(-PANEL // image.shape[1])
    panels = [image, color(label, palette), color(pred, palette), error_map(image, label, pred, len(palette))]
    if factor > 1:
        panels = [panel.repeat(factor, 0).repeat(factor, 1) for panel in panels]
    size = _text_size(len(panels) * panels[0].shape[1])
    titled = [np.vstack([_title(title, panel.shape[1], size), panel]) for title, panel in zip(titles, panels)]
    edge = np.full((titled[0].shape[0], EDGE, 3), 255, np.uint8)
    row = np.hstack([part for panel in titled for part in (panel, edge)][:-1])
    present = sorted({*occurring(label, palette), *occurring(pred, palette)})
    if not evaluated(label, len(palette)).all():
        present, names, palette = [*present, len(palette)], [*names, VOID], np.vstack([palette, [UNLABELED]])
    return np.vstack([row, legend(present, palette, names, row.shape[1])])


def save_color(path: str | Path, pred: np.ndarray, palette: np.ndarray) -> None:
    """Write class ids as a color PNG file: one with a palette, whose pixels are the ids, up to 256 classes.

    Args:
        path: Of the file, whose folder is made if it is missing.
        pred: (H, W) class ids.
        palette: (K, 3) uint8 RGB.
    """
    make_folder_of(path)
    if len(palette) > 256:
        save_image(path, color(pred, palette))
        return
    image = Image.fromarray(pred.astype(np.uint8)).convert("P")
    image.putpalette(np.vstack([palette, np.full((256 - len(palette), 3), 255)]).astype(np.uint8).tobytes())
    image.save(path, **PNG)


def _text_size(width: int) -> int:
    """Pixels of the text in a picture so wide."""
    return min(max(width // PER_TEXT, SMALLEST), LARGEST)


def _row(size: int) -> int:
    """Pixels from one line of text to the next."""
    return round(1.55 * size)


def _entry(canvas: Image.Image, place: tuple[int, int], swatch: np.ndarray, text: str, size: int) -> None:
    """Draw a class's color and its name at the left upper corner `place`."""
    (x, y), row, pen = place, _row(size), ImageDraw.Draw(canvas)
    inset = round(row * 0.16)
    box = (x, y + inset, x + row - 2 * inset, y + row - inset)
    pen.rectangle(box, fill=tuple(map(int, swatch)), outline=INK)
    pen.text((x + row, y + row / 2), text, fill=INK, font=font_for(text, size), anchor="lm")


def _title(text: str, width: int, size: int) -> np.ndarray:
    strip = Image.new("RGB", (width, _row(size)), PAPER)
    place = (width / 2, _row(size) / 2)
    ImageDraw.Draw(strip).text(place, text, fill=INK, font=font_for(text, size), anchor="mm")
    return np.asarray(strip)
