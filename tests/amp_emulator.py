"""Mixed precision on a CPU: Paddle's rule of types applied around its operators, with the bytes that each moves.

On a GPU every operator's inputs are cast before it runs: to half precision where it is on the white list, to float32
where it is on the black list, and otherwise to float32 if any input is (paddle/fluid/eager/amp_utils.h). Here they are
cast alike, the operator computes in float32 from the rounded inputs, as tensor cores do, and its result is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paddle
from paddle.amp.amp_lists import black_list, white_list

from paddleseg_ext.layers import functional

HALF = {paddle.float16, paddle.bfloat16}
FLOATS = {paddle.float32, *HALF}
OLD_NAMES = {  # under which the lists know operators
    **{"matmul": "matmul_v2", "linear": "linear_v2", "bilinear_interp": "bilinear_interp_v2", "add": "elementwise_add"},
    **{"sum": "reduce_sum", "mean": "reduce_mean", "max": "reduce_max", "subtract": "elementwise_sub"},
    **{"multiply": "elementwise_mul", "divide": "elementwise_div", "maximum": "elementwise_max", "relu_": "relu"},
    **{"cross_entropy_with_softmax": "softmax_with_cross_entropy", "batch_norm_": "batch_norm"},
}
NORMS = {"batch_norm", "sync_batch_norm", "layer_norm"}  # whose parameters stay float32; the first input decides
WITHOUT_TYPES = {  # that have no float input to cast, or are Paddle's own bookkeeping
    *("cast", "full", "full_", "full_like", "arange", "shape", "shape64", "assign", "assign_value_", "uniform"),
    *("gaussian", "empty", "equal", "greater_equal", "less_than", "logical_and", "argmax", "zeros_like", "one_hot"),
    *("momentum_", "sgd_", "adamw_", "squared_l2_norm", "floor_divide"),
}
VIEWS = {"reshape", "reshape_", "flatten", "squeeze", "unsqueeze", "unsqueeze_", "squeeze_"}
ARITHMETIC = {"__add__": "add", "__sub__": "subtract", "__mul__": "multiply", "__truediv__": "divide"}


@dataclass
class Moved:
    """What an operator moved: bytes of its inputs and results, and of the casts before it."""

    name: str
    dtype: Any
    bytes: int
    cast: int


@dataclass
class Emulator:
    """What is emulated now, and what has run.

    Attributes:
        dtype: Half type within auto_cast, None without.
        log: Of all operators with float inputs.
    """

    dtype: Any = None
    white: set[str] = field(default_factory=set)
    black: set[str] = field(default_factory=set)
    log: list[Moved] = field(default_factory=list)

    def share_of_float32(self) -> float:
        """Of the bytes that operators moved, casts and views left out."""
        total = sum(moved.bytes for moved in self.log)
        return sum(moved.bytes for moved in self.log if moved.dtype == paddle.float32) / total

    def target(self, name: str, tensors: list[paddle.Tensor]) -> Any:
        """The type that an operator's inputs are cast to."""
        types = [tensor.dtype for tensor in tensors]
        if self.dtype is None:
            return types[0]
        if name in NORMS:
            return paddle.float32 if types[0] == paddle.float32 else self.dtype
        if name in self.white:
            return self.dtype
        if name in self.black or paddle.float32 in types:
            return paddle.float32
        return self.dtype


@contextmanager
def emulated() -> Iterator[Emulator]:
    """Within the block `paddle.amp.auto_cast` casts as on a GPU; kernels for CPUs are left out."""
    ops, state = paddle._C_ops, Emulator()
    originals = {name: getattr(ops, name) for name in dir(ops) if not name.startswith("_")}
    originals = {name: op for name, op in originals.items() if callable(op) and name not in WITHOUT_TYPES}
    dunders = {name: getattr(paddle.Tensor, name) for name in ARITHMETIC}
    auto_cast, kernels = paddle.amp.auto_cast, dict(functional.KERNELS)
    for name, op in originals.items():
        setattr(ops, name, _operator(name, op, originals, state))
    for name, op in dunders.items():
        setattr(paddle.Tensor, name, _arithmetic(ARITHMETIC[name], op))
    paddle.amp.auto_cast = _auto_cast(state)  # type: ignore[assignment]
    functional.KERNELS.clear()
    try:
        yield state
    finally:
        functional.KERNELS.update(kernels)
        paddle.amp.auto_cast = auto_cast
        for name, op in originals.items():
            setattr(ops, name, op)
        for name, op in dunders.items():
            setattr(paddle.Tensor, name, op)


