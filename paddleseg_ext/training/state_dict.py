"""Model and optimizer to named arrays and back."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.checkpoint.load import compare, set_weights
from paddleseg_ext.checkpoint.run.damage import OPTIMIZER
from paddleseg_ext.checkpoint.save import Checkpoint
from paddleseg_ext.compat.paddle import lr_scheduler, master_weights
from paddleseg_ext.errors import UserError, reason

MASTER = "master"  # float32 copies that an optimizer keeps of half-precision parameters
logger = logging.getLogger(__name__)


def model_arrays(model: nn.Layer, exact: Mapping[str, paddle.Tensor] | None = None) -> dict[str, np.ndarray]:
    """Parameters and buffers by name, floats as float32 whatever precision training uses.

    Args:
        model: Whose.
        exact: Takes the place of what the model has under these names: of half-precision parameters their float32
            copies (`masters`), which the model's own are rounded from.
    """
    return {name: _array(value) for name, value in {**model.state_dict(), **(exact or {})}.items()}


def masters(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> dict[str, paddle.Tensor]:
    """The float32 copies that the optimizer keeps of the model's half-precision parameters, by the model's names."""
    if not (copies := master_weights(optimizer)):
        return {}
    return {name: copies[value.name] for name, value in model.named_parameters() if value.name in copies}


def load_model(model: nn.Layer, weights: dict[str, np.ndarray], source: str) -> None:
    """Put back what `model_arrays` gave; dtypes are those of the model.

    Raises:
        UserError: A name or a shape differs: the checkpoint belongs to another model.
    """
    found = compare(weights, model.state_dict())
    for owner, names in (("the model", found.missing), ("the checkpoint", found.unexpected)):
        if names:
            raise UserError(f"{source}: {min(names)} is in {owner} alone, so it is a checkpoint of another model")
    for name, theirs, ours in found.mismatched:
        raise UserError(
            f"{source}: {name} has the shape {theirs}, the model's has {ours}, so it is a checkpoint of another model"
        )
    set_weights(model, weights)


def optimizer_arrays(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> dict[str, np.ndarray]:
    """The optimizer's tensors, named after the model's parameters.

    Paddle names them after its automatic parameter names (``conv2d_3.w_0_velocity_0``), which change with whatever
    layers a process built before; here ``optimizer/velocity_0/backbone.conv1.weight``.
    """
    names = {parameter.name: name for name, parameter in model.named_parameters()}
    state = {key: value for key, value in optimizer.state_dict().items() if key != "LR_Scheduler"}
    arrays = {}
    for parameter, value in state.pop("master_weights", {}).items():
        arrays[f"{OPTIMIZER}{MASTER}/{names[parameter]}"] = _array(value)
    for key, value in state.items():
        parameter = _owner(key, names)
        arrays[f"{OPTIMIZER}{key[len(parameter) + 1 :]}/{names[parameter]}"] = _array(value)
    return arrays


def load_optimizer(
    optimizer: paddle.optimizer.Optimizer, model: nn.Layer, arrays: dict[str, np.ndarray], schedule: dict, source: str
) -> None:
    """Put back what `optimizer_arrays` gave, and the schedule's state.

    Args:
        optimizer: Of the model; it is changed.
        model: Its parameters are those that the arrays are named after.
        arrays: By name; those of other things than the optimizer are skipped.
        schedule: What `schedule_record` gave.
        source: Where they are from, for messages.

    Raises:
        UserError: A parameter of the checkpoint is not in the model, or what is there is no state of the optimizer.
    """
    if wrong := _misfit(schedule, schedule_record(optimizer), "schedule"):
        raise UserError(f"{source}: {wrong}")
    parameters = {name: parameter.name for name, parameter in model.named_parameters()}
    state: dict[str, Any] = {"LR_Scheduler": schedule}
    master: dict[str, paddle.Tensor] = {}
    suffixes: dict[str, str] = {}  # of the float32 copies' names, which those of momentum and the like are made from
    for key, value in arrays.items():
        if not key.startswith(OPTIMIZER):
            continue
        kind, name = key[len(OPTIMIZER) :].split("/", 1)
        if name not in parameters:
            raise UserError(f"{source}: the optimizer's state of {name} belongs to no parameter of this model")
        if kind == MASTER:
            master[parameters[name]] = paddle.to_tensor(value)
        else:
            if found := re.match(r"fp32_master_\d+", kind):
                suffixes[parameters[name]] = found[0]
            state[f"{parameters[name]}_{kind}"] = paddle.to_tensor(value)
    if master:
        for parameter, copy in master.items():
            copy.name = f"{parameter}_{suffixes.get(parameter, 'fp32_master_0')}"
        state["master_weights"] = master
    try:
        optimizer.set_state_dict(state)
    except (AssertionError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{source}: the optimizer's state does not fit: {reason(error)}") from error


def check_optimizer(optimizer: paddle.optimizer.Optimizer, saved: Checkpoint, source: Path, anyway: bool) -> None:
    """Tell that a checkpoint has no optimizer state, where the optimizer keeps some: training would go on otherwise.

    Args:
        optimizer: Of the run.
        saved: The checkpoint's content; one of before the first step has none.
        source: Its folder.
        anyway: Warn only.

    Raises:
        UserError: There is none.
    """
    stepped = saved.record["iteration"] > saved.record["skipped"]
    if not stepped or any(name.startswith(OPTIMIZER) for name in saved.arrays):
        return
    if type(optimizer) is paddle.optimizer.SGD:  # the one that keeps none
        return
    told = f"checkpoint {source} has no optimizer state: {type(optimizer).__name__} would start with none"
    if not anyway:
        raise UserError(f"{told}, which gives other weights; resume from another, or add `resume_anyway`")
    logger.warning(f"warning: {told}, as `resume_anyway` asks for")


def _misfit(found: Any, own: Any, name: str) -> str | None:
    """Where plain values differ in kind from those that they are to replace, as a sentence, or None."""
    if isinstance(own, dict) and isinstance(found, dict):
        if missing := sorted(own.keys() - found.keys()):
            return f"{name}.{missing[0]} is missing"
        return next((wrong for key in own if (wrong := _misfit(found[key], own[key], f"{name}.{key}"))), None)
    kinds = (int, float) if type(own) in (int, float) else type(own)
    return None if own is None or isinstance(found, kinds) else f"{name} is {found!r:.60}, not as {own!r:.60}"


def schedule_record(optimizer: paddle.optimizer.Optimizer) -> dict:
    """The schedule's state as plain values."""
    schedule = lr_scheduler(optimizer)
    return _plain(schedule.state_dict()) if schedule else {}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.item() if hasattr(value, "item") else value


def _array(value: paddle.Tensor) -> np.ndarray:
    if value.dtype in (paddle.float16, paddle.bfloat16):
        value = value.astype("float32")
    return np.ascontiguousarray(value.numpy()).reshape(value.shape)  # contiguous, but not 0-D made 1-D


def _owner(key: str, names: dict[str, str]) -> str:
    """The parameter whose automatic name starts `key`."""
    head = key
    while "_" in head:
        head = head.rpartition("_")[0]
        if head in names:
            return head
    raise KeyError(f"no parameter of the model owns the optimizer's {key}")
