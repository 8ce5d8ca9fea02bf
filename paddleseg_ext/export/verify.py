"""Comparing what was exported with the network itself, before the files are left where somebody may use them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.export.sensitivity import Sensitivity, TestInput, relative_difference
from paddleseg_ext.export.wrapper import Colors, InputShape

SIZES = ((128, 192), (97, 161), (100, 140))  # a multiple of 32; odd; divisible by neither the strides nor all bins
BATCHES = (1, 2)
DIFFERING_PIXELS = 1e-4  # share of all
MOST_INPUTS = 16
# About what ImageNet's mean and deviation give.
USUAL = Colors(np.array([1 / 58], np.float32), np.array([-2.1], np.float32))
PROBABILITY_ROUNDING = 1e-6

Run = Callable[[np.ndarray], np.ndarray]


@dataclass
class Comparison:
    """One comparison.

    Attributes:
        backend: ``paddle`` or ``onnx``.
        shape: Of the input, (N, H, W).
        relative_difference: Of the logits, to the largest; of probabilities as many logits as they may stand for.
        differing_pixels: Pixels of another class than the network's own, ties apart.
        largest_lead: What the network's own class leads by in these, relative to the largest logit.
    """

    backend: str
    shape: tuple[int, int, int]
    relative_difference: float
    differing_pixels: int
    largest_lead: float

    @property
    def pixels(self) -> int:
        """All there are."""
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return {
            "backend": self.backend,
            "shape": list(self.shape),
            "relative_difference": self.relative_difference,
            "equal_pixels": 1 - self.differing_pixels / self.pixels,
        }

    def __str__(self) -> str:
        count, height, width = self.shape
        return f"{self.backend}, {count} × {width}×{height}"


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
    for seed, (count, height, width) in enumerate(_inputs(shape, sizes)):
        pictures = _pictures(count, height, width, shape[1], seed)
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


def compare(
    backend: str, final: Run, with_logits: Run, output_op: str, inputs: Sequence[TestInput], tie: float
) -> Iterator[Comparison]:
    """Compare an exported network with what the network itself said.

    Args:
        backend: For the report.
        final: The exported network with its last operation.
        with_logits: The same network exported without it, since a difference of logits does not show in class ids.
        output_op: The last operation.
        inputs: From `make_inputs`.
        tie: Lead, relative to the largest logit, below which either of two classes is right.
    """
    for test_input in inputs:
        expected, found = test_input.logits, with_logits(test_input.images)
        result = found if final is with_logits else final(test_input.images)
        count, classes, height, width = expected.shape
        shape = count, height, width
        if found.shape != expected.shape or result.shape != (shape if output_op == "argmax" else expected.shape):
            yield Comparison(backend, shape, float("inf"), count * height * width, float("inf"))
            continue
        difference = relative_difference(found, expected)
        if output_op == "softmax":
            difference = max(difference, _of_probabilities(result, expected))
        leads = _leads(result if output_op == "argmax" else _classes(result, expected), expected)
        differing = leads[~(leads <= tie)]
        yield Comparison(backend, shape, difference, len(differing), float(differing.max(initial=0.0)))


def fault(comparisons: Sequence[Comparison], inputs: Sequence[TestInput], sensitivity: Sensitivity) -> str | None:
    """What is wrong with exported networks, in words, or nothing.

    Allowed are a difference of logits as the network's sensitivity has it and, over all inputs of a format together,
    one pixel in 10 000 of another class; a single pixel always, which in small inputs is more than that. No pixel may
    have a class that two differences as large as allowed could not have brought to the front.

    Args:
        comparisons: With each format in turn, in the order of the inputs.
        inputs: What they were made with.
        sensitivity: Of the network itself.
    """
    cases = list(zip(comparisons, [*inputs] * (len(comparisons) // len(inputs))))
    worst, worst_input = max(cases, key=lambda case: case[0].relative_difference)
    allows = sensitivity.allows(worst.relative_difference, worst_input)
    measured = (
        f"the network itself changes by up to {sensitivity.largest:.1e} of its largest score when its input changes in "
        f"the last digit, so {sensitivity.allowed:.1e} is allowed"
    )
    if not allows:
        return f"{worst}: scores differ by {worst.relative_difference:.1e} of the largest; {measured}"
    for case in comparisons:
        if not case.largest_lead <= 2 * sensitivity.allowed:
            return (
                f"{case}: a pixel has a class whose score is behind by {case.largest_lead:.1e} of the largest, "
                f"although scores differ by {case.relative_difference:.1e}; {measured}"
            )
    for backend in dict.fromkeys(case.backend for case in comparisons):
        differing, pixels = _pixels([case for case in comparisons if case.backend == backend])
        if differing > max(1, pixels * DIFFERING_PIXELS):
            return (
                f"{backend}: {differing} of {pixels} pixels have another class, more than "
                f"{100 * DIFFERING_PIXELS:.2g} %; scores differ by at most {worst.relative_difference:.1e} of the "
                f"largest; {measured}"
            )
    return None


def summary(comparisons: Sequence[Comparison], sensitivity: Sensitivity) -> dict[str, Any]:
    """The figures of all comparisons together, for the report."""
    differing, pixels = _pixels(comparisons)
    return {
        "difference": max(case.relative_difference for case in comparisons),
        "sensitivity": sensitivity.largest,
        "measurements": sensitivity.measurements,
        "allowed_difference": sensitivity.allowed,
        "equal_pixels": 1 - differing / pixels,
    }


def _pixels(comparisons: Sequence[Comparison]) -> tuple[int, int]:
    """Those that differ, and all."""
    return sum(case.differing_pixels for case in comparisons), sum(case.pixels for case in comparisons)


def _classes(result: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Class ids (N, H, W) of scores; where several are best and the network's own among them, that one."""
    own = expected.argmax(axis=1)
    is_best = np.take_along_axis(result, own[:, None], axis=1)[:, 0] == result.max(axis=1)
    return np.where(is_best, own, result.argmax(axis=1))


