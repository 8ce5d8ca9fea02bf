"""Faster kernels for eager float32 execution on a CPU, entered in `layers.functional.KERNELS`.

Paddle's CPU kernels for some operations run at a small part of the processor's speed. Each module here computes one
operation by other means, with the same result but for rounding. The result of a kernel can be differentiated once
(bilinear resizing: not at all, so it steps in only where no gradient is needed).

``PADDLESEG_EXT_CPU_KERNELS=0`` in the environment keeps all of them out, `disabled` for the length of a block. Without
this folder, and the line in the package's ``__init__`` that calls `install`, everything works, in Paddle's own time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from paddleseg_ext.cpu import criss_cross, depthwise, resize, winograd
from paddleseg_ext.layers.functional import KERNELS, Kernel

SWITCH = "PADDLESEG_EXT_CPU_KERNELS"
OURS: dict[str, Kernel] = {
    "conv3x3": winograd,
    "criss_cross_attention": criss_cross,
    "depthwise_conv2d": depthwise,
    "resize_bilinear": resize,
}


def install() -> None:
    """Enter the kernels, unless the environment says ``PADDLESEG_EXT_CPU_KERNELS=0``."""
    if os.environ.get(SWITCH) != "0":
        KERNELS.update(OURS)


@contextmanager
def disabled() -> Iterator[None]:
    """Within the block, in all threads, every operation takes its plain form."""
    before = {name: KERNELS.pop(name) for name in OURS if name in KERNELS}
    try:
        yield
    finally:
        KERNELS.update(before)
