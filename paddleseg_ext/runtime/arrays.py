"""The bridge between Paddle and NumPy: a tensor's memory seen as an array without a copy, and an array as a tensor.

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
    """A copy of an array as a tensor on the CPU.

    A copy, since memory that Paddle takes over by DLPack is not given back in all cases, and where the array is itself
    the memory of such a tensor, giving it back can wait forever for a lock that the same thread holds (Paddle 3.3).
    """
    return paddle.to_tensor(array, place=paddle.CPUPlace())


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
