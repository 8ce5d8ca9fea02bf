"""An analysis of a network from beginning to end, from Python or of a configuration."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import paddle
from paddle import nn
from paddleseg.cvlibs import Config

from paddleseg_ext.builder import Builder
from paddleseg_ext.compat.paddle import allocated_memory, counts_peaks, threads
from paddleseg_ext.data.checks import RGB
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.evaluation.oom import is_out_of_memory
from paddleseg_ext.inspection.analysis.layers import LayerCost, LayerTree
from paddleseg_ext.inspection.analysis.memory import peak_allocation, peak_resident_growth
from paddleseg_ext.inspection.analysis.timing import Timing, interleaved_timing
from paddleseg_ext.runtime.amp import Precision
from paddleseg_ext.runtime.device import device_name
from paddleseg_ext.training.checks import check_outputs
from paddleseg_ext.training.param_groups import train_mode
from paddleseg_ext.training.step import Step

ROUNDS = 10
TRAINING_PASSES = 3  # a product has a gradient for each of its factors: forward and backward together take about three


@dataclass
class NetworkCost:
    """What a network costs at one size.

    Attributes:
        width: Of the images.
        height: Likewise.
        layers: The tree; operations are those of one image, memory is that of a batch.
        seconds: Of each pass of a batch, or of each training step.
        held_bytes: Allocated before a pass: weights, and in training gradients and what the optimizer keeps.
        peak_bytes: Allocated at most during a pass, those before included; None where Paddle cannot tell.
        resident_growth_bytes: By how much the process grew at most, on a CPU; None where it cannot be told.
    """

    width: int
    height: int
    layers: LayerCost
    seconds: list[float] = field(default_factory=list)
    held_bytes: int = 0
    peak_bytes: int | None = None
    resident_growth_bytes: int | None = None


@dataclass
class Analysis:
    """What a network costs, at one size or several.

    Attributes:
        model: Its class.
        training: Whether a pass is a training step.
        batch_size: Images of a pass.
        precision: Of `runtime.amp.TYPES`.
        device: What computed.
        threads: Of Paddle's products on a CPU; None elsewhere.
        paddle: Its version.
        rounds: Timed passes.
        costs: At each size.
        idle: Parts of the network that do not run, with their parameters; auxiliary heads in evaluation.
    """

    model: str
    training: bool
    batch_size: int
    precision: str
    device: str
    threads: int | None
    paddle: str
    rounds: int
    costs: list[NetworkCost]
    idle: dict[str, int] = field(default_factory=dict)

    def images_per_second(self, cost: NetworkCost) -> float:
        """Of the median pass."""
        return self.batch_size / Timing(cost.seconds).median

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        found = asdict(self)
        for entry, cost in zip(found["costs"], self.costs):
            times = [second / self.batch_size for second in cost.seconds]
            entry["seconds_per_image"] = {"median": Timing(times).median, "min": min(times), "max": max(times)}
            entry["images_per_second"] = self.images_per_second(cost)
        return found


def analyze(
    model: nn.Layer,
    sizes: Sequence[tuple[int, int]],
    batch_size: int = 1,
    rounds: int = ROUNDS,
    precision: str = "fp32",
    channels: int = RGB,
    losses: dict | None = None,
    optimizer: paddle.optimizer.Optimizer | None = None,
) -> Analysis:
    """Count and measure what a network costs, on the current device.

    Afterwards its weights and its mode are as before.

    Args:
        model: In PaddleSeg's form: from images (N, C, H, W) to a list of outputs, logits first.
        sizes: (width, height) of the images, any; at least one.
        batch_size: Images of a pass.
        rounds: Timed passes at each size, in turns with those at the others, after some to warm up.
        precision: ``fp32``, or ``fp16`` or ``bf16`` on a GPU.
        channels: Of the images.
        losses: ``{"types": [...], "coef": [...]}``: measure training steps, on random labels, instead of evaluation.
        optimizer: Of the training steps, over the network's parameters; by default SGD with momentum.

    Raises:
        UserError: There is no size, the network fails on images of one, or the device lacks the precision.
    """
    if not sizes:
        raise UserError("`size`: give at least one width and height")
    mode, state = model.training, {name: value.clone() for name, value in model.state_dict().items()} if losses else {}
    try:
        return _analyze(model, sizes, batch_size, rounds, Precision(precision), channels, losses, optimizer)
    finally:
        model.train() if mode else model.eval()
        for name, value in model.state_dict().items():
            if name in state:
                value.set_value(state[name])


def analyze_config(
    config: Config,
    sizes: Sequence[tuple[int, int]] = (),
    batch_size: int | None = None,
    rounds: int = ROUNDS,
    precision: str = "fp32",
    training: bool = False,
    model_path: str | None = None,
) -> Analysis:
    """`analyze` the network of a configuration; its data need not be there, and nothing is fetched.

    Args:
        config: Of `load_config`.
        sizes: As in `analyze`; by default that of the training's crops.
        batch_size: By default 1, for training the configuration's.
        rounds: As in `analyze`.
        precision: As in `analyze`.
        training: Measure training steps with the configuration's losses and optimizer.
        model_path: Trained weights; without them the network's are random, which changes no number here.

    Raises:
        UserError: As `analyze`; or the configuration or the weights are wrong.
    """
    builder = Builder(copy.deepcopy(config), pretrained=False)
    sizes = list(sizes) or [_crop(config)]
    model = builder.model if model_path is None else builder.model_with(model_path)
    losses = optimizer = None
    if training:
        losses, optimizer = builder.loss, builder.optimizer
        check_outputs(model, losses)
    channels = int(config.val_dataset_cfg.get("img_channels", RGB))
    batch_size = batch_size or (config.batch_size if training else 1)
    return analyze(model, sizes, batch_size, rounds, precision, channels, losses, optimizer)


def _crop(config: Config) -> tuple[int, int]:
    """Width and height of the pictures that the network is trained on."""
    for transform in reversed((config.dic.get("train_dataset") or {}).get("transforms") or []):
        for key in ("crop_size", "target_size"):
            size = transform.get(key)
            if isinstance(size, (list, tuple)) and len(size) == 2:
                return int(size[0]), int(size[1])
    raise UserError("`size`: no transform of train_dataset has a crop_size; give a width and a height")


def _analyze(
    model: nn.Layer,
    sizes: Sequence[tuple[int, int]],
    batch_size: int,
    rounds: int,
    precision: Precision,
    channels: int,
    losses: dict | None,
    optimizer: paddle.optimizer.Optimizer | None,
) -> Analysis:
    train_mode(model) if losses else model.eval()
    step = None
    if losses:
        optimizer = optimizer or paddle.optimizer.Momentum(0.01, parameters=model.parameters())
        precision.prepare(model, optimizer)
        step = Step(model, losses, optimizer, precision=precision)
    costs, passes = [], []
    for width, height in sizes:
        with _explained(model, width, height, batch_size, bool(losses)):
            tree = LayerTree(model)
            tree.count(paddle.randn([1, channels, height, width]))
            images = paddle.randn([batch_size, channels, height, width])
            run = _training_step(step, model, images) if step else partial(_evaluate, model, images, precision)
            run()  # the first makes what stays: gradients, matrices that sizes decide
            cost = NetworkCost(width, height, tree.root, held_bytes=allocated_memory())
            cost.resident_growth_bytes = peak_resident_growth(partial(_enter_peak, cost, run))
            if counts_peaks():
                tree.measure_memory(run)
            costs.append(cost)
            passes.append(run)
    for cost, timing in zip(costs, interleaved_timing(*passes, rounds=rounds)):
        cost.seconds = timing.seconds
    idle = {part.name: part.parameters for part in costs[0].layers.children if not part.runs and part.parameters}
    return Analysis(
        model=type(model).__name__,
        training=bool(losses),
        batch_size=batch_size,
        precision=precision.name,
        device=device_name(),
        threads=threads() if paddle.get_device() == "cpu" else None,
        paddle=paddle.__version__,
        rounds=rounds,
        costs=costs,
        idle=idle,
    )


def _enter_peak(cost: NetworkCost, run: Callable[[], Any]) -> None:
    if counts_peaks():
        cost.peak_bytes = cost.held_bytes + peak_allocation(run)
    else:
        run()


def _evaluate(model: nn.Layer, images: paddle.Tensor, precision: Precision) -> None:
    with paddle.no_grad(), precision.forward():
        model(images)


def _training_step(step: Step, model: nn.Layer, images: paddle.Tensor) -> Callable[[], Any]:
    """A step on random labels of as many classes as there are logits."""
    model.eval()
    with paddle.no_grad():
        classes = model(images[:1])[0].shape[1]
    train_mode(model)
    labels = paddle.randint(0, classes, [images.shape[0], *images.shape[2:]])
    batch = {"img": images, "label": labels, "edge": labels % 2}
    return lambda: step([batch])


@contextmanager
def _explained(model: nn.Layer, width: int, height: int, batch_size: int, training: bool) -> Iterator[None]:
    """Within the block a failure is told as one of the network on images of a size; networks fail in many ways."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        images = f"{batch_size} image{'s' * (batch_size > 1)} of {width}×{height}"
        done = "be trained on" if training else "evaluate"
        if is_out_of_memory(error):
            smaller = f"`batch_size` {batch_size // 2}" if batch_size > 1 else "a smaller `size`"
            raise UserError(f"out of memory on {images}; try {smaller}") from error
        raise UserError(
            f"`size` {width} {height}: {type(model).__name__} cannot {done} {images}: {reason(error)}"
        ) from error
