"""Labels: class ids of pixels, read from files. Everything that reads a label reads it here.

Whatever the file holds (1 to 32 bits, a palette, whole-numbered floats, a NumPy array), the ids come out as uint8 or
int32, the types that Paddle carries through a loader unharmed: of uint16 it makes bfloat16, and then every id is 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from paddleseg_ext.data.image_io import check_pixels, open_image
from paddleseg_ext.errors import UserError, reason

NAMED = 8  # an error message names at most as many wrong values
CURE = "convert it by `python tools/prepare.py colors`"
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