def _auto_cast(state: Emulator) -> Callable[..., Any]:
    @contextmanager
    def auto_cast(
        enable: bool = True,
        custom_white_list: Any = None,
        custom_black_list: Any = None,
        level: str = "O1",
        dtype: str = "float16",
        **_: Any,
    ) -> Iterator[None]:
        before = state.dtype, state.white, state.black
        state.dtype = getattr(paddle, dtype) if enable else None
        state.white = set(white_list()[dtype][level]) | set(custom_white_list or ())
        state.black = set(black_list()[dtype][level]) - state.white | set(custom_black_list or ())
        try:
            yield
        finally:
            state.dtype, state.white, state.black = before

    return auto_cast


def _operator(name: str, op: Callable[..., Any], originals: dict[str, Any], state: Emulator) -> Callable[..., Any]:
    listed = OLD_NAMES.get(name, name)
    # half-precision inputs are cast to compute, so what works in place would work on the copy
    plain = originals.get(name[:-1], op) if name.endswith("_") and listed not in NORMS else op

    def call(*args: Any, **keywords: Any) -> Any:
        tensors = [tensor for arg in args for tensor in _tensors(arg)]
        if not tensors or (state.dtype is None and not HALF & {tensor.dtype for tensor in tensors}):
            if tensors and name not in VIEWS:
                state.log.append(Moved(name, paddle.float32, 4 * sum(tensor.size for tensor in tensors), 0))
            return op(*args, **keywords)
        target = state.target(listed, tensors)
        cast = 0

        def prepared(value: Any, kept: bool) -> Any:
            nonlocal cast
            if isinstance(value, (list, tuple)):
                return [prepared(item, kept) for item in value]
            if not isinstance(value, paddle.Tensor) or value.dtype not in FLOATS:
                return value
            if not kept and value.dtype != target:
                cast += value.size * 6  # read in one type, written in the other
                value = paddle.cast(value, target)
            return paddle.cast(value, "float32") if value.dtype in HALF else value

        inputs = [prepared(arg, kept=listed in NORMS and index > 0) for index, arg in enumerate(args)]
        out = plain(*inputs, **keywords)
        out = _rounded(out, target, only_first=listed in NORMS)
        if name not in VIEWS:
            size = 2 if target in HALF else 4
            moved = sum(tensor.size for tensor in [*tensors, *_tensors(out)])
            state.log.append(Moved(name, target, size * moved, cast))
        return out

    return call


def _arithmetic(name: str, op: Callable[..., Any]) -> Callable[..., Any]:
    """Of two tensors through the operator; with a number in the tensor's own type."""

    def call(first: paddle.Tensor, second: Any) -> paddle.Tensor:
        if isinstance(second, paddle.Tensor) and {first.dtype, second.dtype} <= FLOATS:
            return getattr(paddle._C_ops, name)(first, second)
        if first.dtype in HALF:
            return paddle.cast(op(paddle.cast(first, "float32"), second), first.dtype)
        return op(first, second)

    return call


def _tensors(value: Any) -> list[paddle.Tensor]:
    items = value if isinstance(value, (list, tuple)) else [value]
    return [item for item in items if isinstance(item, paddle.Tensor) and item.dtype in FLOATS]


def _rounded(value: Any, target: Any, only_first: bool) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(
            _rounded(item, target, False) if index == 0 or not only_first else item for index, item in enumerate(value)
        )
    if isinstance(value, paddle.Tensor) and value.dtype == paddle.float32 and target in HALF:
        return paddle.cast(value, target)
    return value