def _leads(classes: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """By what the network's own best class leads the one found, relative to the largest logit: (N, H, W)."""
    known = (classes >= 0) & (classes < expected.shape[1])
    found = np.take_along_axis(expected, np.where(known, classes, 0)[:, None].astype(np.int64), axis=1)[:, 0]
    with np.errstate(invalid="ignore"):  # what is not finite is refused for its scores
        return np.where(known, (expected.max(axis=1) - found) / (np.abs(expected).max() or 1.0), np.inf)


def _of_probabilities(result: np.ndarray, expected: np.ndarray) -> float:
    """The least relative difference of logits that explains a difference of probabilities.

    No probability changes by more than half of what logits change by.
    """
    if not np.isfinite(result).all():
        return float("inf")
    powers = np.exp(expected.astype(np.float64) - expected.max(axis=1, keepdims=True))
    off = np.abs(result - powers / powers.sum(axis=1, keepdims=True)).max()
    return float(2 * max(0.0, off - PROBABILITY_ROUNDING) / (np.abs(expected).max() or 1.0))


def _inputs(shape: InputShape, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(N, H, W) of each; what is fixed and small comes repeatedly, for enough pixels to count."""
    count, _, height, width = shape
    fitting = dict.fromkeys((height or h, width or w) for h, w in sizes)
    found = [(n, h, w) for h, w in fitting for n in ([count] if count else BATCHES)]
    times = math.ceil(1 / DIFFERING_PIXELS / sum(map(math.prod, found)))
    return found * max(1, min(times, MOST_INPUTS // len(found)))


def _pictures(count: int, height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """Smooth patches with some grain, as pictures are: (N, H, W, C) uint8."""
    rng = np.random.default_rng((count, height, width, seed))
    coarse = rng.integers(0, 256, (count, 6, 9, channels)).astype(np.float32)
    smooth = np.stack([cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in coarse])
    grainy = smooth.reshape(count, height, width, channels) + rng.normal(0, 8, (count, height, width, channels))
    return np.clip(grainy, 0, 255).astype(np.uint8)
