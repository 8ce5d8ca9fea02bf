"""What each of several concatenated branches contributes to the convolution over them, exactly.

A convolution is linear over blocks of its input's channels and BatchNorm in evaluation is affine, so the normalized map
is the sum of one map per branch and a constant. Where the activation, the 1×1 classifier and bilinear resizing are all
that follows, a logit is such a sum too: an activation multiplies each channel at each pixel by act(y) / y, which is 0
or 1 for a ReLU, and everything after it is linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg_ext.explanation.findings import CLASS, Finding
from paddleseg_ext.explanation.view import View, array
from paddleseg_ext.layers.context_conv import ContextConv
from paddleseg_ext.layers.conv import ConvNormAct, SameConv
from paddleseg_ext.layers.resample import resize, spatial_size

Named = tuple[str, paddle.Tensor]


@dataclass(frozen=True)
class Branches:
    """The blocks of channels that a `ConvNormAct` is applied to.

    Attributes:
        layer: The convolution with its normalization and activation.
        names: Of the B branches, in the order in which the convolution takes them.
        maps: Of each branch, (1, Cᵢ, h, w).
    """

    layer: ConvNormAct
    names: Sequence[str]
    maps: Sequence[paddle.Tensor]

    @classmethod
    def of_stack(cls, layer: ConvNormAct, x: paddle.Tensor, names: Sequence[str], widths: Sequence[int]) -> Branches:
        """Of maps that were concatenated.

        Args:
            layer: The convolution over them.
            x: (1, ΣCᵢ, h, w), its input.
            names: Of the branches, in the order of the channels.
            widths: Cᵢ, channels of each.
        """
        return cls(layer, names, paddle.split(x, list(widths), axis=1))

    @classmethod
    def of_grids(cls, layer: ContextConv, maps: Sequence[Named], grids: Sequence[Named]) -> Branches:
        """Of maps and grids, which the convolution takes as if upsampled.

        Args:
            layer: The convolution over them.
            maps: Names and maps (1, Cᵢ, h, w).
            grids: Names and grids (1, Cᵢ, k, k).
        """
        size = spatial_size(maps[0][1])
        context = [(name, resize(grid, size, layer.align_corners)) for name, grid in grids]
        names, blocks = zip(*([*context, *maps] if layer.grids_first else [*maps, *context]))
        return cls(layer, names, blocks)

    def energies(self) -> np.ndarray:
        """(B, h, w): norm of each branch's map over its channels."""
        return np.stack([np.linalg.norm(array(x)[0], axis=0) for x in self.maps])

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """What each branch adds to the normalized map, (B, O, h, w), and the constant (O, 1, 1) beside them."""
        conv, norm = self.layer.conv, self.layer.norm
        assert isinstance(conv, SameConv)
        bias = paddle.zeros([1, conv.weight.shape[0], 1, 1]) if conv.bias is None else conv.bias.reshape([1, -1, 1, 1])
        with paddle.no_grad():
            offset = norm(paddle.zeros_like(bias))
            weights = paddle.split(conv.weight, [x.shape[1] for x in self.maps], axis=1)
            padding = conv.rate * (conv.weight.shape[2] // 2)
            found = [
                norm(F.conv2d(x.astype(weight.dtype), weight, padding=padding, dilation=conv.rate)) - offset
                for x, weight in zip(self.maps, weights)
            ]
            return np.stack([array(part)[0] for part in found]), array(norm(bias))[0]

    def gates(self, parts: np.ndarray, constant: np.ndarray) -> np.ndarray:
        """(O, h, w): act(y) / y of the normalized map y, which is the sum of the parts.

        Args:
            parts: (B, O, h, w), as `parts` gives them.
            constant: (O, 1, 1), likewise.
        """
        normalized = parts.sum(0) + constant
        with paddle.no_grad():
            activated = array(self.layer.act(paddle.to_tensor(normalized[None])))[0]
        return np.divide(activated, normalized, out=np.zeros_like(activated), where=normalized != 0)


def energy_and_contribution(view: View, branches: Branches, into: str) -> list[Finding]:
    """Maps of each branch's norm and of the norm of what it adds to the normalized map that follows.

    Args:
        view: Of the head.
        branches: Of its convolution.
        into: What the convolution makes, for the note under the maps.

    Returns:
        Two `Maps` of B maps each.
    """
    parts, _ = branches.parts()
    note = f"The norm, over channels, of what each branch adds to {into} before its activation; these parts sum to it."
    return [
        view.maps(
            "Energy of each branch",
            branches.energies(),
            branches.names,
            shared=True,
            note="The norm over its channels, upsampled as the network does; one scale for all.",
        ),
        view.maps("Contribution of each branch", np.linalg.norm(parts, axis=1), branches.names, shared=True, note=note),
    ]


def logit_contributions(view: View, branches: Branches, classifier: nn.Conv2D) -> list[Finding]:
    """What each branch adds to logits, where the classifier follows the branches' convolution directly.

    Args:
        view: Of the head.
        branches: Of the convolution in front of the classifier.
        classifier: The 1×1 convolution to K logits.

    Returns:
        `Bars` of the predicted class at each pixel, and `Maps` of each class asked about.
    """
    parts, constant = branches.parts()
    gates = branches.gates(parts, constant)
    weight = array(classifier.weight)[:, :, 0, 0]  # (K, O)
    gated = parts * gates  # (B, O, h, w)
    of_pixels = view.geometry.sample(gated) @ weight.T  # (P, B, K)
    rest = view.geometry.sample(gates * constant) @ weight.T + array(classifier.bias)  # (P, K)
    return logit_sums(view, branches.names, of_pixels, rest) + [evidence(view, branches.names, gated, weight)]


def logit_sums(view: View, names: Sequence[str], parts: np.ndarray, rest: np.ndarray) -> list[Finding]:
    """Bars of what each branch adds to the logit of the predicted class at each pixel.

    Args:
        view: Of the head.
        names: Of the B branches.
        parts: (P, B, K).
        rest: (P, K), what no branch adds.
    """
    everything = np.concatenate([parts, rest[:, None]], 1)  # (P, B+1, K)
    own = np.take_along_axis(everything, view.best[:, None, None], 2)[:, :, 0]
    note = "What each branch adds to the logit of the class predicted at the pixel; the bars sum to that logit."
    return [view.bars_of_pixels("Contribution to the logit", own, [*names, "constant"], note=note)]


def evidence(view: View, names: Sequence[str], gated: np.ndarray, weight: np.ndarray) -> Finding:
    """Maps of what each branch adds to the logit of each class asked about.

    Args:
        view: Of the head.
        names: Of the B branches.
        gated: (B, O, h, w), what each adds to the map that is classified.
        weight: (K, O), of the classifier.

    Returns:
        `Maps` (M, B, h, w) of the M classes.
    """
    values = np.einsum("mo,bohw->mbhw", weight[view.asked], gated, optimize=True)
    note = "What each branch adds to the logit of the class; red speaks for it, blue against it."
    return view.maps(
        "Evidence for a class", values, names, axis=CLASS, at=view.asked, signed=True, shared=True, note=note
    )
