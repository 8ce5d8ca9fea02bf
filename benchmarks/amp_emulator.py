"""Mixed precision on a CPU: Paddle's rule of types applied around its operators, with what each computes and moves.

On a GPU every operator's inputs are cast before it runs: to half precision where it is on the white list, to float32
where it is on the black list, and otherwise to float32 if any input is (paddle/fluid/eager/amp_utils.h). Here they are
cast alike, the operator computes in float32 from the rounded inputs, as tensor cores do, and its result is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paddle
from paddle.amp.amp_lists import black_list, white_list

from paddleseg_ext.compat.paddle import wrap_operators
from paddleseg_ext.inspection.analysis.operations import COUNTED
from paddleseg_ext.layers.functional import without_kernels

Operator = Callable[..., Any]
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
    *("full", "full_", "full_like", "arange", "shape", "shape64", "assign", "assign_value_", "uniform"),
    *("gaussian", "empty", "equal", "greater_equal", "less_than", "logical_and", "argmax", "zeros_like", "one_hot"),
    *("momentum_", "sgd_", "adamw_", "squared_l2_norm", "floor_divide"),
}
VIEWS = {"reshape", "reshape_", "flatten", "squeeze", "unsqueeze", "unsqueeze_", "squeeze_"}
ARITHMETIC = {"__add__": "add", "__sub__": "subtract", "__mul__": "multiply", "__truediv__": "divide"}
REFLECTED = ("__radd__", "__rsub__", "__rmul__", "__rtruediv__")  # of a number and a tensor


@dataclass
class Operation:
    """One call of an operator on float tensors, or of a cast.

    Attributes:
        name: Paddle's.
        dtype: Type in which a GPU computes it.
        bytes: Of its inputs and results in that type; 0 for a cast that the network asks for.
        casts: Bytes that each cast between float32 and half precision reads and writes, those before the operator.
        macs: Multiply-adds of a convolution or matrix product, else 0.
        exact: Whether TF32 was turned off for it.
    """

    name: str
    dtype: Any
    bytes: int
    casts: list[int] = field(default_factory=list)
    macs: int = 0
    exact: bool = False


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
    log: list[Operation] = field(default_factory=list)
    operators: dict[str, Operator] = field(default_factory=dict)

    def share_of_float32(self) -> float:
        """Of the bytes that operators moved, casts and views left out."""
        total = sum(operation.bytes for operation in self.log)
        return sum(operation.bytes for operation in self.log if operation.dtype == paddle.float32) / total

    def target(self, name: str, tensors: list[paddle.Tensor]) -> Any:
        """The type that an operator's inputs are cast to."""
        types = [tensor.dtype for tensor in tensors]
        if self.dtype is None:
            return types[0]
        if name in self.white:
            return self.dtype
        if name in self.black:
            return paddle.float32
        deciding = types[:1] if name in NORMS else types
        return paddle.float32 if paddle.float32 in deciding else self.dtype

    def note(
        self,
        name: str,
        dtype: Any,
        tensors: Sequence[paddle.Tensor],
        out: Any,
        casts: Sequence[int] = (),
        args: Sequence[Any] = (),
    ) -> None:
        """Log an operator, unless it only looks at its input otherwise."""
        if name in VIEWS:
            return
        size = (2 if dtype in HALF else 4) * sum(tensor.size for tensor in [*tensors, *_tensors(out)])
        macs = COUNTED[name](args, out) if name in COUNTED else 0
        self.log.append(Operation(name, dtype, size, list(casts), macs, _is_exact(name)))


@contextmanager
def emulated() -> Iterator[Emulator]:
    """Within the block `paddle.amp.auto_cast` casts as on a GPU; kernels for CPUs are left out."""
    state = Emulator()
    dunders = {name: getattr(paddle.Tensor, name) for name in (*ARITHMETIC, *REFLECTED)}
    auto_cast = paddle.amp.auto_cast
    with wrap_operators(lambda originals: _operators(originals, state)), without_kernels():
        for name, op in dunders.items():
            setattr(paddle.Tensor, name, _arithmetic(ARITHMETIC.get(name), op, state))
        paddle.amp.auto_cast = _auto_cast(state)  # type: ignore[assignment]
        try:
            yield state
        finally:
            paddle.amp.auto_cast = auto_cast
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


