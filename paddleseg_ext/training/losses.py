"""From a model's outputs and a batch to named losses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import paddle
from paddle import nn

from paddleseg_ext.errors import UserError, reason

logger = logging.getLogger(__name__)


def output_names(model: nn.Layer, count: int) -> list[str]:
    """Names of a model's training outputs: its own `output_names`, else ``out0``, ``out1`` and so on."""
    return list(getattr(model, "output_names", None) or [f"out{i}" for i in range(count)])


def check_count(names: Sequence[str], losses: dict) -> None:
    """Compare the outputs' names with the configured losses.

    Raises:
        UserError: ``loss.types`` or ``loss.coef`` has another number of entries than the model has outputs.
    """
    for key in ("types", "coef"):
        count = len(losses[key])
        if count != len(names):
            raise UserError(
                f"loss.{key} has {count} entries but the model gives {len(names)} outputs: {', '.join(names)}"
            )


def compute(model: nn.Layer, outputs: Sequence[paddle.Tensor], batch: dict, losses: dict) -> dict[str, paddle.Tensor]:
    """The weighted loss of each output, by the output's name; their sum is what training minimizes.

    Args:
        model: Names the outputs. One with a `loss_computation` of its own (PaddleSeg's MaskFormer) computes them too.
        outputs: What the model returned in training mode.
        batch: ``label`` (N, H, W) integers and, for losses on edges, ``edge`` of the same shape.
        losses: ``{"types": [loss layers], "coef": [numbers]}``, one entry per output.

    Raises:
        UserError: The number of losses is not that of outputs, a loss wants edges that the data set does not give, or
            it gives more than one number.
    """
    if hasattr(model, "loss_computation"):
        own = model.loss_computation(outputs, losses, batch)
        return dict(own) if isinstance(own, dict) else {f"loss{i}": loss for i, loss in enumerate(own)}
    names = output_names(model, len(outputs))
    check_count(names, losses)
    if len(outputs) != len(names):
        raise UserError(f"the model promises the outputs {', '.join(names)} but gave {len(outputs)}")
    labels = batch["label"].astype("int64")
    values = {}
    for name, output, loss, coef in zip(names, outputs, losses["types"], losses["coef"]):
        value = _compute_one_loss(loss, output, outputs, labels, batch)
        values[name] = coef * _as_scalar(value, type(loss).__name__, output)
    return values


def mask_loss(model: nn.Layer, losses: dict) -> Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor] | None:
    """The first output's weighted loss of logits (N, K, H, W) and labels (N, H, W), or None where it takes more.

    Where the loss fails, which is told once, the result is NaN.
    """
    loss, coef = losses["types"][0], losses["coef"][0]
    special = type(loss).__name__ in ("BCELoss", "KLLoss") or getattr(loss, "data_format", "NCHW") != "NCHW"
    if special or hasattr(model, "loss_computation"):
        return None
    failed = False

    def compute_mask_loss(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        nonlocal failed
        try:
            value = _compute_one_loss(loss, logits, [logits], labels.astype("int64"), {})
            return coef * _as_scalar(value, type(loss).__name__, logits)
        except Exception as error:  # a loss may want what only training gives; the run is worth more than the number
            if not failed:
                logger.warning(
                    f"warning: no validation loss: {type(loss).__name__}: {type(error).__name__}: {reason(error)}"
                )
            failed = True
            return paddle.to_tensor(float("nan"))

    return compute_mask_loss


def _as_scalar(value: paddle.Tensor, kind: str, output: paddle.Tensor) -> paddle.Tensor:
    """The loss as one number. PaddleSeg's Lovász losses give an empty tensor where a batch has no labeled pixel."""
    if value.size == 0:
        return output.sum() * 0.0  # rather than a constant: every process has gradients to exchange
    if value.size > 1:
        raise UserError(f"loss.types: {kind} gives {value.size} numbers, and a loss is one, for instance their mean")
    return value


def _compute_one_loss(
    loss: nn.Layer, output: paddle.Tensor, outputs: Sequence, labels: paddle.Tensor, batch: dict
) -> paddle.Tensor:
    kind = type(loss).__name__  # PaddleSeg's own loop distinguishes them by name
    if kind == "BCELoss" and loss.edge_label:
        if "edge" not in batch:
            raise UserError("loss.types: BCELoss with edge_label needs train_dataset.edge: True")
        return loss(output, batch["edge"].astype("int64"))
    if kind == "KLLoss":
        return loss(outputs[0], outputs[1].detach())
    if kind == "MixedLoss":
        return sum(loss(output, labels))
    return loss(output, labels)
