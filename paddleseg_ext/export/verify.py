"""Comparing what was exported with the network itself, before the files are left where somebody may use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.export.wrapper import Colors, InputShape

SIZES = ((128, 192), (97, 161), (100, 140))  # a multiple of 32; odd; divisible by neither the strides nor all bins
BATCHES = (1, 2)
RELATIVE_DIFFERENCE = 1e-4
EQUAL_PIXELS = 0.9999
# About what ImageNet's mean and deviation give.
USUAL = Colors(np.array([1 / 58], np.float32), np.array([-2.1], np.float32))

Run = Callable[[np.ndarray], np.ndarray]


@dataclass
class Comparison:
    """One comparison.

    Attributes:
        backend: ``paddle`` or ``onnx``.
        shape: Of the input, (N, H, W).
        relative_difference: Of the logits, to the largest.
        equal_pixels: Share of the pixels whose class is the same.
    """

    backend: str
    shape: tuple[int, int, int]
    relative_difference: float
    equal_pixels: float

    @property
    def passed(self) -> bool:
        """Whether both figures are as good as they have to be; NaN is not."""
        return self.relative_difference <= RELATIVE_DIFFERENCE and self.equal_pixels >= EQUAL_PIXELS

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return {**asdict(self), "shape": list(self.shape), "passed": self.passed}

    def __str__(self) -> str:
        count, height, width = self.shape
        return (
            f"{self.backend}, {count} × {width}×{height}: relative difference {self.relative_difference:.1e} "
            f"(allowed {RELATIVE_DIFFERENCE:.0e}), equal pixels {100 * self.equal_pixels:.3f} % "
            f"(at least {100 * EQUAL_PIXELS} %)"
        )


@dataclass
class TestInput:
    """An input and what the network itself makes of it.

    Attributes:
        images: What the exported network is fed.
        logits: (N, K, H, W) of the network itself.
    """

    images: np.ndarray
    logits: np.ndarray


def make_inputs(
    model: nn.Layer, shape: InputShape, colors: Colors | None, sizes: Sequence[tuple[int, int]] = SIZES
) -> list[TestInput]:
    """Images of several sizes in two batch sizes, or of those that a fixed input allows, and the network's logits.

    Args:
        model: In evaluation mode.
        shape: (N, C, H, W) with None for what is free.
        colors: The exported network normalizes, so it is fed uint8 (N, H, W, C).
        sizes: Heights and widths.

    Raises:
        UserError: The network itself does not take one of the sizes.
    """
    found = []
    for count, height, width in _inputs(shape, sizes):
        pictures = _pictures(count, height, width, shape[1])
        fed = (colors or USUAL)(pictures)
        try:
            with paddle.no_grad():
                logits = model(paddle.to_tensor(fed))[0].numpy()
        except Exception as error:  # a network may fail on a size in any way
            raise UserError(
                f"the network itself fails on {count} images of {width}×{height} ({reason(error)}); if it takes "
                "certain sizes only, name one: `input_shape` N C H W"
            ) from error
        found.append(TestInput(fed if colors is None else pictures, logits))
    return found


def sensitivity(model: nn.Layer, test_input: TestInput, colors: Colors | None) -> float:
    """How much the logits change, relative to the largest, when the input changes in float32's last digit.

    Where that is not far below what is allowed, no other order of summation can pass.
    """
    images = test_input.images if colors is None else colors(test_input.images)
    noise = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), images.shape) * np.finfo(np.float32).eps
    with paddle.no_grad():
        logits = model(paddle.to_tensor(images * (1 + noise)))[0].numpy()
    return float(np.abs(logits - test_input.logits).max() / (np.abs(test_input.logits).max() or 1.0))


def compare(
    backend: str, final: Run, with_logits: Run, output_op: str, inputs: Sequence[TestInput]
) -> Iterator[Comparison]:
    """Compare an exported network with what the network itself said.

    Args:
        backend: For the report.
        final: The exported network with its last operation.
        with_logits: The same network exported without it, since a difference of logits does not show in class ids.
        output_op: The last operation.
        inputs: From `make_inputs`.
    """
    for test_input in inputs:
        expected, found = test_input.logits, with_logits(test_input.images)
        result = found if final is with_logits else final(test_input.images)
        masks = result if output_op == "argmax" else result.argmax(axis=1)
        count, _, height, width = expected.shape
        if found.shape != expected.shape or masks.shape != (count, height, width):
            yield Comparison(backend, (count, height, width), float("inf"), 0.0)
            continue
        largest = float(np.abs(expected).max()) or 1.0
        difference = float(np.abs(found - expected).max()) / largest
        yield Comparison(backend, (count, height, width), difference, float((masks == expected.argmax(axis=1)).mean()))


def _inputs(shape: InputShape, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    count, _, height, width = shape
    fitting = dict.fromkeys((height or h, width or w) for h, w in sizes)
    return [(n, h, w) for h, w in fitting for n in ([count] if count else BATCHES)]


def _pictures(count: int, height: int, width: int, channels: int) -> np.ndarray:
    """Smooth patches with some grain, as pictures are: (N, H, W, C) uint8."""
    rng = np.random.default_rng((count, height, width))
    coarse = rng.integers(0, 256, (count, 6, 9, channels)).astype(np.float32)
    smooth = np.stack([cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in coarse])
    grainy = smooth.reshape(count, height, width, channels) + rng.normal(0, 8, (count, height, width, channels))
    return np.clip(grainy, 0, 255).astype(np.uint8)
