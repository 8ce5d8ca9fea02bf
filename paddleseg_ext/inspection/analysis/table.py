"""An analysis as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paddleseg_ext.inspection.analysis.analyze import TRAINING_PASSES, Analysis, NetworkCost
from paddleseg_ext.inspection.analysis.layers import LayerCost
from paddleseg_ext.inspection.analysis.memory import MIB
from paddleseg_ext.inspection.analysis.timing import Timing

COLUMNS = ("layer", "type", "output", "params M", "%", "GMACs", "%", "act. M", "mem. MiB")
LEFT = 3  # columns of text
LEGEND = (
    "params: learnable parameters, in millions",
    "GMACs: 10⁹ multiply-adds (FLOPs are twice as many) of convolutions and matrix products, as executed for one image",
    "act.: elements of their outputs for one image, in millions, as fvcore counts activations",
    "mem.: measured for the batch: the most that Paddle allocated while a layer ran, beyond what was when it began",
)


def text(analysis: Analysis, depth: int) -> str:
    """The trees of all sizes, their totals, what they took, and what the columns mean.

    Args:
        analysis: What was found.
        depth: Levels of layers below the network.
    """
    parts = [line for cost in analysis.costs for line in (*_at_size(analysis, cost, depth), "")]
    parts += _idle(analysis)
    where = analysis.device if analysis.threads is None else f"{analysis.device}, threads: {analysis.threads}"
    return "\n".join([*parts, *LEGEND, f"measured on: {where}, Paddle {analysis.paddle}, {analysis.precision}"])


def _at_size(analysis: Analysis, cost: NetworkCost, depth: int) -> Iterator[str]:
    count = analysis.batch_size
    mode = "training" if analysis.training else "evaluation"
    yield f"{analysis.model}, {mode}, {count} image{'s' * (count > 1)} of {cost.width}×{cost.height}"
    yield from _aligned([COLUMNS, *_rows(cost.layers, cost.layers, depth)])
    yield from _totals(analysis, cost)


def _rows(node: LayerCost, root: LayerCost, depth: int, level: int = 0) -> Iterator[tuple[str, ...]]:
    yield (
        "  " * level + node.name,
        "" if level == 0 else node.type,
        "×".join(map(str, node.output or [])),
        f"{node.parameters / 1e6:.3f}",
        _share(node.parameters, root.parameters),
        f"{node.macs / 1e9:.3f}",
        _share(node.macs, root.macs),
        f"{node.activations / 1e6:.2f}",
        "" if node.memory_bytes is None else f"{node.memory_bytes / MIB:.1f}",
    )
    if level < depth:
        for child in node.children:
            if child.parameters or child.macs:  # not activations, resizing and the like
                yield from _rows(child, root, depth, level + 1)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = [cell.ljust(w) if i < LEFT else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))]
        yield "  ".join(cells).rstrip()


def _totals(analysis: Analysis, cost: NetworkCost) -> Iterator[str]:
    layers, count = cost.layers, analysis.batch_size
    executed, written = f"{layers.macs / 1e9:.3f}", f"{layers.paper_macs / 1e9:.3f}"
    if written != executed:
        yield f"as executed {executed} GMACs; as the papers write it, maps upsampled and stacked, {written} GMACs"
    if analysis.training:
        step = TRAINING_PASSES * layers.macs / 1e9
        yield f"a training step, estimated as {TRAINING_PASSES} forward passes: {step:.3f} GMACs"
    yield f"resizing, not among the GMACs: {layers.interpolation_macs / 1e9:.3f} GMACs"
    times = sorted(1e3 * seconds / count for seconds in cost.seconds)
    yield (
        f"time per image: {Timing(times).median:.1f} ms median ({times[0]:.1f} to {times[-1]:.1f}, {analysis.rounds} "
        f"rounds after warming up), {analysis.images_per_second(cost):.4g} images/s"
    )
    yield _memory(analysis, cost)


def _memory(analysis: Analysis, cost: NetworkCost) -> str:
    held = "weights, gradients and the optimizer's" if analysis.training else "weights and matrices that sizes decide"
    if cost.peak_bytes is None:
        told = f"memory held between passes: {cost.held_bytes / MIB:.1f} MiB; peaks need paddlepaddle 3.0"
    else:
        told = (
            f"memory, measured: {cost.peak_bytes / MIB:.1f} MiB allocated at most, {cost.held_bytes / MIB:.1f} of them "
            f"held between passes ({held})"
        )
    if cost.resident_growth_bytes is not None:
        told += f"; the process grew by {cost.resident_growth_bytes / MIB:.1f} MiB during one"
    return told


def _idle(analysis: Analysis) -> Iterator[str]:
    mode = "training" if analysis.training else "evaluation"
    for name, parameters in analysis.idle.items():
        yield f"not run in {mode}: {name}, {parameters / 1e6:.3f} M params"
