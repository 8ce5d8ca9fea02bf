"""Moving a map between Paddle and NumPy without copying it.

On the CPU, Paddle's slice assignment copies the whole tensor, its argmax walks memory class by class, and `numpy()`
copies; NumPy and OpenCV work in place on the same memory, several times faster. So on the CPU the engine handles
score maps as NumPy arrays that share the tensor's memory, and on other devices as tensors. Both
understand the same slicing and arithmetic.
"""

from __future__ import annotations

from typing import Any, Union

import cv2
import numpy as np
import paddle

Array = Union[np.ndarray, paddle.Tensor]


def on_host(tensor: paddle.Tensor) -> bool:
    """Whether NumPy can work on the tensor's memory."""
    return tensor.place.is_cpu_place()


def to_array(map_: Array) -> Array:
    """A tensor on the CPU as a NumPy array over the same memory (read it, do not write it); all else as it is."""
    if isinstance(map_, np.ndarray) or not on_host(map_):
        return map_
    return np.from_dlpack(_Capsule(map_))


def to_tensor(array: Array) -> paddle.Tensor:
    """The inverse of `to_array`; copies what is not contiguous or not writable, and on Paddle 2.6 everything."""
    if isinstance(array, paddle.Tensor):
        return array
    return paddle.utils.dlpack.from_dlpack(np.require(array, requirements=["C", "W"]).__dlpack__())


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Float32 zeros of the kind and on the device of `like`."""
    return np.zeros(shape, np.float32) if isinstance(like, np.ndarray) else paddle.zeros(shape, "float32")


def copy(array: Array) -> Array:
    """The same numbers in memory of their own."""
    return array.copy() if isinstance(array, np.ndarray) else array.clone()


def argmax(scores: Array) -> Array:
    """Class of the highest score at each pixel; of equal scores, the lower class.

    Args:
        scores: (K, H, W) float32, an array or a tensor.

    Returns:
        (H, W): on the CPU a NumPy array, uint8, or uint16 above 256 classes; elsewhere int32.
    """
    scores = to_array(scores)
    if isinstance(scores, paddle.Tensor):
        return scores.argmax(axis=0, dtype="int32")
    # One running maximum: each class is read once, where NumPy and Paddle stride through all classes for each pixel.
    ids = np.zeros(scores.shape[1:], np.uint8 if len(scores) <= 256 else np.uint16)
    best = scores[0].copy()
    for i in range(1, len(scores)):
        higher = cv2.compare(scores[i], best, cv2.CMP_GT)
        cv2.max(scores[i], best, dst=best)
        cv2.copyTo(np.full_like(ids, i), higher, ids)
    return ids


class _Capsule:
    """Lets NumPy take over a tensor's memory on every supported Paddle; 2.6 has the capsule but not the protocol."""

    def __init__(self, tensor: paddle.Tensor) -> None:
        # Paddle 2.6 exports the memory of a transposed or sliced tensor without its strides.
        self.capsule = paddle.utils.dlpack.to_dlpack(tensor.detach().contiguous())

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # DLPack's code for the CPU's memory, and the device's number
