"""A tensor's memory seen by NumPy and OpenCV, for layers that compute on the CPU with them.

Paddle's CPU kernels for some convolutions run at a small part of the processor's speed. Where Paddle executes eagerly
on the CPU in float32, a layer may work on the same memory by other means. A traced graph, a GPU and lower precisions
keep Paddle's own operators, so no export sees any of this.
"""

from __future__ import annotations

import numpy as np
import paddle


def eager_on_cpu(*tensors: paddle.Tensor) -> bool:
    """Whether NumPy may work on these tensors: executed now, on the CPU, float32, and not under auto-cast."""
    if not paddle.in_dynamic_mode():
        return False
    if any(not t.place.is_cpu_place() or t.dtype != paddle.float32 for t in tensors):
        return False
    return paddle.base.framework._dygraph_tracer()._amp_level == paddle.base.core.AmpLevel.O0


def array(tensor: paddle.Tensor) -> np.ndarray:
    """The numbers of a float32 tensor on the CPU as an array over the same memory; write only to a new tensor."""
    return np.asarray(_Memory(tensor))


class _Memory:
    """What NumPy asks for where an array lies; holds the tensor as long as the array lives."""

    def __init__(self, tensor: paddle.Tensor) -> None:
        self.tensor = tensor.detach().contiguous()
        self.__array_interface__ = {
            "version": 3,
            "shape": tuple(self.tensor.shape),
            "typestr": "<f4",
            "data": (self.tensor.data_ptr(), False),
        }
