"""What the pixels of CCNet attend to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle

from paddleseg_ext.explanation.contributions import Branches, energy_and_contribution, logit_contributions
from paddleseg_ext.explanation.findings import Finding, Section
from paddleseg_ext.explanation.registry import register_explainer
from paddleseg_ext.explanation.view import View, array
from paddleseg_ext.heads.cc import CCHead
from paddleseg_ext.layers.criss_cross import CrissCrossAttention
from paddleseg_ext.layers.functional import FLIP, criss_cross_weights


class Pass:
    """The attention weights of one pass of criss-cross attention over a map.

    Args:
        layer: The attention.
        x: (1, C, H, W), its input.

    Attributes:
        row: (H, W, W'), weights of each pixel for those of its row, itself included.
        column: (W, H, H'), for those of its column, itself excluded; row and column of a pixel sum to 1.
    """

    def __init__(self, layer: CrissCrossAttention, x: paddle.Tensor) -> None:
        with paddle.no_grad():
            query, key = (conv(x.astype("float32")).transpose([0, 2, 3, 1]) for conv in (layer.query, layer.key))
            row, column, total = criss_cross_weights(query, key)
            self.row = array(row / total)[0]
            self.column = array(column / total.transpose(FLIP))[0]

    def after(self, weights: np.ndarray) -> np.ndarray:
        """The matrix product of weights (P, H, W) over this pass's results with the pass: weights over its input."""
        along = np.matmul(weights.transpose(1, 0, 2), self.row)  # (H, P, W')
        across = np.matmul(weights.transpose(2, 0, 1), self.column)  # (W, P, H')
        return along.transpose(1, 0, 2) + across.transpose(1, 2, 0)


def expansion(passes: Sequence[Pass], cells: np.ndarray) -> list[np.ndarray]:
    """How the output of recurrent attention at some pixels depends on every pixel of its input.

    A pass is x ← x + γ·A·(W x + b), pixels along A's axes and channels along W's, so after R passes

        x_R = Σ_m γᵐ · E_m · Wᵐ x₀ + a constant,    E_m = Σ_{t₁ > … > t_m} A_t₁ ⋯ A_t_m

    with E₀ = 1 and E_R = A_R ⋯ A₁, the passes composed.

    Args:
        passes: In the order in which they are applied.
        cells: (P, 2), row and column.

    Returns:
        E_0 … E_R, each (P, H, W): the rows of the pixels.
    """
    height, width = passes[0].row.shape[:2]
    start = np.zeros((len(cells), height, width), np.float32)
    start[np.arange(len(cells)), cells[:, 0], cells[:, 1]] = 1
    terms = [start]
    for attention in reversed(passes):
        applied = [attention.after(term) for term in terms]
        terms = [start, *(a + b for a, b in zip(terms[1:], applied)), applied[-1]]
    return terms


def contribution_norms(layer: CrissCrossAttention, terms: Sequence[np.ndarray], x: paddle.Tensor) -> np.ndarray:
    """(P, H, W): norm of what attention adds to the pixels' vectors from each pixel of its input (1, C, H, W)."""
    gamma, weight = float(layer.gamma), array(layer.value.weight)[:, :, 0, 0]
    powers = [array(x)[0]]
    for _ in terms[1:]:
        powers.append(gamma * np.einsum("oc,chw->ohw", weight, powers[-1], optimize=True))
    total = np.zeros_like(terms[0])
    for m in range(1, len(terms)):
        for n in range(1, len(terms)):
            total += terms[m] * terms[n] * (powers[m] * powers[n]).sum(0)
    return np.sqrt(np.maximum(total, 0))


@register_explainer(CCHead)
def explain_criss_cross(head: CCHead, view: View) -> list[Section]:
    """Attention of each pass and of all composed, what they add, and what the fusing convolution takes."""
    calls, fused = view.watch(head.attention, head.fuse.conv)
    inputs = [call.inputs[0] for call in calls]
    passes = [Pass(head.attention, x) for x in inputs]
    cells = view.geometry.cells(inputs[0].shape[2:])
    terms = expansion(passes, cells)
    weights = [attention.after(terms[0]) for attention in passes]
    names = [f"pass {i + 1}" for i in range(len(passes))]
    if len(passes) > 1:
        weights, names = [*weights, terms[-1]], [*names, "all passes composed"]
    added = contribution_norms(head.attention, terms, inputs[0])
    before = np.linalg.norm(array(inputs[0])[0], axis=0)
    change = np.linalg.norm(array(calls[-1].output - inputs[0])[0], axis=0)
    at = tuple(cells.T)
    gamma = float(head.attention.gamma)
    findings: list[Finding] = [
        view.maps_of_pixels(
            "Attention",
            np.stack(weights, 1),
            names,
            square_root=True,
            note="The weights of all pixels for the chosen one, which sum to 1; colors follow their square root.",
        ),
        view.maps_of_pixels(
            "What attention adds",
            added[:, None],
            ["norm of the addition"],
            square_root=True,
            note="The norm of what each pixel's vector adds to the chosen one's through all passes, values included.",
        ),
        view.bars_of_pixels(
            "Size of the addition",
            np.stack([before[at], change[at]], 1),
            ["the pixel's vector", "what attention adds"],
            note=f"Norms over channels; attention is scaled by the learned γ = {gamma:.4g}.",
        ),
    ]
    context = Branches.of_stack(
        head.fuse, fused[0].inputs[0], ["backbone's map", "attention"], [head.in_channels, head.channels]
    )
    return [
        Section(
            "Criss-cross attention",
            "Each pixel attends to its row and column; the second pass, over what the first gathered, reaches all.",
            findings,
            "Huang et al., CCNet, ICCV 2019, Sec. 3.2",
        ),
        Section(
            "Map and context",
            "The last convolution sees the backbone's map beside the one that attention has passed over.",
            [
                *energy_and_contribution(view, context, "the fused map"),
                *logit_contributions(view, context, head.classifier),
            ],
        ),
    ]
