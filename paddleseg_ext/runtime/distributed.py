"""Several processes, started by ``python -m paddle.distributed.launch``; for one process nothing here does anything."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import paddle
from paddle import distributed, nn

from paddleseg_ext.errors import UserError


def init() -> None:
    """Connect the processes of a launch: NCCL on GPUs, gloo on CPUs."""
    if world_size() > 1 and not distributed.is_initialized():
        distributed.init_parallel_env()


def launched() -> bool:
    """Whether Paddle's launcher started this process."""
    return "PADDLE_TRAINER_ID" in os.environ


def rank() -> int:
    """This process's number; process 0 alone writes files."""
    return distributed.get_rank()


def world_size() -> int:
    """The number of processes."""
    return distributed.get_world_size()


def barrier() -> None:
    """Wait until all processes are here."""
    if world_size() > 1:
        distributed.barrier()


def all_reduce_mean(values: paddle.Tensor) -> paddle.Tensor:
    """The mean of a tensor over the processes, the same in each."""
    if world_size() > 1:
        distributed.all_reduce(values)
        values = values / world_size()
    return values


def all_reduce_sum(values: np.ndarray) -> None:
    """Replace an array, of the same shape everywhere, by the sum of all processes' arrays."""
    if world_size() > 1:
        tensor = paddle.to_tensor(values)
        distributed.all_reduce(tensor)
        values[...] = tensor.numpy()


def all_reduce_max(value: int) -> int:
    """The largest of the processes' numbers, so that all decide alike."""
    if world_size() == 1:
        return value
    shared = paddle.to_tensor([value], dtype="int64")
    distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
    return int(shared)


def data_parallel(model: nn.Layer) -> nn.Layer:
    """The model with its gradients averaged over the processes after each backward pass."""
    return paddle.DataParallel(model) if world_size() > 1 else model


def no_sync(network: nn.Layer) -> AbstractContextManager:
    """Within the block `network` leaves its gradients alone: for all but the last of several backward passes."""
    return network.no_sync() if isinstance(network, paddle.DataParallel) else nullcontext()


def check_same_start(iteration: int) -> None:
    """Compare the iterations that the processes start from.

    Raises:
        UserError: They differ; the processes would wait for each other for ever.
    """
    least, most = -all_reduce_max(-iteration), all_reduce_max(iteration)
    if least != most:
        raise UserError(
            f"the processes would start from different iterations, {least} to {most}: each looks for checkpoints on "
            "its own node, so `save_dir` and `resume` must name a folder that all nodes share"
        )
