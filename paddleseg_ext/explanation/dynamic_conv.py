"""The kernels that DMNet predicts from the image."""

from __future__ import annotations

import numpy as np

from paddleseg_ext.explanation.contributions import Branches, energy_and_contribution, logit_contributions
from paddleseg_ext.explanation.findings import Finding, Maps, Section
from paddleseg_ext.explanation.registry import register_explainer
from paddleseg_ext.explanation.view import View, array
from paddleseg_ext.heads.dm import DMHead

STRONGEST = 6  # kernels that are shown beside the mean


@register_explainer(DMHead)
def explain_dynamic(head: DMHead, view: View) -> list[Section]:
    """Kernels of each filter size, and what each size contributes."""
    *generated, bottleneck = view.watch(*(conv.filter_gen for conv in head.dynamic), head.bottleneck.conv)
    kernels = [array(calls[0].output)[0] for calls in generated]  # (C, k, k) each
    sizes = [f"{k}×{k}" for k in head.dynamic.filter_sizes]
    findings = [_kernels(size, kernel) for size, kernel in zip(sizes, kernels)]
    names = ["backbone's map", *(f"filters {size}" for size in sizes)]
    widths = [head.in_channels, *(head.channels for _ in sizes)]
    branches = Branches.of_stack(head.bottleneck, bottleneck[0].inputs[0], names, widths)
    return [
        Section(
            "Predicted kernels",
            "The filters that the network made for this image, one per channel: their mean, and those of largest norm. "
            "Red is positive, blue negative.",
            findings,
            "He et al., DMNet, ICCV 2019, Sec. 3.2",
        ),
        Section(
            "Filter sizes",
            "The filtered maps are concatenated with the backbone's and go through one convolution.",
            [
                *energy_and_contribution(view, branches, "the bottleneck's map"),
                *logit_contributions(view, branches, head.classifier),
            ],
        ),
    ]


def _kernels(size: str, kernels: np.ndarray) -> Finding:
    """The mean of kernels (C, k, k) over channels, and the strongest."""
    norms = np.linalg.norm(kernels.reshape(len(kernels), -1), axis=1)
    strongest = np.argsort(-norms)[:STRONGEST]
    return Maps(
        f"Kernels {size}",
        np.stack([kernels.mean(0), *kernels[strongest]]),
        ["mean", *(f"channel {channel}" for channel in strongest)],
        signed=True,
        over_image=False,
    )
