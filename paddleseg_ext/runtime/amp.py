"""Mixed precision: which types a forward pass computes in, and the scaling of float16 gradients."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.errors import UserError

TYPES: dict[str, Literal["float32", "float16", "bfloat16"]] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
LEVELS = ("O1", "O2")
FIRST_SCALE = 2.0**15


class Precision:
    """How to compute forward and backward passes.

    Args:
        name: ``fp32``; ``fp16`` (with the loss scaled so that small gradients survive) or ``bf16``.
        level: ``O1`` casts what gains by it; ``O2`` keeps the weights in half precision too, with float32 copies in
            the optimizer.

    Raises:
        UserError: The name or the level is unknown, or the device computes in float32 only.
    """

    def __init__(self, name: str = "fp32", level: str = "O1"):
        if name not in TYPES or level not in LEVELS:
            raise UserError(f"precision {name} {level}: allowed are {', '.join(TYPES)} and {', '.join(LEVELS)}")
        if name != "fp32" and paddle.get_device() == "cpu":
            raise UserError(f"`precision` {name} needs a GPU: on the CPU Paddle computes in float32")
        if name == "bf16" and paddle.is_compiled_with_cuda() and not paddle.amp.is_bfloat16_supported():
            raise UserError("`precision` bf16: this GPU has no bfloat16; use fp16")
        self.name, self.level = name, level
        self.scaler = new_scaler() if name == "fp16" else None

    def prepare(self, model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> None:
        """Convert the weights to half precision where the level asks for it."""
        if self.name != "fp32" and self.level == "O2":
            paddle.amp.decorate(model, optimizer, level="O2", dtype=TYPES[self.name], master_weight=True)

    def forward(self) -> AbstractContextManager:
        """The context of a forward pass."""
        return auto_cast(self.name, self.level)

    def backward(self, loss: paddle.Tensor) -> None:
        """Add the loss's gradients."""
        (self.scaler.scale(loss) if self.scaler else loss).backward()

    def unscale(self, optimizer: paddle.optimizer.Optimizer) -> None:
        """Give the gradients their true size."""
        if self.scaler:
            self.scaler.unscale_(optimizer)

    def update(self, optimizer: paddle.optimizer.Optimizer) -> None:
        """Update the parameters, or, where float16 gradients overflowed, lower the scale instead."""
        if self.scaler:
            self.scaler.step(optimizer)
            self.scaler.update()
        else:
            optimizer.step()

    def discard(self) -> None:
        """Forget that gradients were unscaled for a step that is not taken; the scaler would refuse the next."""
        record = self.record()
        if self.scaler:
            self.scaler = new_scaler()
        self.restore(record)

    def tolerates(self, norm: float) -> bool:
        """Whether a step with this gradient norm may go on: an overflow of float16 is mended by a smaller scale."""
        return math.isfinite(norm) or (self.scaler is not None and self.scale > 1)

    @property
    def scale(self) -> float:
        """By how much the loss is multiplied."""
        return float(np.asarray(self.scaler.state_dict()["scale"]).item()) if self.scaler else 1.0

    def record(self) -> dict:
        """The scaler's state as plain values."""
        if self.scaler is None:
            return {}
        return {key: np.asarray(value).item() for key, value in self.scaler.state_dict().items()}

    def restore(self, record: dict, source: str = "the checkpoint") -> None:
        """Put back what `record` gave.

        Raises:
            UserError: It has other entries.
        """
        if self.scaler and record:
            if wrong := [key for key, value in self.record().items() if type(record.get(key)) is not type(value)]:
                raise UserError(f"{source}: scaler.{wrong[0]} is {record.get(wrong[0])!r:.60}, which it cannot be")
            state: Any = {**record, "scale": np.array([record["scale"]], dtype="float32")}
            self.scaler.load_state_dict(state)


def auto_cast(name: str, level: str) -> AbstractContextManager:
    """The context in which a network computes in a precision of `TYPES` at one of `LEVELS`, with Paddle's own lists."""
    mixed = name != "fp32"
    # "float32" is no type to cast to: a disabled context names one all the same
    dtype = TYPES[name if mixed else "fp16"]
    return paddle.amp.auto_cast(mixed, level=level, dtype=dtype)  # type: ignore[arg-type]  # one of LEVELS


def new_scaler() -> paddle.amp.GradScaler:
    """A scaler of float16's losses at the start of a run."""
    return paddle.amp.GradScaler(init_loss_scaling=FIRST_SCALE)
