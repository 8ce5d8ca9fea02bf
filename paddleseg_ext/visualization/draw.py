"""Pictures of predictions, and the curve of a training run.

Images are (H, W, 3) uint8 RGB, labels and predictions (H, W) class ids, palettes (K, 3) uint8 RGB as
`data.classes.palette` gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from paddleseg_ext.data.image_io import make_folder_of, save_image
from paddleseg_ext.visualization.errors import error_map, evaluated

UNLABELED, VOID = (255, 255, 255), "not evaluated"  # color of ids that no class has, and what a legend calls them
PAPER, INK = (255, 255, 255), (20, 20, 20)
FONT_SIZE, ROW, GAP = 13, 20, 8  # pixels
PANEL = 320  # panels of a triptych are at least so wide


def color(pred: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Paint each pixel in the color of its class; ids beyond the palette become white. Returns (H, W, 3)."""
    table = np.vstack([palette, np.array([UNLABELED])]).astype(np.uint8)
    return table[np.minimum(pred, len(palette))]


def overlay(image: np.ndarray, pred: np.ndarray, palette: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Lay the classes' colors over an image; pixels of no class stay as they are. Returns (H, W, 3)."""
    blended = cv2.addWeighted(image, 1 - opacity, color(pred, palette), opacity, 0)
    return np.where((np.asarray(pred) < len(palette))[..., None], blended, image)


def legend(classes: Iterable[int], palette: np.ndarray, names: Sequence[str], width: int) -> np.ndarray:
    """Swatches and names of the given classes in as many lines as they need. Returns (h, width, 3)."""
    font, places, x, y = _font(), [], GAP, GAP // 2
    for i in classes:
        step = ROW + int(font.getlength(names[i])) + 2 * GAP
        if x > GAP and x + step > width:
            x, y = GAP, y + ROW
        places.append((x, y, i))
        x += step
    canvas = Image.new("RGB", (width, y + ROW + GAP // 2), PAPER)
    pen = ImageDraw.Draw(canvas)
    for x, y, i in places:
        pen.rectangle((x, y + 3, x + ROW - 6, y + ROW - 4), fill=tuple(map(int, palette[i])), outline=INK)
        pen.text((x + ROW, y + 2), names[i], fill=INK, font=font)
    return np.asarray(canvas)


def add_legend(image: np.ndarray, pred: np.ndarray, palette: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A image above the legend of the classes that occur in `pred`; at least 320 wide. Returns (h, w, 3)."""
    width = max(image.shape[1], PANEL)
    image = np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=255)
    return np.vstack([image, legend(_present(pred, palette), palette, names, width)])


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
    Where nothing is labeled the label is white, and so are the errors, which are red. Returns (h, w, 3).
    """
    factor = -(-PANEL // image.shape[1])
    panels = [image, color(label, palette), color(pred, palette), error_map(image, label, pred, len(palette))]
    if factor > 1:
        panels = [panel.repeat(factor, 0).repeat(factor, 1) for panel in panels]
    titled = [np.vstack([_title(title, panel.shape[1]), panel]) for title, panel in zip(titles, panels)]
    edge = np.full((titled[0].shape[0], GAP // 2, 3), 255, np.uint8)
    row = np.hstack([part for panel in titled for part in (panel, edge)][:-1])
    present = sorted({*_present(label, palette), *_present(pred, palette)})
    if not evaluated(label, len(palette)).all():
        present, names, palette = [*present, len(palette)], [*names, VOID], np.vstack([palette, [UNLABELED]])
    return np.vstack([row, legend(present, palette, names, row.shape[1])])


def save_color(path: str | Path, pred: np.ndarray, palette: np.ndarray) -> None:
    """Write class ids as a color PNG file: one with a palette, whose pixels are the ids, up to 256 classes."""
    make_folder_of(path)
    if len(palette) > 256:
        save_image(path, color(pred, palette))
        return
    image = Image.fromarray(pred.astype(np.uint8)).convert("P")
    image.putpalette(np.vstack([palette, np.full((256 - len(palette), 3), 255)]).astype(np.uint8).tobytes())
    image.save(path, format="PNG")


def plot_history(history: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw the training loss, and the validation loss and mIoU where there are, over the iterations.

    Args:
        history: Records with `iter` and some of `loss`, `val_loss` and `miou`; others are skipped.
        path: PNG file to write, its folder included.
    """
    from matplotlib.figure import Figure  # takes half a second, and few callers draw

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="iteration")
    axes.grid(alpha=0.3)
    lines = _line(axes, history, "loss", "training loss", "tab:blue")
    lines += _line(axes, history, "val_loss", "validation loss (mask)", "tab:green", marker="o")
    axes.set_ylabel("loss", color="black")
    if any(_number(record.get("miou")) for record in history):
        right = axes.twinx()
        right.set_ylim(0, 1)
        lines += _line(right, history, "miou", "validation mIoU", "tab:orange", marker="o")
    if lines:
        axes.legend(handles=lines, loc="upper center", ncols=3, frameon=False, bbox_to_anchor=(0.5, 1.12))
    make_folder_of(path)
    figure.savefig(path, format="png", dpi=120)


def _line(axes: Any, history: Sequence[Mapping[str, Any]], key: str, label: str, color: str, **style: Any) -> list[Any]:
    points = [(record["iter"], record[key]) for record in history if _number(record.get(key))]
    if not points:
        return []
    axes.set_ylabel(label, color=color)
    return axes.plot(*zip(*points), color=color, label=label, **style)


def _number(value: Any) -> bool:
    return value is not None and bool(np.isfinite(value))


def _present(pred: np.ndarray, palette: np.ndarray) -> list[int]:
    return [int(i) for i in np.unique(pred) if 0 <= i < len(palette)]


def _title(text: str, width: int) -> np.ndarray:
    strip = Image.new("RGB", (width, ROW), PAPER)
    font = _font()
    ImageDraw.Draw(strip).text(((width - font.getlength(text)) / 2, 2), text, fill=INK, font=font)
    return np.asarray(strip)


@cache
def _font() -> ImageFont.FreeTypeFont:
    # matplotlib brings DejaVu Sans; Pillow before 10.1 has no scalable font of its own
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), FONT_SIZE)
