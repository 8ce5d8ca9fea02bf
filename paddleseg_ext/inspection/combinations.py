"""Which head runs on which backbone, found by running each: in evaluation, in training, and backward."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import paddle
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.backbones.needs import missing_argument
from paddleseg_ext.compat.paddleseg import quiet
from paddleseg_ext.errors import reason
from paddleseg_ext.heads import EncHead
from paddleseg_ext.registry import HEADS, argument_names
from paddleseg_ext.segmentor import EncoderDecoder

OUTPUT_STRIDES = (8, 16, 32)
SIZES = ((97, 129), (33, 47))  # of pictures: no side is a multiple of anything
CLASSES, WIDTH = 5, 16
OWN, PYRAMID = "own", "pyramid"


@dataclass
class Variant:
    """A backbone at one output stride, and what each head does on it.

    Attributes:
        output_stride: Value of the argument of this name; None where the backbone has none.
        maps: Channels and stride of each map, finest first.
        multiple: Pictures are padded to multiples of it.
        heads: By the head's name ``own``, it runs on the backbone's own maps, or ``pyramid``, on those of a
            `SimplePyramid`; or the sentence that says why it does not run.
    """

    output_stride: int | None
    maps: list[list[int]] = field(default_factory=list)
    multiple: int = 1
    heads: dict[str, str] = field(default_factory=dict)

    @property
    def stride(self) -> int:
        """That of the last map."""
        return self.maps[-1][1]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def measure(name: str, heads: Iterable[str] | None = None) -> list[Variant]:
    """Run heads on a registered backbone at each output stride that it has; the first of the results is the default.

    Args:
        name: Of the backbone.
        heads: Names of the heads; default: all.
    """
    heads = list(HEADS if heads is None else heads)
    if needed := missing_argument(name, ()):
        return [Variant(None, heads={head: f"{head} cannot be put on {name}, which {needed}" for head in heads})]
    found: list[Variant] = []
    for output_stride, backbone in _backbones(name):
        variant = Variant(output_stride)
        with shared(backbone):
            variant.heads = _outcomes(backbone, heads, name, variant)
        if variant.maps not in [other.maps for other in found]:
            found.append(variant)
        del backbone
        gc.collect()
    return found


def works(outcome: str) -> bool:
    """Whether an entry of `Variant.heads` says that the head runs."""
    return outcome in (OWN, PYRAMID)


def small(head: str) -> Callable[..., Any]:
    """A head at a width that all backbones can afford; what runs does not depend on it."""
    if head == "FastFCNHead":
        return partial(HEADS[head], head=partial(EncHead, channels=WIDTH), jpu_channels=WIDTH)
    return partial(HEADS[head], **({"channels": WIDTH} if "channels" in argument_names(HEADS[head]) else {}))


def _backbones(name: str) -> Iterator[tuple[int | None, nn.Layer]]:
    component = manager.BACKBONES.components_dict[name]
    with quiet():
        backbone = component()
    parameters = inspect.signature(_constructor(backbone)).parameters
    if "output_stride" not in parameters:
        yield None, backbone
        return
    default = parameters["output_stride"].default
    yield default, backbone
    for output_stride in OUTPUT_STRIDES:
        if output_stride != default:
            with quiet():
                backbone = component(output_stride=output_stride)
            yield output_stride, backbone


def _constructor(layer: nn.Layer) -> Callable[..., None]:
    return type(layer).__init__


@contextmanager
def shared(backbone: nn.Layer) -> Iterator[None]:
    """Within the block a backbone computes the maps of the first picture of a size, and gives them for all others."""
    forward: Callable[..., Any] = backbone.forward
    seen: dict[Any, Any] = {}

    def remembered(x: paddle.Tensor) -> Any:
        key = (tuple(x.shape), backbone.training, paddle.is_grad_enabled())
        if key not in seen:
            seen[key] = forward(x)
        return seen[key]

    backbone.forward = remembered  # type: ignore[method-assign]
    try:
        yield
    finally:
        del backbone.forward  # the class's is found again


def _outcomes(backbone: nn.Layer, heads: Iterable[str], name: str, variant: Variant) -> dict[str, str]:
    """Run heads on a backbone, and all their losses backward together; its maps are entered in `variant`."""
    found: dict[str, str] = {}
    losses, models = [], []
    for head in heads:
        try:
            model = EncoderDecoder(CLASSES, backbone, small(head))
            variant.maps = [list(pair) for pair in zip(model.maps.channels, model.maps.strides)]
            variant.multiple = model.maps.multiple
            losses.append(_run(model))
        except (Exception, SystemExit) as error:  # a foreign network fails in any way
            found[head] = _sentence(head, name, error)
            continue
        models.append(model)
        found[head] = OWN if model.pyramid is None else PYRAMID
    try:
        if losses:
            sum(losses[1:], losses[0]).backward()
            for model in models:
                check_gradients(model)
    except (Exception, SystemExit) as error:
        found.update({head: _sentence(head, name, error) for head, text in found.items() if works(text)})
    return found


def _sentence(head: str, name: str, error: BaseException) -> str:
    text = reason(error)
    return text if head in text and name in text else f"{head} cannot be put on {name}: {text}"


def _run(model: EncoderDecoder) -> paddle.Tensor:
    """Evaluate pictures of `SIZES`, and give a loss on two in training.

    Raises:
        ValueError: An output has another size than the picture.
    """
    model.eval()
    with paddle.no_grad():
        for size in SIZES:
            check_sizes(model(paddle.randn([1, 3, *size])), size)
    model.train()
    outputs = model(paddle.randn([2, 3, *SIZES[0]]))
    check_sizes(outputs[:1], SIZES[0])
    return paddle.add_n([(out**2).mean() for out in outputs])


def check_gradients(model: nn.Layer) -> None:
    """Check that backbone and head have gradients, and finite ones.

    Raises:
        ValueError: They have not.
    """
    for part, layer in model.named_children():
        gradients = [p.grad for p in layer.parameters() if p.grad is not None]
        if layer.parameters() and not gradients:
            raise ValueError(f"no gradient reaches its {part}")
        if not all(bool(paddle.isfinite(gradient.sum())) for gradient in gradients):
            raise ValueError(f"the gradients of its {part} are not finite")


def check_sizes(outputs: list[paddle.Tensor], size: tuple[int, int]) -> None:
    """Check the sizes of masks.

    Raises:
        ValueError: One has another than the picture.
    """
    for out in outputs:
        if tuple(out.shape[2:]) != tuple(size):
            raise ValueError(f"a picture of {size} gives a mask of {tuple(out.shape[2:])}")
