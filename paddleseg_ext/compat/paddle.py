"""What this package needs of Paddle beyond its public interface: one function for each private name, public ones first.

Each says on which versions the private name was seen to be there (2.6.2, 3.0 and 3.3 were run). Nothing else in the
package names what begins with an underscore, and only this room patches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F
from paddle.optimizer.lr import LRScheduler


def autocast_enabled() -> bool:
    """Whether operations run now are cast to half precision."""
    if hasattr(paddle.amp, "is_autocast_enabled"):  # since 3.1
        return paddle.amp.is_autocast_enabled()
    return paddle.base.framework._dygraph_tracer()._amp_level != paddle.base.core.AmpLevel.O0  # 2.6, 3.0


def squared_l2_norm(tensor: paddle.Tensor) -> paddle.Tensor:
    """Sum of squares, a scalar.

    The operation behind `paddle.nn.ClipGradByGlobalNorm`, in a tenth of the time of a square and a sum; the public
    `paddle.nn.utils.clip_grad_norm_` would change the gradients as well.
    """
    if hasattr(paddle._C_ops, "squared_l2_norm"):  # 2.6 to 3.3
        return paddle._C_ops.squared_l2_norm(tensor).reshape([])
    return tensor.square().sum()


def lr_scheduler(optimizer: paddle.optimizer.Optimizer) -> LRScheduler | None:
    """The schedule that the optimizer was built with, or None for a constant learning rate."""
    schedule = optimizer._learning_rate  # 2.6 to 3.3
    return schedule if isinstance(schedule, LRScheduler) else None


def decay_filter(optimizer: paddle.optimizer.AdamW) -> Callable[[str], bool]:
    """Of a parameter's automatic name: whether AdamW decays it."""
    return optimizer._apply_decay_param_fun or (lambda name: True)  # 2.6 to 3.3


def set_decay_filter(optimizer: paddle.optimizer.AdamW, decays: Callable[[str], bool]) -> None:
    """Have AdamW decay only the parameters for whose automatic name `decays` is true."""
    optimizer._apply_decay_param_fun = decays  # 2.6 to 3.3; public only as an argument of the constructor


def batch_norm_state(norm: nn.Layer) -> tuple[paddle.Tensor, paddle.Tensor, float, str]:
    """Running mean and variance (C,), ε and the data format of a BatchNorm."""
    layout = getattr(norm, "_data_format", None) or norm._data_layout  # the latter of paddle.nn.BatchNorm
    return norm._mean, norm._variance, norm._epsilon, layout  # 2.6 to 3.3; mean and variance in state_dict


def plain_batch_norm(norm: nn.SyncBatchNorm) -> nn.BatchNorm2D:
    """The same layer, of the same parameters and statistics, for one process alone."""
    mean, variance, epsilon, data_format = batch_norm_state(norm)
    plain = nn.BatchNorm2D(len(mean), momentum=norm._momentum, epsilon=epsilon, data_format=data_format)  # type: ignore
    plain.weight, plain.bias = norm.weight, norm.bias
    plain._mean, plain._variance = mean, variance  # 2.6 to 3.3
    plain.training = norm.training
    return plain


def master_weights(optimizer: paddle.optimizer.Optimizer) -> dict[str, paddle.Tensor]:
    """The float32 copies that the optimizer keeps of half-precision parameters, by their automatic names."""
    return getattr(optimizer, "_master_weights", {})  # 2.6 to 3.3; public only within a copy of the whole state


