"""A network applied to several batches, or to the windows of one, at a time, on the cores of a processor."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, TypeVar

import paddle
from paddle import nn

from paddleseg_ext.compat.layers import assignments, has_hooks, is_paddles
from paddleseg_ext.data.eval_loader import Batch
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.evaluation.score_maps import Map
from paddleseg_ext.evaluation.sliding_window import Each
from paddleseg_ext.runtime.lanes import Lanes, several

T = TypeVar("T")
R = TypeVar("R")
Result = tuple[Map, Any]


def predict_each(
    predictor: Predictor, model: nn.Layer, batches: Iterable[Batch], logits: bool = False
) -> Generator[tuple[Batch, Iterable[Result]], None, None]:
    """Each batch with what `Predictor.predict` finds, or with `logits` what `Predictor.predict_whole` does.

    Several are computed at a time where the CPU has cores for them, unless the network keeps something of an image in
    its layers, or hooks look into them. Close the generator (`contextlib.closing`) where it may be left before its end.

    Args:
        predictor: How to apply the network.
        model: In evaluation mode.
        batches: Images with their records.
        logits: Also give the logits behind the class ids, else None.
    """

    def results(batch: Batch, each: Each = map) -> Iterable[Result]:
        given = model, batch.images, batch.trans_infos, each
        return predictor.predict_whole(*given) if logits else ((pred, None) for pred in predictor.predict(*given))

    lanes = Lanes(partial(leaves_nothing, model))

    def each_window(work: Callable[[paddle.Tensor], Map], windows: Iterable[paddle.Tensor]) -> Iterator[Map]:
        return lanes.map(_without_gradients(work), windows, lambda images: images.size)

    def compute(batch: Batch) -> tuple[Batch, Iterable[Result]]:
        return batch, list(results(batch))

    one_at_a_time = getattr(model, "one_at_a_time", False) or any(map(has_hooks, model.sublayers(include_self=True)))
    side_by_side = several() and not one_at_a_time
    if predictor.is_slide or not side_by_side:  # windows are of one size, and a single image has several of them, too
        for batch in batches:
            yield batch, results(batch, each_window if side_by_side else map)
        return
    with closing(lanes.map(_without_gradients(compute), batches, lambda batch: batch.images.size)) as found:
        yield from found


def _without_gradients(work: Callable[[T], R]) -> Callable[[T], R]:
    """The same in any thread, each of which has a switch for gradients of its own."""

    def call(item: T) -> R:
        with paddle.no_grad():
            return work(item)

    return call


@contextmanager
def leaves_nothing(model: nn.Layer) -> Iterator[Callable[[], bool]]:
    """Notes what a network does to its own layers within the block.

    A network that keeps something there for later in the same call, as some of PaddleSeg's do, would confuse two images
    that it computes at a time.

    Yields:
        A function that tells whether nothing was kept: no attribute assigned, no buffer or container changed.
    """
    layers = [layer for layer in model.sublayers(include_self=True) if not is_paddles(layer)]
    before = _kept(layers)
    with assignments(layers) as assigned:
        yield lambda: not assigned and len(before) == len(after) and all(map(_same, before, after))
    after = _kept(layers)


def _same(one: Any, other: Any) -> bool:
    return one == other if isinstance(one, int) and isinstance(other, int) else one is other


def _kept(layers: Iterable[nn.Layer]) -> list[Any]:
    """What lies in containers of the layers, and how often each buffer was written to in place."""
    found: list[Any] = []
    for layer in layers:
        found += [buffer.inplace_version for buffer in layer.buffers(include_sublayers=False)]
        for value in vars(layer).values():
            if isinstance(value, (list, tuple, dict, set)):
                found += [value, *(value.values() if isinstance(value, dict) else value)]
    return found
