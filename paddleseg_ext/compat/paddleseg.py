"""Repairs of PaddleSeg: every fault that is worked around, one function each.

PyPI's newest paddleseg, 2.8.0, predates two changes of Paddle: a reduction to one number returns a 0-D tensor (since
2.5), and an operation between a floating and an integer or boolean tensor is refused (since 3.0). PaddleSeg's develop
head follows both; the few faults of its own that make a documented use fail are repaired there too.

A repair looks at the source of the installed function and acts only where it finds the faulty line, so a PaddleSeg that
has mended it is left alone. The function is then compiled again with that line corrected and keeps everything else, its
identity included: whoever imported it earlier, under whatever name, has the repaired one.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import linecache
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any, Callable

import paddle
from paddleseg.utils import logger


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block PaddleSeg does not tell each step of what it does; its warnings and errors stay."""
    original = logger.info
    logger.info = lambda *_, **__: None
    try:
        yield
    finally:
        logger.info = original


applied: list[str] = []  # names of the repairs in force


def repair() -> list[str]:
    """Apply the repairs whose fault is present and return their names; a second call finds none."""
    names = [fix.__name__ for fix in (*VERSION_REPAIRS, *UPSTREAM_REPAIRS) if fix()]
    applied.extend(names)
    return names


# Faults of PaddleSeg ≤ 2.8.0 that come with the version of Paddle. The develop head has none of them.


def train_log() -> bool:
    """core.train: IndexError at the first log line, for a loss is 0-D. Paddle ≥ 2.5."""
    return _correct(
        "core.train:train",
        {"[l[0] / log_iters for l in avg_loss_list]": "[l.item() / log_iters for l in avg_loss_list]"},
    )


def metric_areas() -> bool:
    """metrics.calculate_area, hence core.evaluate: ValueError, 0-D tensors cannot be concatenated. Paddle ≥ 2.5."""
    names = ("pred_area", "label_area", "intersect_area")
    return _correct(
        "utils.metrics:calculate_area", {f"{n} = paddle.concat({n})": f"{n} = paddle.stack({n})" for n in names}
    )


def cross_entropy_types() -> bool:
    """CrossEntropyLoss, DistillCrossEntropyLoss: TypeError, float × int. Paddle ≥ 3.0."""
    return _refuses_mixed_types() and _correct(
        "models.losses.cross_entropy_loss:CrossEntropyLoss._post_process_loss",
        {
            "F.one_hot(label * mask, logit.shape[-1])": "F.one_hot(label * mask.astype(label.dtype), logit.shape[-1])",
            "(paddle.mean(mask * coef) + self.EPS)": "(paddle.mean(mask * coef.astype(mask.dtype)) + self.EPS)",
        },
    )


def ohem_types() -> bool:
    """OhemCrossEntropyLoss: TypeError, float + int, once min_kept is below the number of pixels. Paddle ≥ 3.0."""
    return _refuses_mixed_types() and _correct(
        "models.losses.ohem_cross_entropy_loss:OhemCrossEntropyLoss.forward",
        {"prob = prob + (1 - valid_mask)": "prob = prob + (1 - valid_mask).astype(prob.dtype)"},
    )


def ohem_edge_types() -> bool:
    """OhemEdgeAttentionLoss: TypeError, float + int, as in `ohem_types`. Paddle ≥ 3.0."""
    return _refuses_mixed_types() and _correct(
        "models.losses.ohem_edge_attention_loss:OhemEdgeAttentionLoss.forward",
        {"prob = prob + (1 - valid_mask)": "prob = prob + (1 - valid_mask).astype(prob.dtype)"},
    )


