"""What EncNet's codewords stand for in an image, and which channels they let through."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

from paddleseg_ext.explanation.contributions import evidence, logit_sums
from paddleseg_ext.explanation.findings import Bars, Finding, Section
from paddleseg_ext.explanation.registry import register_explainer
from paddleseg_ext.explanation.view import View, array
from paddleseg_ext.heads.enc import EncHead

CHANNELS = 4  # that are shown of the strongest gates, and of the weakest
BARS = 10  # of the largest numbers


@register_explainer(EncHead)
def explain_encoding(head: EncHead, view: View) -> list[Section]:
    """Assignment to codewords, gates of channels, and which classes the encoding takes to be there."""
    context = head.encoding
    watched = [context, context.encoding, context.gate]
    modules, encodings, gates, *se = view.watch(*watched, *([head.se] if "se" in head.output_names else []))
    x = modules[0].inputs[0]  # (1, C, h, w)
    with paddle.no_grad():
        projected = encodings[0].inputs[0]
        assignment = array(context.encoding.assignment(projected.astype("float32").flatten(2)))[0]  # (K, P)
        gate = array(F.sigmoid(gates[0].output))[0]  # (C,)
    assignment = assignment.reshape(-1, *projected.shape[2:])
    sections = [
        Section(
            "Codewords",
            "Each pixel is softly assigned to learned codewords; a codeword's map shows where in the image it stands.",
            _codewords(view, assignment),
            "Zhang et al., EncNet, CVPR 2018, Sec. 3.1",
        ),
        Section(
            "Channel gates",
            "The encoding of the whole image scales each channel by 1 + its gate, which lies between 0 and 1.",
            [*_gates(view, array(x)[0], gate), *_gated_logits(head, view, array(x)[0], gate)],
            "Zhang et al., EncNet, CVPR 2018, Fig. 2",
        ),
    ]
    if se:
        presence = array(F.sigmoid(se[0][0].output))[0]
        share = np.bincount(view.pred.ravel(), minlength=len(view.classes))[: len(view.classes)] / view.pred.size
        classes = list(view.classes)
        sections.append(
            Section(
                "Classes in the image",
                "What the SE branch takes to be in the image, beside what the mask shows.",
                [
                    Bars("Presence by the SE branch", presence, classes, of_classes=True, note="Probability of each."),
                    Bars("Share of the prediction", share, classes, of_classes=True, note="Share of the image."),
                ],
                "Zhang et al., EncNet, CVPR 2018, Sec. 3.2",
            )
        )
    return sections


def _codewords(view: View, assignment: np.ndarray) -> list[Finding]:
    """Of weights (K, h, w): maps, the codeword with the largest share of the image first, and each pixel's own."""
    share = assignment.mean((1, 2))
    order = np.argsort(-share)
    cells = view.geometry.cells(assignment.shape[1:])
    labels = [f"codeword {k}" for k in range(len(share))]
    maps = view.maps(
        "Assignment",
        assignment[order],
        [f"{labels[k]}: {share[k]:.1%}" for k in order],
        note="Weights of each codeword, each on its own scale, with its share of the image.",
    )
    of_pixel = assignment[:, cells[:, 0], cells[:, 1]].T  # (P, K)
    note = "The weights of the pixel, which sum to 1."
    return [maps, view.bars_of_pixels("Codewords of the pixel", of_pixel, labels, top=BARS, note=note)]


def _gates(view: View, x: np.ndarray, gate: np.ndarray) -> list[Finding]:
    """The largest and the smallest gates (C,), and the channels of the map (C, h, w) that they scale."""
    order = np.argsort(-gate)
    shown = [*order[:CHANNELS], *order[-CHANNELS:]]
    strong, weak = order[:BARS], order[::-1][:BARS]
    spread = f"All {len(gate)} lie between {gate.min():.3f} and {gate.max():.3f}, with a mean of {gate.mean():.3f}."
    return [
        Bars("Strongest gates", gate[strong], [f"channel {c}" for c in strong], note=spread),
        Bars("Weakest gates", gate[weak], [f"channel {c}" for c in weak]),
        view.maps(
            "Channels",
            x[shown],
            [f"channel {c}: gate {gate[c]:.2f}" for c in shown],
            note="The channels with the strongest gates, then those with the weakest, before they are scaled.",
        ),
    ]


def _gated_logits(head: EncHead, view: View, x: np.ndarray, gate: np.ndarray) -> list[Finding]:
    """What the map and what its gates add to logits: exact, since relu(x + γx) = (x + γx)·[x + γx > 0]."""
    gates = gate[:, None, None]
    gated = np.stack([x, x * gates]) * (x + x * gates > 0)  # (2, C, h, w)
    weight = array(head.classifier.weight)[:, :, 0, 0]
    parts = view.geometry.sample(gated) @ weight.T  # (P, 2, K)
    rest = np.broadcast_to(array(head.classifier.bias), (len(parts), len(weight)))
    names = ["map", "gates"]
    return [*logit_sums(view, names, parts, rest), evidence(view, names, gated, weight)]
