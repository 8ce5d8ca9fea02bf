"""Faults that PaddleSeg's develop head has too, where the documented use fails."""

from __future__ import annotations

from typing import Callable

from paddleseg_ext.compat.correct import correct


def dice_labels() -> bool:
    """DiceLoss: gives ignored pixels class 0 in the caller's labels, so the next loss counts them. Any Paddle."""
    return correct(
        "models.losses.dice_loss:DiceLoss.forward",
        {"labels[labels == self.ignore_index] = 0": "labels = labels * mask.squeeze(1).astype(labels.dtype)"},
    )


def se_squeeze() -> bool:
    """SECrossEntropyLoss: ValueError for logits (N, C, 1, 1), which it documents. Any Paddle."""
    return correct(
        "models.losses.semantic_encode_cross_entropy_loss:SECrossEntropyLoss.forward",
        {"logit = logit.squeeze(2).squeeze(3)": "logit = logit.squeeze([2, 3])"},
    )


def point_cross_entropy_weight() -> bool:
    """PointCrossEntropyLoss: weighs a pixel by its class's number instead of its weight. Any Paddle.

    It fails on ignored pixels, too; Paddle ≥ 3.0 raises a TypeError instead.
    """
    return correct(
        "models.losses.point_cross_entropy_loss:PointCrossEntropyLoss.forward",
        {
            "F.one_hot(label, logit.shape[-1])": "F.one_hot(label * mask.astype(label.dtype), logit.shape[-1])",
            "loss = loss * _one_hot_weight.argmax(-1)": "loss = loss * _one_hot_weight.sum(-1)",
        },
    )


def point_rend_points() -> bool:
    """The model PointRend, in evaluation: ValueError, concat of int64 and int32. Paddle ≥ 3.0 (any, for 2.8.0: 0-D)."""
    return correct(
        "models.pointrend:PointHead.get_points_test",
        {"width, num_points]))": "width, num_points.reshape([1]).astype(height.dtype)]))"},
    )


def relax_boundary_border() -> bool:
    """RelaxBoundaryLoss(border=2): ValueError, for its windows start at 1 whatever the border is. Any Paddle."""
    return correct(
        "models.losses.decoupledsegnet_relax_boundary_loss:RelaxBoundaryLoss.relax_onehot",
        {
            f"{side}_start, {side}_end = 1 + {at}, {side} + 1 + {at}": (
                f"{side}_start, {side}_end = self.border + {at}, {side} + self.border + {at}"
            )
            for side, at in (("h", "i"), ("w", "j"))
        },
    )


def relax_boundary_weights() -> bool:
    """RelaxBoundaryLoss(calculate_weights=True): TypeError, the flag hides the method of its name. Any Paddle.

    The method returns nothing, and its result would replace the log-probabilities instead of weighting them. A class
    weighs 1 + upper_bound · (1 - its share of the relaxed labels) if it is there; what is ignored has none.
    """
    loss = "models.losses.decoupledsegnet_relax_boundary_loss:RelaxBoundaryLoss"
    corrections = {
        "forward": {
            "class_weights = self.calculate_weights(label[i])": (
                "class_weights = type(self).calculate_weights(self, label[i])"
            )
        },
        "calculate_weights": {
            "hist = paddle.sum(label, axis=(1, 2)) * 1.0 / label.sum()": (
                "hist = paddle.sum(label, axis=(1, 2)).astype('float32') / label.sum().astype('float32')"
            ),
            "hist = ((hist != 0) * self.upper_bound * (1 - hist)) + 1": (
                "return ((hist != 0).astype('float32') * self.upper_bound * (1 - hist) + 1)[:-1]"
            ),
        },
        "custom_nll": {
            "logsoft = class_weights.unsqueeze((0, 2, 3))": "logsoft = logsoft * class_weights.unsqueeze((0, 2, 3))"
        },
    }
    return all([correct(f"{loss}.{method}", lines) for method, lines in corrections.items()])


UPSTREAM_REPAIRS: tuple[Callable[[], bool], ...] = (
    dice_labels,
    se_squeeze,
    point_cross_entropy_weight,
    point_rend_points,
    relax_boundary_border,
    relax_boundary_weights,
)
