"""What an explainer of a head sees: the head at work on one image, and the pixels and classes that are asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.explanation.findings import PIXEL, Bars, Maps
from paddleseg_ext.explanation.geometry import Geometry


@dataclass
class Call:
    """One call of a layer: its positional arguments and what it returned."""

    inputs: tuple
    output: Any = None


class View:
    """A head at work on one image.

    Args:
        run: Runs the head once more on the image's maps.
        geometry: Of the image and the pixels.
        classes: Names of the K classes.
        logits: (P, K) at the pixels.
        pred: (H, W) class ids.
        asked: Ids of the classes that class activation and evidence are shown for.

    Attributes:
        best: (P,) the class with the largest logit at each pixel.
    """

    def __init__(
        self,
        run: Callable[[], object],
        geometry: Geometry,
        classes: Sequence[str],
        logits: np.ndarray,
        pred: np.ndarray,
        asked: Sequence[int],
    ) -> None:
        self.run, self.geometry, self.classes, self.logits, self.pred = run, geometry, classes, logits, pred
        self.asked, self.best = list(asked), logits.argmax(1)

    @property
    def pixels(self) -> np.ndarray:
        """(P, 2), x and y in the image."""
        return self.geometry.pixels

    def watch(self, *layers: nn.Layer) -> list[list[Call]]:
        """The calls of each layer while the head runs; what is kept are copies, since some layers write in place.

        Args:
            *layers: Of the head.
        """
        with paddle.no_grad(), recording(layers, _copied) as calls:
            self.run()
        return calls

    def maps(self, title: str, values: Any, labels: Sequence[str], **options: Any) -> Maps:
        """`Maps` of what lies over the network's input, cut to the part that is the image.

        Args:
            title: What they show.
            values: (N, h, w); or (M, N, h, w) with ``axis`` and ``at`` among the options.
            labels: N names.
            **options: Other fields of `Maps`, such as ``note``, ``signed`` and ``shared``.
        """
        return Maps(title, self.geometry.over_image(array(values)), labels, **options)

    def maps_of_pixels(self, title: str, values: Any, labels: Sequence[str], **options: Any) -> Maps:
        """`Maps` of what lies over the network's input, one set for each pixel.

        Args:
            title: What they show.
            values: (P, N, h, w).
            labels: N names.
            **options: Other fields of `Maps`, such as ``note``, ``signed`` and ``shared``.
        """
        return self.maps(title, values, labels, axis=PIXEL, at=self.pixels.tolist(), **options)

    def bars_of_pixels(self, title: str, values: np.ndarray, labels: Sequence[str], **options: Any) -> Bars:
        """`Bars`, one set for each pixel.

        Args:
            title: What they show.
            values: (P, N).
            labels: N names.
            **options: Other fields of `Bars`, such as ``note`` and ``top``.
        """
        return Bars(title, values, labels, axis=PIXEL, at=self.pixels.tolist(), **options)


@contextmanager
def recording(layers: Sequence[nn.Layer], keep: Callable[[Any], Any]) -> Iterator[list[list[Call]]]:
    """Within the block the calls of each layer are listed, their arguments and results as `keep` gives them."""
    calls: list[list[Call]] = [[] for _ in layers]
    hooks = []
    hooked: Any  # Paddle's annotation of hooks has them return something
    for hooked, found in zip(layers, calls):

        def before(layer: nn.Layer, inputs: Any, found: list[Call] = found) -> None:
            inputs = inputs if isinstance(inputs, tuple) else (inputs,)
            found.append(Call(tuple(keep(value) for value in inputs)))

        def after(layer: nn.Layer, inputs: Any, output: Any, found: list[Call] = found) -> None:
            found[-1].output = keep(output)

        hooks += [hooked.register_forward_pre_hook(before), hooked.register_forward_post_hook(after)]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def array(value: Any) -> np.ndarray:
    """Numbers of a tensor, in memory of their own."""
    return value.detach().astype("float32").numpy() if isinstance(value, paddle.Tensor) else np.asarray(value)


def _copied(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in value]
    return value.detach().clone() if isinstance(value, paddle.Tensor) else value