class exact_float32:  # noqa: N801 - used as a function, and no generator, which cannot be traced
    """Context in which a GPU multiplies and convolves float32 in float32, whatever it does otherwise.

    From Ampere on Paddle has it drop 13 of the 23 bits of the factors (TF32), which changes results by 1e-3. The
    switches are the process's own; Paddle Inference in the same process obeys them too.
    """

    NAMES = ("cublas", "cudnn")  # paddle.base.core.get_cublas_switch and so on: 3.0 to 3.3, 2.6 on GPUs

    def __enter__(self) -> exact_float32:
        core = paddle.base.core
        self.before = {name: getattr(core, f"get_{name}_switch")() for name in self.NAMES if self._has(name)}
        for name in self.before:
            getattr(core, f"set_{name}_switch")(False)
        return self

    def __exit__(self, *_: object) -> None:
        for name, value in self.before.items():
            getattr(paddle.base.core, f"set_{name}_switch")(value)

    @staticmethod
    def _has(name: str) -> bool:
        return all(hasattr(paddle.base.core, f"{verb}_{name}_switch") for verb in ("get", "set"))


def shut_down_workers(iterator: Any, seconds: float = 5.0) -> None:
    """End the worker processes of a `paddle.io.DataLoader`'s iterator, which else live until it is collected.

    Those that do not end of themselves within so many seconds each, because they were stopped, say, are killed.
    """
    iterator._try_shutdown_all(seconds)  # 2.6 to 3.3
    for worker in workers_of(iterator):
        if worker.exitcode is None:
            worker.kill()


def workers_of(iterator: Any) -> list[Any]:
    """The worker processes of a `paddle.io.DataLoader`'s iterator, as `multiprocessing` has them; [] without any."""
    return list(getattr(iterator, "_workers", []))  # 2.6 to 3.3


def abandon(iterator: Any) -> None:
    """Have whoever waits for the next batch of a `paddle.io.DataLoader`'s iterator get a SystemError instead."""
    iterator._exit_thread_unexpectedly()  # 2.6 to 3.3
    if not workers_of(iterator):
        iterator._thread = None  # 2.6 to 3.3; a thread that hangs would be waited for


def disable_onednn(config: paddle.inference.Config) -> None:
    """Have Paddle Inference use its own CPU kernels.

    Raises:
        RuntimeError: This Paddle has neither of the names that the switch has had.
    """
    for name in ("disable_onednn", "disable_mkldnn"):  # 3.3 has both, 2.6 the second
        if hasattr(config, name):
            getattr(config, name)()
            return
    raise RuntimeError(f"Paddle {paddle.__version__} has no switch for oneDNN that this package knows.")


