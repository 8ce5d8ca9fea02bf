"""The layers of a network as a tree, and what each of them costs in a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.compat.paddle import allocated_memory, reset_peak_memory
from paddleseg_ext.inspection.analysis.operations import COUNTED, PRODUCTS, observed_operations
from paddleseg_ext.layers.context_conv import ContextConv
from paddleseg_ext.layers.dcm import DynamicConv, MultiScaleDynamicConv
from paddleseg_ext.layers.functional import without_kernels
from paddleseg_ext.layers.ppm import PyramidPooling
from paddleseg_ext.training.param_groups import learnable

POOLING = (PyramidPooling, MultiScaleDynamicConv, DynamicConv)  # whose own matrix products are averages in the papers


@dataclass
class LayerCost:
    """A layer and all below it.

    Attributes:
        name: Within its parent; the class's for the network itself.
        type: Its class.
        parameters: Learnable ones, frozen or not; BatchNorm's statistics are not among them.
        macs: Multiply-adds of convolutions and matrix products, as executed for one image.
        paper_macs: The same as the paper writes the layer: coarse grids upsampled and stacked in front of a
            convolution, averages without matrix products.
        interpolation_macs: Multiply-adds of resizing, which are not among the others.
        activations: Elements of the outputs of convolutions and matrix products, for one image.
        calls: How often it was run.
        output: Shape of what it gave last for one image, where that is one tensor.
        memory_bytes: The most that was allocated while it ran, beyond what was when it began; None if not measured.
        children: Its layers, in the order in which they run; those that do not at the end.
    """

    name: str
    type: str
    parameters: int
    macs: int = 0
    paper_macs: int = 0
    interpolation_macs: int = 0
    activations: int = 0
    calls: int = 0
    output: list[int] | None = None
    memory_bytes: int | None = None
    children: list[LayerCost] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether anything of it is run as a layer."""
        return self.calls > 0 or any(child.runs for child in self.children)

    def find(self, path: str) -> LayerCost:
        """The layer of a path such as ``decode_head.classifier``.

        Raises:
            KeyError: There is none.
        """
        found = self
        for name in path.split("."):
            by_name = {child.name: child for child in found.children}
            found = by_name[name]
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


class LayerTree:
    """The tree of a network's layers, whose costs `count` and `measure_memory` fill in.

    Attributes:
        root: Of the network itself.
    """

    def __init__(self, model: nn.Layer) -> None:
        self.root = LayerCost(type(model).__name__, type(model).__name__, _parameters(model))
        self._model = model
        self._nodes = {id(model): self.root}
        self._add_children(model, self.root)

    def _add_children(self, layer: nn.Layer, node: LayerCost) -> None:
        for name, child in layer.named_children():
            if id(child) not in self._nodes:  # a layer of several parents stands under the first
                added = self._nodes[id(child)] = LayerCost(name, type(child).__name__, _parameters(child))
                node.children.append(added)
                self._add_children(child, added)

    def count(self, image: paddle.Tensor) -> None:
        """Run the network on one image and count; faster kernels stay out, for they are the device's matter.

        Args:
            image: (1, C, H, W).
        """
        stack: list[tuple[nn.Layer | None, LayerCost]] = [(None, self.root)]
        stacked: dict[int, int] = {}
        order: dict[int, int] = {}

        def enter(layer: nn.Layer, node: LayerCost) -> None:
            stack.append((layer, node))
            order.setdefault(id(node), len(order))

        def leave(layer: nn.Layer, node: LayerCost, out: Any) -> None:
            stack.pop()
            node.calls += 1
            if isinstance(out, (list, tuple)) and len(out) == 1:
                out = out[0]
            node.output = list(out.shape) if isinstance(out, paddle.Tensor) else None
            if isinstance(layer, ContextConv):
                macs = out.size * prod(layer.conv.weight.shape[1:])
                stacked[id(node)] = stacked.get(id(node), 0) + macs

        def observe(name: str, macs: int, out: paddle.Tensor) -> None:
            layer, node = stack[-1]
            if name not in COUNTED:
                node.interpolation_macs += macs
                return
            node.macs += macs
            node.activations += out.size
            if not (name in PRODUCTS and isinstance(layer, POOLING)):
                node.paper_macs += macs

        with without_kernels(), paddle.no_grad(), self._hooks(enter, leave), observed_operations(observe):
            self._model(image)
        _add_up(self.root, stacked)
        _sort(self.root, order)

    def measure_memory(self, run: Callable[[], Any]) -> None:
        """Enter the memory of each layer in a forward pass, warmed up; needs Paddle ≥ 3.0.

        Args:
            run: Calls the network once, as it does without a measurement.
        """
        stack: list[tuple[LayerCost, int]] = []

        def look() -> int:
            """Allocated now; the highest since the last look belongs to all layers that are running."""
            peak, now = allocated_memory(peak=True), allocated_memory()
            for node, before in stack:
                node.memory_bytes = max(node.memory_bytes or 0, peak - before)
            reset_peak_memory()
            return now

        def enter(layer: nn.Layer, node: LayerCost) -> None:
            stack.append((node, look()))

        def leave(layer: nn.Layer, node: LayerCost, out: Any) -> None:
            look()
            stack.pop()

        with self._hooks(enter, leave):
            reset_peak_memory()
            run()

    @contextmanager
    def _hooks(
        self, enter: Callable[[nn.Layer, LayerCost], None], leave: Callable[[nn.Layer, LayerCost, Any], None]
    ) -> Iterator[None]:
        hooks: list[Any] = []
        try:
            layer: Any  # Paddle's annotations want hooks that change what passes
            for layer in self._model.sublayers(include_self=True):
                node = self._nodes[id(layer)]
                hooks.append(layer.register_forward_pre_hook(lambda layer, _, node=node: enter(layer, node)))
                hooks.append(layer.register_forward_post_hook(lambda layer, _, out, node=node: leave(layer, node, out)))
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _parameters(layer: nn.Layer) -> int:
    return sum(int(value.size) for _, value in learnable(layer))


def _add_up(node: LayerCost, stacked: dict[int, int]) -> None:
    """Add what is below each layer to what it does itself.

    Args:
        node: Whose numbers are its own as yet.
        stacked: Multiply-adds of whole layers as the papers write them, by the layer's identity.
    """
    for child in node.children:
        _add_up(child, stacked)
        for name in ("macs", "paper_macs", "interpolation_macs", "activations"):
            setattr(node, name, getattr(node, name) + getattr(child, name))
    node.paper_macs = stacked.get(id(node), node.paper_macs)


def _sort(node: LayerCost, order: dict[int, int]) -> int:
    """Bring layers into the order in which they were first run, from their identities; return that of the first."""
    firsts = {id(child): _sort(child, order) for child in node.children}
    node.children.sort(key=lambda child: firsts[id(child)])
    return min([order.get(id(node), len(order)), *firsts.values()])
