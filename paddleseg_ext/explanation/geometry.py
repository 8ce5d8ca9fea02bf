"""Where the pixels of an image lie on a network's maps, and the maps on the image.

Resizing and cropping are linear and separable, so what a map of any size contributes to a pixel of the prediction is
``rows · map · colsᵀ`` with thin matrices: those of the network's own resizing, then those that undo the transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paddleseg_ext.data.eval_loader import TransInfo
from paddleseg_ext.layers.resample import interpolation_matrix


@dataclass(frozen=True)
class Axis:
    """Height or width of an image on its way into a network.

    Attributes:
        length: Of the image.
        steps: (name, length before it) of each transform that changed it: ``resize`` or ``padding``, at the end.
        prepared: Length after them.
        padded: Length to which the network itself pads that, at the end.
    """

    length: int
    steps: Sequence[tuple[str, int]]
    prepared: int
    padded: int

    def restoring(self) -> np.ndarray:
        """(length, prepared): the matrix that undoes the transforms, as the prediction does."""
        matrix = np.eye(self.prepared, dtype=np.float32)
        for step, before in reversed(self.steps):
            matrix = _interpolation(len(matrix), before, False) @ matrix if step == "resize" else matrix[:before]
        return matrix

    def of_map(self, size: int, align_corners: bool) -> np.ndarray:
        """(prepared, size): the matrix that resizes a map of the network to its input."""
        return _interpolation(size, self.padded, align_corners)[: self.prepared]

    def share(self) -> float:
        """The part of the network's input that is the image, the rest being padding."""
        inside, after = float(self.length), [*(before for _, before in self.steps[1:]), self.prepared]
        for (step, before), length in zip(self.steps, after):
            inside *= length / before if step == "resize" else 1
        return inside / self.padded


class Geometry:
    """The pixels of interest of an image, and how a network's maps lie over it.

    Args:
        size: Height and width of the image, in pixels.
        trans_info: What the transforms recorded.
        prepared: Height and width after them, in pixels.
        multiple: The network pads its input to multiples of it, in pixels.
        pixels: (P, 2), x and y in the image.
        align_corners: How the network resizes its maps.
    """

    def __init__(
        self,
        size: Sequence[int],
        trans_info: TransInfo,
        prepared: Sequence[int],
        multiple: int,
        pixels: np.ndarray,
        align_corners: bool,
    ) -> None:
        self.size, self.pixels, self.align_corners = tuple(size), pixels, align_corners
        steps = [[(step, int(before[i])) for step, before in trans_info] for i in (0, 1)]
        self.axes = [Axis(n, s, p, -(-p // multiple) * multiple) for n, s, p in zip(size, steps, prepared)]
        self.taps = [axis.restoring()[pixels[:, 1 - i]] for i, axis in enumerate(self.axes)]  # (P, prepared) each

    def weights(self, size: Sequence[int]) -> list[np.ndarray]:
        """(P, h) and (P, w): how the rows and columns of a map (h, w) enter the network's output at the pixels."""
        return [
            taps @ axis.of_map(length, self.align_corners) for taps, axis, length in zip(self.taps, self.axes, size)
        ]

    def sample(self, maps: np.ndarray) -> np.ndarray:
        """(…, h, w) → (P, …): what maps of the network give at the pixels, once resized as its logits are."""
        rows, columns = self.weights(maps.shape[-2:])
        return np.einsum("ph,...hw,pw->p...", rows, maps, columns, optimize=True)

    def cells(self, size: Sequence[int]) -> np.ndarray:
        """(P, 2), row and column: the cells of a map (h, w) that the pixels lie in."""
        places = []
        for i, axis in enumerate(self.axes):
            middle = (self.pixels[:, 1 - i] + 0.5) / axis.length * axis.share()
            places.append(np.minimum((middle * size[i]).astype(int), size[i] - 1))
        return np.stack(places, 1)

    def over_image(self, maps: np.ndarray) -> np.ndarray:
        """(…, h, w) → (…, h', w'): the part of maps that lies over the image, its end rounded to whole cells."""
        height, width = (max(1, round(axis.share() * n)) for axis, n in zip(self.axes, maps.shape[-2:]))
        return np.ascontiguousarray(maps[..., :height, :width])


def grid(size: Sequence[int], columns: int, rows: int) -> np.ndarray:
    """(P, 2) pixels (x, y): the middles of the cells of a grid over an image (height, width), at most one per pixel."""
    (height, width), columns, rows = size, min(columns, size[1]), min(rows, size[0])
    xs = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    ys = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    return np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)


def _interpolation(size_in: int, size_out: int, align_corners: bool) -> np.ndarray:
    if size_in == size_out:
        return np.eye(size_in, dtype=np.float32)
    return interpolation_matrix(size_in, size_out, align_corners).numpy()