def threads() -> int:
    """Threads of Paddle's products on a CPU: as the environment says, else one."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(first) if first.isdigit() and int(first) else 1


def set_threads(count: int) -> None:
    """Have OpenMP and MKL within Paddle, and the processes started from now on, use so many threads.

    The same as ``OMP_NUM_THREADS`` before Paddle is imported: seen on 2.6.2 and 3.3.1 by the time of each thread.
    ``FLAGS_paddle_num_threads`` has no effect on builds with oneDNN.
    """
    os.environ["OMP_NUM_THREADS"] = str(count)
    paddle.base.core.set_num_threads(count)  # 2.6 to 3.3


@contextmanager
def threads_kept() -> Iterator[None]:
    """Behind the block Paddle's products have as many threads as before.

    Paddle Inference sets a number of its own for the whole process when it loads a network, and one when it has run it;
    sums of another number of threads differ in their last bits.
    """
    try:
        yield
    finally:
        paddle.base.core.set_num_threads(threads())


def allocated_memory(peak: bool = False) -> int:
    """Bytes that Paddle has allocated on the current device, or had at most since `reset_peak_memory`."""
    return _memory_stat("peak_value" if peak else "current_value")


def can_reset_peak_memory() -> bool:
    """Whether `reset_peak_memory` is there; else the peak is that of the whole process."""
    return hasattr(paddle.base.core, "host_memory_stat_reset_peak_value")  # since 3.0


def reset_peak_memory() -> None:
    """Let `allocated_memory(peak=True)` start again from what is allocated now."""
    _memory_stat("reset_peak_value")  # since 3.0


def counts_peaks() -> bool:
    """Whether this Paddle has `reset_peak_memory`."""
    return hasattr(paddle.base.core, "host_memory_stat_reset_peak_value")  # since 3.0


def _memory_stat(what: str) -> int:
    # Public for GPUs alone (paddle.device.cuda.max_memory_allocated); 2.6 to 3.3
    kind, _, number = paddle.get_device().partition(":")
    return getattr(paddle.base.core, f"{'host' if kind == 'cpu' else 'device'}_memory_stat_{what}")(
        "Allocated", int(number or 0)
    )


@contextmanager
def interpolate_by(kernel: Any) -> Iterator[None]:
    """Within the block, bilinear resizing that a network asks of ``F.interpolate`` is done by the kernel if it accepts.

    For networks that are not ours: whatever PaddleSeg's models call by that name leads here, and on to Paddle for all
    that is not bilinear resizing of (N, C, H, W) to a given size.

    Args:
        kernel: Has ``accepts`` and ``run``, of the map, (height, width) and align_corners; None: Paddle does it all.
    """
    if kernel is None:
        yield
        return
    original: Callable[..., paddle.Tensor] = F.interpolate

    def interpolate(
        x: paddle.Tensor,
        size: Sequence[int] | paddle.Tensor | None = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool = False,
        *rest: Any,
        **options: Any,
    ) -> paddle.Tensor:
        plain = mode.lower() == "bilinear" and scale_factor is None and not rest and not set(options) - {"name"}
        if plain and size is not None and x.ndim == 4 and paddle.in_dynamic_mode():
            to = [int(length) for length in size]
            if kernel.accepts(x, to, align_corners):
                return kernel.run(x, to, align_corners)
        return original(x, size, scale_factor, mode, align_corners, *rest, **options)

    F.interpolate = interpolate  # type: ignore[assignment]  # it takes all that the original takes
    try:
        yield
    finally:
        F.interpolate = original


@contextmanager
def wrap_operators(wrapped: Callable[[dict[str, Callable]], dict[str, Callable]]) -> Iterator[None]:
    """Within the block other functions stand in for operators executed eagerly.

    Args:
        wrapped: From all operators, by the names of Paddle's generated functions (``conv2d``, ``matmul``), to those
            that stand in for some of them. The one for ``matmul`` also stands in for a tensor's ``@``.
    """
    ops = paddle._C_ops  # 2.6 to 3.3
    found = {name: getattr(ops, name) for name in dir(ops) if not name.startswith("_")}
    originals = {name: operator for name, operator in found.items() if callable(operator)}
    replaced = wrapped(originals)
    names = {id(originals[name]): name for name in replaced}
    places = [  # 3.3 has many operators as functions of its modules, too
        (module, attribute, value)
        for key, module in list(sys.modules.items())
        if key.partition(".")[0] == "paddle"
        for attribute, value in list(vars(module).items())
        if id(value) in names
    ]
    at = paddle.Tensor.__matmul__  # calls no operator by name
    for module, attribute, value in places:
        setattr(module, attribute, replaced[names[id(value)]])
    if "matmul" in replaced:
        paddle.Tensor.__matmul__ = lambda x, y: ops.matmul(x, y, False, False)  # type: ignore[method-assign]
    try:
        yield
    finally:
        paddle.Tensor.__matmul__ = at  # type: ignore[method-assign]
        for module, attribute, value in places:
            setattr(module, attribute, value)


@contextmanager
def observe_operators(names: Sequence[str], observer: Callable[[str, tuple, Any], None]) -> Iterator[None]:
    """Within the block tell `observer` the name, arguments and result of each operator executed eagerly.

    Arguments given by name come after the others.

    Args:
        names: Operators as in `wrap_operators`; unknown ones are skipped.
        observer: Called after the operator.
    """

    def observed(name: str, operator: Callable) -> Callable:
        def call(*args: Any, **keywords: Any) -> Any:
            out = operator(*args, **keywords)
            observer(name, (*args, *keywords.values()), out)
            return out

        return call

    with wrap_operators(lambda ops: {name: observed(name, ops[name]) for name in names if name in ops}):
        yield
