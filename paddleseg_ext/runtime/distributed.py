"""Several processes, started by ``python -m paddle.distributed.launch``; for one process nothing here does anything."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import paddle
from paddle import distributed, nn


def start() -> None:
    """Connect the processes of a launch: NCCL on GPUs, gloo on CPUs."""
    if ranks() > 1 and not distributed.is_initialized():
        distributed.init_parallel_env()


def rank() -> int:
    """This process's number; process 0 alone writes files."""
    return distributed.get_rank()


def ranks() -> int:
    """The number of processes."""
    return distributed.get_world_size()


def mean(values: paddle.Tensor) -> paddle.Tensor:
    """The mean of a tensor over the processes, the same in each."""
    if ranks() > 1:
        distributed.all_reduce(values)
        values = values / ranks()
    return values


def largest(value: int) -> int:
    """The largest of the processes' numbers, so that all decide alike."""
    if ranks() == 1:
        return value
    shared = paddle.to_tensor([value], dtype="int64")
    distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
    return int(shared)


def distribute(model: nn.Layer) -> nn.Layer:
    """The model with its gradients averaged over the processes after each backward pass."""
    return paddle.DataParallel(model) if ranks() > 1 else model


def local(network: nn.Layer) -> AbstractContextManager:
    """Within the block `network` leaves its gradients alone: for all but the last of several backward passes."""
    return network.no_sync() if isinstance(network, paddle.DataParallel) else nullcontext()


def synchronize_batch_norm(model: nn.Layer) -> nn.Layer:
    """On several GPUs, let BatchNorm take its statistics over all of them.

    The layers' parameters, buffers and names stay, so a checkpoint is the same with and without.
    """
    if ranks() > 1 and paddle.get_device().startswith("gpu"):
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model