def _operators(originals: dict[str, Operator], state: Emulator) -> dict[str, Operator]:
    for name, op in originals.items():
        if name not in WITHOUT_TYPES:
            state.operators[name] = _cast(op, state) if name == "cast" else _operator(name, op, originals, state)
    return state.operators


def _cast(op: Operator, state: Emulator) -> Operator:
    """The network's own casts; Paddle casts from one half type to the other nowhere."""

    def call(x: paddle.Tensor, dtype: Any) -> paddle.Tensor:
        out = op(x, dtype)
        if {x.dtype, out.dtype} <= FLOATS and x.dtype != out.dtype:
            state.log.append(Operation("cast", out.dtype, 0, [6 * x.size]))
        return out

    return call


def _operator(name: str, op: Operator, originals: dict[str, Operator], state: Emulator) -> Operator:
    listed = OLD_NAMES.get(name, name)
    cast = originals["cast"]
    # half-precision inputs are cast to compute, so what works in place would work on the copy
    plain = originals.get(name[:-1], op) if name.endswith("_") and listed not in NORMS else op

    def call(*args: Any, **keywords: Any) -> Any:
        tensors = [tensor for arg in args for tensor in _tensors(arg)]
        if not tensors or (state.dtype is None and not HALF & {tensor.dtype for tensor in tensors}):
            out = op(*args, **keywords)
            if tensors:
                state.note(name, paddle.float32, tensors, out, args=args)
            return out
        target = state.target(listed, tensors)
        casts = []

        def prepared(value: Any, kept: bool) -> Any:
            if isinstance(value, (list, tuple)):
                return [prepared(item, kept) for item in value]
            if not isinstance(value, paddle.Tensor) or value.dtype not in FLOATS:
                return value
            if not kept and value.dtype != target:
                casts.append(value.size * 6)  # read in one type, written in the other
                value = cast(value, target)
            return cast(value, paddle.float32) if value.dtype in HALF else value

        inputs = [prepared(arg, kept=listed in NORMS and index > 0) for index, arg in enumerate(args)]
        out = _rounded(plain(*inputs, **keywords), target, listed in NORMS, cast)
        state.note(name, target, tensors, out, casts, args)
        return out

    return call


def _arithmetic(name: str | None, op: Operator, state: Emulator) -> Operator:
    """Of two tensors through the operator; with a number in the tensor's own type."""

    def call(first: paddle.Tensor, second: Any) -> paddle.Tensor:
        if name and isinstance(second, paddle.Tensor) and {first.dtype, second.dtype} <= FLOATS:
            return state.operators[name](first, second)
        out = op(first, second)  # by a number
        if first.dtype in FLOATS:
            state.note("scale", first.dtype, [first], out)
        return out

    return call


def _is_exact(name: str) -> bool:
    """Whether the switch that a product obeys is off; Paddle 2.6 has none on a CPU."""
    switch = f"get_{'cudnn' if 'conv' in name else 'cublas'}_switch"
    return name in COUNTED and not getattr(paddle.base.core, switch, lambda: True)()


def _tensors(value: Any) -> list[paddle.Tensor]:
    items = value if isinstance(value, (list, tuple)) else [value]
    return [item for item in items if isinstance(item, paddle.Tensor) and item.dtype in FLOATS]


def _rounded(value: Any, target: Any, only_first: bool, cast: Operator) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(
            _rounded(item, target, False, cast) if index == 0 or not only_first else item
            for index, item in enumerate(value)
        )
    if isinstance(value, paddle.Tensor) and value.dtype == paddle.float32 and target in HALF:
        return cast(value, target)
    return value
