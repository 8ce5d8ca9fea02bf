"""Maps of logits and of class ids, on the CPU as NumPy arrays and elsewhere as tensors; only this file knows which.

On the CPU, Paddle's slice assignment copies the whole tensor, its argmax walks memory class by class, and `numpy()`
copies; NumPy and OpenCV work in place on the same memory, several times faster. Both kinds understand the same slicing
and in-place arithmetic; what they do not share is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import cv2
import numpy as np
import paddle

from paddleseg_ext.layers.functional import resize_bilinear
from paddleseg_ext.runtime import arrays

Map = Union[np.ndarray, paddle.Tensor]
EXACT = 2**24  # OpenCV's histograms are float32, which holds every whole number up to this


def from_tensor(tensor: paddle.Tensor) -> Map:
    """A tensor on the CPU as an array over the same memory, any other as it is."""
    return arrays.to_array(tensor) if arrays.on_host(tensor) else tensor


def to_tensor(map_: Map) -> paddle.Tensor:
    """The inverse of `from_tensor`."""
    return map_ if isinstance(map_, paddle.Tensor) else arrays.to_tensor(map_)


def zeros(shape: tuple[int, ...], like: Map) -> Map:
    """Float32 zeros of the kind and on the device of `like`."""
    return np.zeros(shape, np.float32) if isinstance(like, np.ndarray) else paddle.zeros(shape, "float32")


def copy(map_: Map) -> Map:
    """The same numbers in memory of their own."""
    return map_.copy() if isinstance(map_, np.ndarray) else map_.clone()


def concat(maps: Sequence[Map]) -> Map:
    """Maps one below the other, joined along their first axis."""
    return np.concatenate(maps) if isinstance(maps[0], np.ndarray) else paddle.concat(list(map(to_tensor, maps)))


def constant(values: np.ndarray, like: Map) -> Map:
    """Numbers to compute with `like`: of its kind and on its device."""
    return values if isinstance(like, np.ndarray) else paddle.to_tensor(values)


def resize(map_: Map, size: tuple[int, int]) -> Map:
    """Logits (N, K, h, w) at another height and width, bilinearly; the same map when it has that size already."""
    if tuple(map_.shape[-2:]) == tuple(size):
        return map_
    return from_tensor(resize_bilinear(to_tensor(map_), list(size), False))


def argmax(logits: Map) -> Map:
    """Class of the largest logit at each pixel; of equal ones, the lower class.

    Args:
        logits: (K, H, W) float32.

    Returns:
        (H, W): on the CPU an array, uint8, or uint16 above 256 classes; elsewhere an int32 tensor.
    """
    if isinstance(logits, paddle.Tensor):
        return logits.argmax(axis=0, dtype="int32")
    # One running maximum: each class is read once, where NumPy and Paddle stride through all classes for each pixel.
    pred = np.zeros(logits.shape[1:], np.uint8 if len(logits) <= 256 else np.uint16)
    best = logits[0].copy()
    for i in range(1, len(logits)):
        higher = cv2.compare(logits[i], best, cv2.CMP_GT)
        cv2.max(logits[i], best, dst=best)
        cv2.copyTo(np.full_like(pred, i), higher, pred)
    return pred


def count_pairs(pred: Map, label: Map, num_classes: int, ignore_index: int) -> np.ndarray:
    """How often each pair of label and prediction occurs, counted on the prediction's device.

    Args:
        pred: Class ids, all of them below K.
        label: As many true ids, in the same order.
        num_classes: K.
        ignore_index: The label value that counts as ignored; any integer, also one below K.

    Returns:
        (K + 2, K) int64: rows for the K classes, the ignored pixels, and labels that are neither.
    """
    if isinstance(pred, paddle.Tensor):
        counts = _count_tensors(pred, label, num_classes, ignore_index)
    else:
        counts = _count_arrays(pred, label, num_classes, ignore_index)
    return counts.reshape(num_classes + 2, num_classes)


def smallest_and_largest(map_: Map) -> tuple[int, int]:
    """Of integers; 0 and 0 where there are none."""
    if isinstance(map_, np.ndarray):
        return int(map_.min(initial=0)), int(map_.max(initial=0))
    return (int(map_.min()), int(map_.max())) if map_.size else (0, 0)


def _count_arrays(pred: np.ndarray, label: Map, num_classes: int, ignore_index: int) -> np.ndarray:
    pred, label = pred.reshape(-1), np.asarray(label).reshape(-1)
    if pred.dtype == label.dtype == np.uint8:
        return _count_bytes(pred, label, num_classes, ignore_index)
    label = label.astype(np.int64)
    known = (label >= 0) & (label < num_classes)
    rows = np.where(known, label, num_classes + 1)
    rows = np.where(label == ignore_index, num_classes, rows)
    return np.bincount(rows * num_classes + pred, minlength=(num_classes + 2) * num_classes)


def _count_bytes(pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int) -> np.ndarray:
    # OpenCV reads bytes as they are, where NumPy makes 64-bit integers of them: three times as fast.
    pairs = np.zeros((256, num_classes), np.int64)
    for start in range(0, pred.size, EXACT):
        pieces = [ids[start : start + EXACT].reshape(1, -1) for ids in (label, pred)]
        shape, ranges = [256, num_classes], [0, 256, 0, num_classes]
        pairs += cv2.calcHist(pieces, [0, 1], None, shape, ranges).astype(np.int64)
    values = np.arange(256)
    rows = np.where(values < num_classes, values, num_classes + 1)
    rows[values == ignore_index] = num_classes
    counts = np.zeros((num_classes + 2, num_classes), np.int64)
    np.add.at(counts, rows, pairs)
    return counts


def _count_tensors(pred: paddle.Tensor, label: Map, num_classes: int, ignore_index: int) -> np.ndarray:
    label = label if isinstance(label, paddle.Tensor) else paddle.to_tensor(np.asarray(label, np.int64))
    pred, label = pred.reshape([-1]).astype("int64"), label.reshape([-1]).astype("int64")
    known = paddle.logical_and(label >= 0, label < num_classes)
    rows = paddle.where(known, label, paddle.full_like(label, num_classes + 1))
    rows = paddle.where(label == ignore_index, paddle.full_like(label, num_classes), rows)
    return paddle.bincount(rows * num_classes + pred, minlength=(num_classes + 2) * num_classes).numpy()
