"""Labels: class ids of pixels, read from files. Everything that reads a label reads it here.

Whatever the file holds (1 to 32 bits, a palette, whole-numbered floats, a NumPy array), the ids come out as uint8 or
int32, the types that Paddle carries through a loader unharmed: of uint16 it makes bfloat16, and then every id is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from paddleseg_ext.data.image_decoding import exif_orientation
from paddleseg_ext.data.image_io import check_pixels, open_image
from paddleseg_ext.errors import UserError, reason

IGNORED_SHARE = 0.5  # of the pixels, above which it is told
NAMED = 8  # an error message names at most as many wrong values
CURE = "convert it by `paddleseg-ext prepare colors`"
EXPANDED = {"L;2": 85, "L;4": 17}  # Pillow spreads gray PNGs of 2 and 4 bits over 0 … 255
COLORED = {"RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"}
TRANSPARENT = {"LA", "La", "PA"}


def read_label(path: str | Path) -> np.ndarray:
    """The class ids in a label file: (H, W) uint8, or int32 where the file holds more than 8 bits.

    Args:
        path: A PNG, TIFF, BMP or GIF with one channel (1, 2, 4, 8, 16 or 32 bits, either byte order, or a palette,
            whose indices are the ids), or ``.npy`` with two axes.

    Raises:
        UserError: The file is missing or damaged, has colors, transparency, several pages or fractions, or was
            compressed with loss.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: the label file does not exist")
    array = _from_array_file(path) if path.suffix.lower() == ".npy" else _from_image(path)
    if array.ndim != 2 or not array.size:
        raise UserError(f"{path}: a label has one class id per pixel, this one has the shape {array.shape}")
    return _as_ids(array, path)


def check_pair(image_path: str, image: np.ndarray, label_path: str | None, label: np.ndarray) -> None:
    """Refuse an image and a label of different sizes, before any transform stretches one to the other.

    Args:
        image_path: Of the image.
        image: (H, W) or (H, W, C), as read.
        label_path: Of the label, if it is known.
        label: (H, W).

    Raises:
        UserError: The sizes differ; where the image's EXIF orientation is the cause, the sentence says so.
    """
    height, width = image.shape[:2]
    if label.shape[:2] == (height, width):
        return
    size = f"{label.shape[1]}x{label.shape[0]}"
    sentence = f"{label_path or 'the label'} is {size}, but its image {image_path} is {width}x{height}"
    if label.shape[:2] == (width, height) and exif_orientation(image_path) > 4:
        sentence += (
            "; the image's EXIF orientation turns it by 90°, and the label was drawn on the unturned one: save the "
            "image turned and without that tag, or turn the label"
        )
    raise UserError(sentence)


def count_values(label: np.ndarray, num_classes: int, ignore_index: int) -> np.ndarray:
    """How many pixels each class has: (K + 2,) int64, the last two for ignored pixels and values that are neither.

    Args:
        label: Integers of any shape.
        num_classes: K.
        ignore_index: The value of pixels that belong to no class.
    """
    if label.dtype == np.uint8:
        values = np.arange(256)
        # OpenCV counts bytes as they are; its counts are exact up to 2^24 pixels, beyond which no label of a batch is
        counts = cv2.calcHist([label.reshape(1, -1)], [0], None, [256], [0, 256]).ravel().astype(np.int64)
        if label.size >= 2**24:
            counts = np.bincount(label.ravel(), minlength=256)
    else:
        values, counts = np.unique(label, return_counts=True)
    found = np.zeros(num_classes + 2, np.int64)
    ids = np.where((values >= 0) & (values < num_classes), values, num_classes + 1)
    np.add.at(found, np.where(values == ignore_index, num_classes, ids), counts)
    return found


def odd_counts(counts: np.ndarray, names: Sequence[str]) -> str | None:
    """What looks wrong about how often classes occur, or None.

    Args:
        counts: (K + 2,) of `count_values`, summed over many labels.
        names: Of the K classes.
    """
    classes, ignored, total = counts[: len(names)], counts[len(names)], counts.sum()
    parts = []
    if absent := [name for name, count in zip(names, classes) if not count]:
        shown = ", ".join(absent[:NAMED]) + (", …" if len(absent) > NAMED else "")
        parts.append(f"no label has {'the class' if len(absent) == 1 else 'the classes'} {shown}")
    if total and ignored > IGNORED_SHARE * total:
        parts.append(f"{100 * ignored / total:.0f} % of the pixels are ignored")
    if len(names) == 2 and absent and ignored:
        parts.append("in masks of 0 and 255, 255 has to become 1 (paddleseg-ext prepare folder … --binary)")
    return "; ".join(parts) or None


def wrong_values(label: np.ndarray, num_classes: int, ignore_index: int) -> str | None:
    """What is wrong with a label's values, or None: ``label values 19, 33 are not allowed; allowed are …``.

    Args:
        label: Integers of any shape.
        num_classes: Class ids are below it.
        ignore_index: The value of pixels that belong to no class.
    """
    values = np.unique(label).astype(np.int64)
    allowed = ((values >= 0) & (values < num_classes)) | (values == ignore_index)
    wrong = values[~allowed]
    if not wrong.size:
        return None
    listed = ", ".join(map(str, wrong[:NAMED])) + (", …" if len(wrong) > NAMED else "")
    return (
        f"label values {listed} are not allowed; allowed are the class ids 0…{num_classes - 1} and {ignore_index} "
        "for pixels to ignore"
    )


def _from_array_file(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        check_pixels(path, array.shape[-2:])
        return np.asarray(array).squeeze() if array.ndim == 3 and 1 in array.shape[::2] else np.asarray(array)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: the label file cannot be read as an array ({reason(error)})") from error


def _from_image(path: Path) -> np.ndarray:
    try:
        with open_image(path) as image:
            if image.format in ("JPEG", "MPO", "JPEG2000", "WEBP"):
                raise UserError(
                    f"{path}: {image.format} changes class ids when it compresses; labels are PNG, saved anew from the "
                    "source and not from this file"
                )
            if getattr(image, "n_frames", 1) > 1:
                raise UserError(f"{path}: it has {image.n_frames} pages, and a label has one")
            if image.mode in COLORED:
                raise UserError(f"{path}: it has colors ({image.mode}), and a label has class ids; {CURE}")
            if image.mode in TRANSPARENT:
                raise UserError(f"{path}: it has transparency ({image.mode}), and a label has class ids alone; {CURE}")
            # A palette's indices are the ids, whatever its colors.
            rawmode: Any = image.tile[0][3] if image.tile else ""
            spread = EXPANDED.get(rawmode[0] if isinstance(rawmode, tuple) else rawmode, 1)
            array = np.asarray(image)
            return array // spread if spread > 1 else array
    except UserError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: the label file cannot be read as a picture ({reason(error)})") from error


def _as_ids(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.rint(array)).any():
            raise UserError(f"{path}: it has fractions, and class ids are whole numbers; {CURE} or round it")
    elif array.dtype.kind not in "biu":
        raise UserError(f"{path}: it holds {array.dtype}, and class ids are whole numbers")
    if array.dtype.itemsize == 1 and array.dtype.kind in "bu":
        return np.ascontiguousarray(array, np.uint8)
    low, high = array.min(), array.max()
    if not -(2**31) <= low <= high < 2**31:
        raise UserError(f"{path}: its values reach from {low} to {high}, and class ids fit 32 bits")
    return np.ascontiguousarray(array, np.int32)
