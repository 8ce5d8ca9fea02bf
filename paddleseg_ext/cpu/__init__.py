"""Faster kernels for eager float32 execution on a CPU, registered in `layers.functional.KERNELS`.

Paddle's CPU kernels of some operations reach a small part of the processor's peak. Each module here computes one
operation with the same result up to rounding. Kernels are differentiable once. `network` has them serve the layers of
whole networks, PaddleSeg's included, and `memory` spares all operations on maps the price of new memory.

``PADDLESEG_EXT_CPU_KERNELS=0`` in the environment disables all of them, and `disabled` within a block. Without this
folder, and the line in the package's ``__init__`` that calls `install`, everything works with Paddle's own kernels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from paddleseg_ext.cpu import criss_cross, depthwise, network, resize, winograd
from paddleseg_ext.cpu.memory import keep_freed_memory
from paddleseg_ext.layers.functional import KERNELS, Kernel

ENV_VARIABLE = "PADDLESEG_EXT_CPU_KERNELS"
CPU_KERNELS: dict[str, Kernel] = {
    "conv3x3": winograd,
    "criss_cross_attention": criss_cross,
    "depthwise_conv2d": depthwise,
    "network_outputs": network,
    "resize_bilinear": resize,
}


def install() -> None:
    """Register the kernels unless the environment has ``PADDLESEG_EXT_CPU_KERNELS=0``."""
    if os.environ.get(ENV_VARIABLE) != "0":
        KERNELS.update(CPU_KERNELS)
        keep_freed_memory()


@contextmanager
def disabled() -> Iterator[None]:
    """Use the reference form of every operation within the block, in all threads."""
    before = {name: KERNELS.pop(name) for name in CPU_KERNELS if name in KERNELS}
    try:
        yield
    finally:
        KERNELS.update(before)