def relax_boundary_types() -> bool:
    """RelaxBoundaryLoss: TypeError, float × int. Paddle ≥ 3.0; earlier, int × float truncates the log-probabilities."""
    return _correct(
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
    return _refuses_mixed_types() and _correct(
        "models.losses.gscnn_dual_task_loss:DualTaskLoss.forward",
        {f"{n} = {n} * mask": f"{n} = {n} * mask.astype({n}.dtype)" for n in names},
    )


def point_cross_entropy_types() -> bool:
    """PointCrossEntropyLoss: TypeError, float × int. Paddle ≥ 3.0."""
    return _refuses_mixed_types() and _correct(
        "models.losses.point_cross_entropy_loss:PointCrossEntropyLoss.forward",
        {"(paddle.mean(mask * coef) + self.EPS)": "(paddle.mean(mask * coef.astype(mask.dtype)) + self.EPS)"},
    )


def rmi_types() -> bool:
    """RMILoss: TypeError, float × bool. Paddle ≥ 3.0."""
    return _refuses_mixed_types() and _correct(
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
    return _refuses_mixed_types() and any([_correct(f"models.{method}", line) for method in methods])


def point_rend_sizes() -> bool:
    """The model PointRend, in evaluation: ValueError, 0-D tensors cannot be concatenated. Paddle ≥ 2.5."""
    return _correct(
        "models.pointrend:PointHead.get_points_test",
        {
            "height = paddle.shape(uncertainty_map)[2]": "height = paddle.shape(uncertainty_map)[2:3]",
            "width = paddle.shape(uncertainty_map)[3]": "width = paddle.shape(uncertainty_map)[3:4]",
        },
    )


def bce_pos_weight() -> bool:
    """BCELoss: pos_weight scales only part of a pixel's loss, a silent error of Paddle's kernel. Paddle 2.x."""
    return paddle.__version__.startswith("2.") and _correct(
        "models.losses.binary_cross_entropy_loss:BCELoss.forward",
        {
            "pos_weight=pos_weight)": "pos_weight=None)",
            "loss = loss * mask": "loss = loss * mask * (1 if pos_weight is None else 1 + (pos_weight - 1) * label)",
        },
    )


def maskformer_gather() -> bool:
    """MaskFormerLoss: RuntimeError on a CPU, which cannot gather booleans. Paddle 2.x."""
    return _refuses(lambda: paddle.gather(_cpu([True]), _cpu([0]))) and _correct(
        "models.losses.maskformer_loss:MaskFormerLoss.forward",
        {"paddle.cast(item['masks'], 'bool')": "paddle.cast(paddle.cast(item['masks'], 'bool'), 'int32')"},
    )


VERSION_REPAIRS: tuple[Callable[[], bool], ...] = (
    train_log,
    metric_areas,
    cross_entropy_types,
    ohem_types,
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


# Faults that PaddleSeg's develop head has too, where the documented use fails.


def dice_labels() -> bool:
    """DiceLoss: gives ignored pixels class 0 in the caller's labels, so the next loss counts them. Any Paddle."""
    return _correct(
        "models.losses.dice_loss:DiceLoss.forward",
        {"labels[labels == self.ignore_index] = 0": "labels = labels * mask.squeeze(1).astype(labels.dtype)"},
    )


def se_squeeze() -> bool:
    """SECrossEntropyLoss: ValueError for logits (N, C, 1, 1), which it documents. Any Paddle."""
    return _correct(
        "models.losses.semantic_encode_cross_entropy_loss:SECrossEntropyLoss.forward",
        {"logit = logit.squeeze(2).squeeze(3)": "logit = logit.squeeze([2, 3])"},
    )


def point_cross_entropy_weight() -> bool:
    """PointCrossEntropyLoss: weighs a pixel by its class's number instead of its weight. Any Paddle.

    It fails on ignored pixels, too; Paddle ≥ 3.0 raises a TypeError instead.
    """
    return _correct(
        "models.losses.point_cross_entropy_loss:PointCrossEntropyLoss.forward",
        {
            "F.one_hot(label, logit.shape[-1])": "F.one_hot(label * mask.astype(label.dtype), logit.shape[-1])",
            "loss = loss * _one_hot_weight.argmax(-1)": "loss = loss * _one_hot_weight.sum(-1)",
        },
    )


def point_rend_points() -> bool:
    """The model PointRend, in evaluation: ValueError, concat of int64 and int32. Paddle ≥ 3.0 (any, for 2.8.0: 0-D)."""
    return _correct(
        "models.pointrend:PointHead.get_points_test",
        {"width, num_points]))": "width, num_points.reshape([1]).astype(height.dtype)]))"},
    )


UPSTREAM_REPAIRS: tuple[Callable[[], bool], ...] = (
    dice_labels,
    se_squeeze,
    point_cross_entropy_weight,
    point_rend_points,
)


@functools.cache
def _refuses_mixed_types() -> bool:
    return _refuses(lambda: _cpu([1.0]) * _cpu([1]))


def _refuses(operation: Callable[[], object]) -> bool:
    try:
        operation()
    except (TypeError, RuntimeError):
        return True
    return False


def _cpu(values: list) -> paddle.Tensor:
    return paddle.to_tensor(values, place=paddle.CPUPlace())  # an import must not wake a GPU


def _correct(target: str, corrections: dict[str, str]) -> bool:
    """Recompile a function of PaddleSeg with some of its lines corrected.

    Args:
        target: "module:function" or "module:Class.method", within paddleseg.
        corrections: Ends of faulty lines, and what to write instead.

    Returns:
        Whether the faulty lines were there, all of them; otherwise nothing is done.
    """
    module, path = target.split(":")
    function: Any = functools.reduce(getattr, path.split("."), importlib.import_module(f"paddleseg.{module}"))
    lines = linecache.getlines(function.__code__.co_filename, function.__globals__)
    if not _has(corrections, "".join(lines)):  # a glance at the file, for cutting the function out of it takes time
        return False
    source = textwrap.dedent("".join(inspect.getblock(lines[function.__code__.co_firstlineno - 1 :])))
    if not _has(corrections, source):
        return False
    for faulty, right in corrections.items():
        source = source.replace(f"{faulty}\n", f"{right}\n")
    filename = f"<paddleseg.{module}.{path}, repaired by paddleseg_ext>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)  # for tracebacks
    constants = compile(source, filename, "exec", dont_inherit=True).co_consts
    function.__code__ = next(c for c in constants if isinstance(c, CodeType) and c.co_name == function.__name__)
    return True


def _has(line_ends: Iterable[str], source: str) -> bool:
    return all(f"{end}\n" in source for end in line_ends)
