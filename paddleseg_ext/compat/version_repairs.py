"""Faults of PaddleSeg ≤ 2.9.0, most of which come with the version of Paddle; 2.9.1 and develop have none of them."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any, Callable

import paddle

from paddleseg_ext.compat import profiler
from paddleseg_ext.compat.correct import correct, on_cpu, refuses, refuses_mixed_types


def train_log() -> bool:
    """core.train: IndexError at the first log line, for a loss is 0-D. Paddle ≥ 2.5."""
    return correct(
        "core.train:train",
        {"[l[0] / log_iters for l in avg_loss_list]": "[l.item() / log_iters for l in avg_loss_list]"},
    )


def metric_areas() -> bool:
    """metrics.calculate_area, hence core.evaluate: ValueError, 0-D tensors cannot be concatenated. Paddle ≥ 2.5."""
    names = ("pred_area", "label_area", "intersect_area")
    return correct(
        "utils.metrics:calculate_area", {f"{n} = paddle.concat({n})": f"{n} = paddle.stack({n})" for n in names}
    )


def cross_entropy_types() -> bool:
    """CrossEntropyLoss, DistillCrossEntropyLoss: TypeError, float × int. Paddle ≥ 3.0."""
    return refuses_mixed_types() and correct(
        "models.losses.cross_entropy_loss:CrossEntropyLoss._post_process_loss",
        {
            "F.one_hot(label * mask, logit.shape[-1])": "F.one_hot(label * mask.astype(label.dtype), logit.shape[-1])",
            "(paddle.mean(mask * coef) + self.EPS)": "(paddle.mean(mask * coef.astype(mask.dtype)) + self.EPS)",
        },
    )


def cross_entropy_all_pixels() -> bool:
    """CrossEntropyLoss(weight, avg_non_ignore=False): fails on ignored pixels, which have no weight. Any Paddle.

    Mended as in 2.9.1: the weighted sum is divided by the number of all pixels.
    """
    return correct(
        "models.losses.cross_entropy_loss:CrossEntropyLoss._post_process_loss",
        {"if self.weight is not None:": "if self.avg_non_ignore and self.weight is not None:"},
    )


def train_profiler() -> bool:
    """core.train(profiler_options): AttributeError, paddle.utils has no profiler. Paddle ≥ 2.6."""
    module: Any = importlib.import_module("paddleseg.utils.train_profiler")
    if getattr(module, "paddle", None) is not paddle or hasattr(paddle.utils, "profiler"):
        return False
    module.paddle = SimpleNamespace(utils=SimpleNamespace(profiler=profiler))  # all that it asks of Paddle
    return True


def ohem_types() -> bool:
    """OhemCrossEntropyLoss: TypeError, float + int, once min_kept is below the number of pixels. Paddle ≥ 3.0."""
    return refuses_mixed_types() and correct(
        "models.losses.ohem_cross_entropy_loss:OhemCrossEntropyLoss.forward",
        {"prob = prob + (1 - valid_mask)": "prob = prob + (1 - valid_mask).astype(prob.dtype)"},
    )


def ohem_weight() -> bool:
    """OhemCrossEntropyLoss: AttributeError, the branch 2.8.1 reads a weight that it never sets. Any Paddle."""
    module = importlib.import_module("paddleseg.models.losses.ohem_cross_entropy_loss")
    return not hasattr(module.OhemCrossEntropyLoss(), "weight") and correct(
        "models.losses.ohem_cross_entropy_loss:OhemCrossEntropyLoss.forward",
        {"weight=self.weight,": "weight=None,"},
    )


def ohem_edge_types() -> bool:
    """OhemEdgeAttentionLoss: TypeError, float + int, as in `ohem_types`. Paddle ≥ 3.0."""
    return refuses_mixed_types() and correct(
        "models.losses.ohem_edge_attention_loss:OhemEdgeAttentionLoss.forward",
        {"prob = prob + (1 - valid_mask)": "prob = prob + (1 - valid_mask).astype(prob.dtype)"},
    )


def relax_boundary_types() -> bool:
    """RelaxBoundaryLoss: TypeError, float × int. Paddle ≥ 3.0; earlier, int × float truncates the log-probabilities."""
    return correct(
        "models.losses.decoupledsegnet_relax_boundary_loss:RelaxBoundaryLoss.custom_nll",
        {
            "(soft * label[:, :-1, :, :]).sum(": "(soft * label[:, :-1, :, :].astype(soft.dtype)).sum(",
            "(1 - label[:, :-1, :, :]) + soft_label": "(1 - label[:, :-1, :, :]).astype(soft.dtype) + soft_label",
            "label[:, :-1, :, :] * logsoft": "label[:, :-1, :, :].astype(logsoft.dtype) * logsoft",
        },
    )


def dual_task_types() -> bool:
    """DualTaskLoss: TypeError, float × bool. Paddle ≥ 3.0."""
    names = ("logit", "labels", "loss")
    return refuses_mixed_types() and correct(
        "models.losses.gscnn_dual_task_loss:DualTaskLoss.forward",
        {f"{n} = {n} * mask": f"{n} = {n} * mask.astype({n}.dtype)" for n in names},
    )


def point_cross_entropy_types() -> bool:
    """PointCrossEntropyLoss: TypeError, float × int. Paddle ≥ 3.0."""
    return refuses_mixed_types() and correct(
        "models.losses.point_cross_entropy_loss:PointCrossEntropyLoss.forward",
        {"(paddle.mean(mask * coef) + self.EPS)": "(paddle.mean(mask * coef.astype(mask.dtype)) + self.EPS)"},
    )


def rmi_types() -> bool:
    """RMILoss: TypeError, float × bool. Paddle ≥ 3.0."""
    return refuses_mixed_types() and correct(
        "models.losses.rmi_loss:RMILoss.forward_sigmoid",
        {
            "label_mask_3D, axis=3)": "label_mask_3D, axis=3).astype('float32')",
            "label_mask_3D, axis=1) + _CLIP_MIN": "label_mask_3D, axis=1).astype('float32') + _CLIP_MIN",
        },
    )


def flow_warp_types() -> bool:
    """The models SFNet and DecoupledSegNet: TypeError, float / int. Paddle ≥ 3.0."""
    line = {"(0, 2, 3, 1)) / norm": "(0, 2, 3, 1)) / norm.astype(flow.dtype)"}
    methods = ("sfnet:AlignedModule.flow_warp", "decoupled_segnet:SqueezeBodyEdge.flow_warp")
    return refuses_mixed_types() and any([correct(f"models.{method}", line) for method in methods])


def point_rend_sizes() -> bool:
    """The model PointRend, in evaluation: ValueError, 0-D tensors cannot be concatenated. Paddle ≥ 2.5."""
    return correct(
        "models.pointrend:PointHead.get_points_test",
        {
            "height = paddle.shape(uncertainty_map)[2]": "height = paddle.shape(uncertainty_map)[2:3]",
            "width = paddle.shape(uncertainty_map)[3]": "width = paddle.shape(uncertainty_map)[3:4]",
        },
    )


def bce_pos_weight() -> bool:
    """BCELoss: pos_weight scales only part of a pixel's loss, a silent error of Paddle's kernel. Paddle 2.x."""
    return paddle.__version__.startswith("2.") and correct(
        "models.losses.binary_cross_entropy_loss:BCELoss.forward",
        {
            "pos_weight=pos_weight)": "pos_weight=None)",
            "loss = loss * mask": "loss = loss * mask * (1 if pos_weight is None else 1 + (pos_weight - 1) * label)",
        },
    )


def maskformer_gather() -> bool:
    """MaskFormerLoss: RuntimeError on a CPU, which cannot gather booleans. Paddle 2.x."""
    return refuses(lambda: paddle.gather(on_cpu([True]), on_cpu([0]))) and correct(
        "models.losses.maskformer_loss:MaskFormerLoss.forward",
        {"paddle.cast(item['masks'], 'bool')": "paddle.cast(paddle.cast(item['masks'], 'bool'), 'int32')"},
    )


VERSION_REPAIRS: tuple[Callable[[], bool], ...] = (
    train_log,
    metric_areas,
    train_profiler,
    cross_entropy_types,
    cross_entropy_all_pixels,
    ohem_types,
    ohem_weight,
    ohem_edge_types,
    relax_boundary_types,
    dual_task_types,
    point_cross_entropy_types,
    rmi_types,
    flow_warp_types,
    point_rend_sizes,
    bce_pos_weight,
    maskformer_gather,
)
