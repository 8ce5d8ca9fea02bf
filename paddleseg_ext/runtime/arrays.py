"""The bridge between Paddle and NumPy: a tensor's memory seen as an array, and back, without a copy where possible.

On the CPU, `Tensor.numpy()` copies; NumPy and OpenCV can work on the same memory instead.
"""

from __future__ import annotations

import numpy as np
import paddle


def on_host(tensor: paddle.Tensor) -> bool:
    """Whether NumPy can work on the tensor's memory."""
    return tensor.place.is_cpu_place()


def to_array(tensor: paddle.Tensor) -> np.ndarray:
    """The numbers of a tensor on the CPU as an array over the same memory; write only to a contiguous tensor.

    Of a tensor whose memory is not contiguous (a slice, a transpose) it is a copy.

    Raises:
        TypeError: NumPy has no such type (bfloat16).
    """
    if not tensor.size:  # it may have no memory at all
        return np.empty(tensor.shape, _dtype(tensor))
    return np.asarray(_Memory(tensor))


def to_tensor(array: np.ndarray) -> paddle.Tensor:
    """The inverse of `to_array`; copies what is not contiguous or not writable, and on Paddle 2.6 everything."""
    return paddle.utils.dlpack.from_dlpack(np.require(array, requirements=["C", "W"]).__dlpack__())


class _Memory:
    """What NumPy asks for where an array lies; holds the tensor as long as the array lives."""

    def __init__(self, tensor: paddle.Tensor) -> None:
        self.tensor = tensor.detach().contiguous()
        self.__array_interface__ = {
            "version": 3,
            "shape": tuple(self.tensor.shape),
            "typestr": _dtype(self.tensor).str,
            "data": (self.tensor.data_ptr(), False),
        }


def _dtype(tensor: paddle.Tensor) -> np.dtype:
    return np.dtype(str(tensor.dtype).rpartition(".")[2])  # paddle.float32 → float32
