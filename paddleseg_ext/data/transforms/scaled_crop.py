"""A crop of a resized picture, computed without resizing all of it."""

from __future__ import annotations

import math

import cv2
import numpy as np

WASTE = 2  # resize as many times the wanted rows at most, rather than interpolating them one by one


def scaled_crop(picture: np.ndarray, size: tuple[int, int], rows: range, columns: range) -> np.ndarray:
    """Rows and columns of the picture resized to `size` by linear interpolation, as `cv2.resize` does it.

    Where the scale is a ratio of small numbers, p source pixels to q of the result, source and result can be cut at
    multiples of p and q, and the piece is resized alone. Otherwise no piece but the whole has the right scale and phase
    at once. Interpolation is separable, however: only the rows that are needed are resized, to the whole width, and
    then interpolated vertically, each by its own weight.

    Args:
        picture: (H, W) or (H, W, C).
        size: Height and width after scaling.
        rows: Which rows of the scaled picture, successive.
        columns: Which columns, likewise.

    Returns:
        (len(rows), len(columns)) or with C, of the picture's type.
    """
    source_columns, width, left = _block(picture.shape[1], size[1], columns)
    source_rows, height, top = _block(picture.shape[0], size[0], rows)
    if height <= WASTE * len(rows):
        block = cv2.resize(picture[source_rows, source_columns], (width, height), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(block[top : top + len(rows), left : left + len(columns)])
    first, weights = _neighbors(picture.shape[0], size[0], rows)
    second = np.minimum(first + 1, picture.shape[0] - 1)
    needed = picture[first[0] : second[-1] + 1, source_columns].astype(np.float32, copy=False)
    wide = cv2.resize(needed, (width, len(needed)), interpolation=cv2.INTER_LINEAR)[:, left : left + len(columns)]
    upper, lower = wide[first - first[0]], wide[second - first[0]]
    lower -= upper
    lower *= weights.reshape(-1, *[1] * (wide.ndim - 1))
    upper += lower
    return upper if np.issubdtype(picture.dtype, np.floating) else np.rint(upper).astype(picture.dtype)


def scaled_crop_of_ids(label: np.ndarray, size: tuple[int, int], rows: range, columns: range) -> np.ndarray:
    """Rows and columns of the label resized to `size` by taking the nearest pixel, as `cv2.resize` does it.

    Args:
        label: (H, W) or (H, W, C), of any type.
        size: Height and width after scaling.
        rows: Which rows of the scaled label.
        columns: Which columns.

    Returns:
        (len(rows), len(columns)) or with C.
    """
    taken = [
        np.minimum(np.floor(np.array(wanted) * (1 / (scaled / length))).astype(int), length - 1)
        for length, scaled, wanted in zip(label.shape, size, (rows, columns))
    ]
    return label[taken[0]].take(taken[1], axis=1)


def _neighbors(length: int, scaled: int, wanted: range) -> tuple[np.ndarray, np.ndarray]:
    """The first source pixel of each wanted one, and the weight of the pixel after it."""
    places = (np.array(wanted) + 0.5) * (length / scaled) - 0.5
    first = np.floor(places).astype(int)
    weights = np.where((first < 0) | (first >= length - 1), 0.0, places - first).astype(np.float32)
    return np.clip(first, 0, length - 1), weights


def _block(length: int, scaled: int, wanted: range) -> tuple[slice, int, int]:
    """A stretch of the source that scales to whole pixels around `wanted`, with a neighbor on either side.

    Returns:
        The stretch, its scaled length, and where in that `wanted` starts.
    """
    periods = math.gcd(length, scaled)
    source, result = length // periods, scaled // periods  # pixels of a period before and after
    first = max(wanted.start // result - 1, 0)
    last = min(-(-wanted.stop // result) + 1, periods)
    return slice(first * source, last * source), (last - first) * result, wanted.start - first * result
