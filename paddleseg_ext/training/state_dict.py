"""Model and optimizer to named arrays and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.checkpoint.load import compare, set_weights
from paddleseg_ext.compat.paddle import lr_scheduler, master_weights
from paddleseg_ext.errors import UserError

MASTER = "master"  # float32 copies that an optimizer keeps of half-precision parameters
OPTIMIZER = "optimizer/"


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

    Raises:
        UserError: A parameter of the checkpoint is not in the model.
    """
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
    optimizer.set_state_dict(state)


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
