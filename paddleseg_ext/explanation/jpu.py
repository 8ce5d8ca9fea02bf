"""What joint pyramid upsampling takes from each stage of the backbone, and gives to the head behind it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import paddle

from paddleseg_ext.explanation.contributions import Branches
from paddleseg_ext.explanation.findings import Finding, Section
from paddleseg_ext.explanation.registry import explain_head, register_explainer
from paddleseg_ext.explanation.view import Call, View, array
from paddleseg_ext.heads.fastfcn import FastFCNHead
from paddleseg_ext.layers.conv import ConvNormAct


@register_explainer(FastFCNHead)
def explain_jpu(head: FastFCNHead, view: View) -> list[Section]:
    """Stages and dilations of the JPU, then what explains the inner head."""
    jpu = head.jpu
    inner = {name: layer for name, layer in head.head.named_sublayers() if isinstance(layer, ConvNormAct)}
    joint, *calls = view.watch(
        jpu, *(branch.pointwise.conv for branch in jpu.dilated), *(layer.conv for layer in inner.values())
    )
    joined = joint[0].output  # (1, D·C, h, w)
    rates = [f"rate {branch.depthwise.conv.rate}" for branch in jpu.dilated]
    width = joined.shape[1] // len(rates)
    outputs = array(joined)[0].reshape(len(rates), width, *joined.shape[2:])
    findings: list[Finding] = [
        view.maps(
            "Energy of each dilation",
            np.linalg.norm(outputs, axis=1),
            rates,
            shared=True,
            note="The norm over its channels; one scale for all.",
        )
    ]
    stages = [f"stage {i + 1} of the backbone" for i in head.in_indices]
    of_stages = np.zeros((len(stages), *joined.shape[2:]), np.float32)
    for branch, found in zip(jpu.dilated, calls):
        x = found[0].inputs[0]
        with paddle.no_grad():
            offset = branch.depthwise.norm(paddle.zeros([1, x.shape[1], 1, 1]))  # is no stage's
        parts, constants = (
            Branches.of_stack(branch.pointwise, stacked, stages, [width] * len(stages)).parts()[0]
            for stacked in (x, offset)
        )
        of_stages += np.square(parts - constants).sum(1)
    of_stages = np.sqrt(of_stages[::-1] if jpu.deep_first else of_stages)  # as they are stacked, finest first
    findings.append(
        view.maps(
            "Contribution of each stage",
            of_stages,
            stages,
            shared=True,
            note="The norm of what each stage adds to the JPU's maps before their activation, over all dilations.",
        )
    )
    if behind := _first_behind(inner, calls[len(rates) :], joined):
        parts, _ = Branches.of_stack(inner[behind], joined, rates, [width] * len(rates)).parts()
        findings.append(
            view.maps(
                "Contribution of each dilation",
                np.linalg.norm(parts, axis=1),
                rates,
                shared=True,
                note=f"The norm of what each dilation adds to the inner head's {behind} before its activation.",
            )
        )
    section = Section(
        "Joint pyramid upsampling",
        "The backbone's last stages are joined at the finest one's size and convolved at several dilations, "
        f"in front of {type(head.head).__name__}.",
        findings,
        "Wu et al., FastFCN, 2019, Sec. 3.3",
    )
    return [section, *explain_head(head.head, view)]


def _first_behind(names: Iterable[str], calls: Iterable[list[Call]], joined: paddle.Tensor) -> str | None:
    """Name of the first of the inner head's convolutions that takes the joined map whole, if one does."""
    for name, found in zip(names, calls):
        for call in found:
            x = call.inputs[0]
            if x.shape == joined.shape and bool((x == joined).all()):
                return name
    return None
