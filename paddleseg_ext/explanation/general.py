"""What can be said of any network: scores at a pixel, what part of the image decides them, where a class is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import paddle
from paddle import nn
from tqdm import tqdm

from paddleseg_ext.explanation.findings import CLASS, PIXEL, Bars, Finding, Maps, Section
from paddleseg_ext.explanation.geometry import Geometry
from paddleseg_ext.explanation.view import View, array, recording
from paddleseg_ext.layers.resample import resize, spatial_size
from paddleseg_ext.segmentor import EncoderDecoder

SHARES = (0.5, 0.9)  # of the gradient, whose distance is told
TOP = 5  # classes that are shown of a pixel's


class Trace:
    """One forward pass of a network with gradients, and the maps on its way.

    Args:
        network: In evaluation mode; its output is a list with the logits (1, K, h, w) first, or these alone.
        x: (1, C, h, w), the prepared image.
        num_classes: K, by which the classifier is recognized: it is the last convolution to as many channels.

    Attributes:
        x: The image, which gradients are taken for.
        logits: (1, K, h, w), at the image's size.
        last: (1, C', h', w'), the map that the classifier takes, or None where no convolution ends in K channels.
        feature: The last of the backbone's maps that the decode head takes, or None for a network without one.
        feats: All of them.
    """

    def __init__(self, network: nn.Layer, x: paddle.Tensor, num_classes: int) -> None:
        self.x = x.detach()
        self.x.stop_gradient = False
        head = network.decode_head if isinstance(network, EncoderDecoder) else None
        convs = [
            layer
            for layer in network.sublayers()
            if isinstance(layer, nn.Conv2D) and layer.weight.shape[0] == num_classes
        ]
        order: list[paddle.Tensor] = []  # what these convolutions took and gave, as it went
        with paddle.enable_grad(), recording(convs, order.append), recording([head] if head else [], _same) as calls:
            outputs = network(self.x)
        logits = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        self.logits = resize(logits.astype("float32"), spatial_size(x), False)
        self.last = order[-2] if order else None
        self.feats = list(calls[0][0].inputs[0]) if calls and calls[0] else None
        self.feature = self.feats[getattr(head, "in_index", -1)] if self.feats else None

    def gradient(self, of: paddle.Tensor, y: Callable[[paddle.Tensor], paddle.Tensor]) -> np.ndarray | None:
        """∂y(logits)/∂of for a number y; None where y does not depend on it."""
        with paddle.enable_grad():
            (found,) = paddle.grad(y(self.logits), of, retain_graph=True, allow_unused=True)
        return None if found is None else array(found)


@contextmanager
def frozen(network: nn.Layer) -> Iterator[None]:
    """Within the block no gradients are taken for weights, which halves the work."""
    before = [(parameter, parameter.stop_gradient) for parameter in network.parameters()]
    for parameter, _ in before:
        parameter.stop_gradient = True
    try:
        yield
    finally:
        for parameter, stop in before:
            parameter.stop_gradient = stop


def scores(view: View) -> Section:
    """The most likely classes of each pixel."""
    logits = view.logits - view.logits.max(1, keepdims=True)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    classes = list(view.classes)
    options = {"top": TOP, "of_classes": True}
    return Section(
        "Classes of the pixel",
        "The network's output at the pixel.",
        [
            view.bars_of_pixels("Probability", probability, classes, note="Softmax of the logits.", **options),
            view.bars_of_pixels("Logit", view.logits, classes, **options),
        ],
    )


def receptive_field(trace: Trace, geometry: Geometry, best: Sequence[int]) -> Section:
    """|∂ logit at a pixel / ∂ image| for some pixels, of the class predicted there.

    Args:
        trace: Of the network.
        geometry: With the pixels.
        best: Their classes.
    """
    fields, reach = [], []
    places = list(zip(*geometry.taps, best))
    for row, column, target in tqdm(places, desc="gradients", unit="pixel", disable=None, leave=False):
        weights = paddle.to_tensor(np.outer(row, column).astype("float32"))
        gradient = trace.gradient(trace.x, partial(_weighted, int(target), weights))
        assert gradient is not None  # the output depends on the image
        field = np.abs(gradient[0]).sum(0)
        fields.append(geometry.over_image(field[None]))
        reach.append(_distances(field, row, column))
    at = geometry.pixels.tolist()
    note = "Summed over colors; shown by its square root."
    findings: list[Finding] = [
        Maps("Gradient", np.stack(fields), ["|∂ logit / ∂ image|"], PIXEL, at, note=note, square_root=True),
        Bars(
            "Reach",
            np.array(reach),
            [f"{share:.0%} of the gradient" for share in SHARES],
            PIXEL,
            at,
            note="Distance from the pixel, in pixels of the network's input, within which so much of it lies.",
        ),
    ]
    return Section(
        "Effective receptive field",
        "How much each pixel of the image, moved a little, moves the logit of the predicted class at the chosen pixel.",
        findings,
        "Luo et al., Understanding the Effective Receptive Field, NeurIPS 2016",
    )


def class_activation(trace: Trace, view: View) -> Section | None:
    """Grad-CAM of the classes asked about, on the map that is classified and on the backbone's.

    y of a class is the sum of its logits over the pixels predicted as it, or over all where there are none.
    """
    places = {"classifier's input": trace.last, "backbone's last map": trace.feature}
    pred = array(trace.logits)[0].argmax(0)
    findings: list[Finding] = []
    for name, feature in places.items():
        maps = [] if feature is None else [_grad_cam(trace, feature, pred == target, target) for target in view.asked]
        known = [found for found in maps if found is not None]
        if known and len(known) == len(maps):
            title = f"Grad-CAM on the {name}"
            findings.append(view.maps(title, np.stack(known)[:, None], [name], axis=CLASS, at=view.asked))
    if not findings:
        return None
    return Section(
        "Class activation",
        "Channels weighted by the mean gradient of the class's logits over the pixels predicted as it, negative sums "
        "cut off.",
        findings,
        "Selvaraju et al., Grad-CAM, ICCV 2017, Sec. 3; summed over pixels as by Vinogradova et al., 2020",
    )


def _same(value: Any) -> Any:
    return value


def _weighted(target: int, weights: paddle.Tensor, logits: paddle.Tensor) -> paddle.Tensor:
    """The sum of a class's logits (1, K, h, w), weighted by (h, w)."""
    return (logits[0, target] * weights).sum()


def _grad_cam(trace: Trace, feature: paddle.Tensor, mask: np.ndarray, target: int) -> np.ndarray | None:
    """(h', w'): channels of a map (1, C, h', w') weighted by their mean gradient; None where it has none."""
    weights = paddle.to_tensor((mask if mask.any() else np.ones_like(mask)).astype("float32"))
    gradient = trace.gradient(feature, partial(_weighted, target, weights))
    if gradient is None:
        return None
    return np.maximum(np.tensordot(gradient[0].mean((1, 2)), array(feature)[0], 1), 0)


def _distances(field: np.ndarray, row: np.ndarray, column: np.ndarray) -> list[float]:
    """Distances from a pixel within which `SHARES` of a map lie."""
    y, x = np.average(np.arange(len(row)), weights=row), np.average(np.arange(len(column)), weights=column)
    distance = np.hypot(np.arange(field.shape[0])[:, None] - y, np.arange(field.shape[1])[None] - x).ravel()
    order = np.argsort(distance)
    reached = np.cumsum(field.ravel()[order], dtype=np.float64)
    places = np.searchsorted(reached, [share * reached[-1] for share in SHARES])
    return [float(distance[order[min(place, len(order) - 1)]]) for place in places]
