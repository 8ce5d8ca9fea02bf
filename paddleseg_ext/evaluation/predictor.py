"""Applying a network to images: whole or by sliding windows, at several scales, flipped.

The results are those of PaddleSeg's `core.infer` (logits are averaged, not probabilities; each scale is resized from
the original image), except that windows are summed in float32 instead of float64.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.compat.paddle import interpolate_by
from paddleseg_ext.data.eval_loader import TransInfo
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation import score_maps
from paddleseg_ext.evaluation.oom import explain_out_of_memory
from paddleseg_ext.evaluation.score_maps import Map
from paddleseg_ext.evaluation.sliding_window import Each, sliding_bands
from paddleseg_ext.layers.functional import KERNELS, resize_bilinear
from paddleseg_ext.runtime.amp import TYPES
from paddleseg_ext.runtime.arrays import on_host

WINDOW_BATCH = 8  # default on devices other than the CPU


@dataclass(frozen=True)
class Predictor:
    """How to apply a network to images; the names are those of PaddleSeg's `test_config`.

    Memory for logits beyond the network's own, in float32 maps of all classes: none for a whole image; for windows,
    `window_batch` windows and two strips of a window's height over the image's width. `aug_eval` adds a map of the
    largest scale (two with windows) and two of the image. Where the transforms resize, windows take a map of the image,
    and everything one more of the original size.

    Args:
        aug_eval: Average over `scales` and flips; without it they have no effect.
        scales: Factors of the image's height and width, one or several.
        flip_horizontal: Add the mirror image.
        flip_vertical: Add the image upside down (with both, the image turned as well).
        is_slide: Cut the (scaled) image into windows.
        crop_size: Width and height of a window, in pixels.
        stride: Steps of the windows to the right and down, in pixels, at most `crop_size`.
        window_batch: Windows that the network sees at once; by default 1 on the CPU and 8 elsewhere.
        precision: fp32, or fp16 or bf16 for mixed precision; logits are always averaged in float32.

    Raises:
        UserError: A value is not allowed; the message names the argument.
    """

    aug_eval: bool = False
    scales: float | Sequence[float] = 1.0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    is_slide: bool = False
    crop_size: Sequence[int] | None = None
    stride: Sequence[int] | None = None
    window_batch: int | None = None
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.precision not in TYPES:
            raise UserError(f"`precision`: {self.precision!r} is not allowed; allowed are {', '.join(TYPES)}")
        if self.precision != "fp32" and paddle.get_device() == "cpu":
            raise UserError(f"`precision`: {self.precision} needs a GPU; on the CPU Paddle computes in float32")
        if self.window_batch is not None and self.window_batch < 1:
            raise UserError(f"`window_batch`: {self.window_batch} is not allowed; it is at least 1")
        if not self._scales or not all(isinstance(s, (int, float)) and s > 0 for s in self._scales):
            raise UserError(f"`scales`: {self.scales} is not allowed; they are numbers above 0")
        if self.is_slide:
            crop_size, stride = self._size("crop_size"), self._size("stride")
            if any(s > c for s, c in zip(stride, crop_size)):
                raise UserError(
                    f"`stride`: {list(stride)} leaves gaps between windows of {list(crop_size)}; "
                    "it must not exceed crop_size"
                )

    def predict(
        self, model: nn.Layer, images: paddle.Tensor, trans_infos: Sequence[TransInfo], each: Each = map
    ) -> list[Map]:
        """Class ids of each image at its original size.

        Args:
            model: In evaluation mode, under `paddle.no_grad()`.
            images: (N, 3, H, W).
            trans_infos: For each image what PaddleSeg's transforms recorded as `trans_info`.
            each: How the network is applied to all batches of windows; see `sliding_bands`.

        Returns:
            N maps (H_i, W_i) as `score_maps.argmax` gives them.

        Raises:
            UserError: Memory does not suffice; the message proposes settings.
        """
        with self._explain(images):
            resized = any(step == "resize" for info in trans_infos for step, _ in info)
            if getattr(model, "outputs_labels", False):
                return self._label_outputs(model, images, trans_infos, resized)
            if self.is_slide and not self.aug_eval and not resized:
                bands = self._bands(model, images, each, mean=False)
                parts = [[score_maps.argmax(logits) for logits in band] for band in bands]
                preds = [score_maps.concat(of_one_image) for of_one_image in zip(*parts)]
                return [restore(pred, info) for pred, info in zip(preds, trans_infos)]
            return [score_maps.argmax(logits[0]) for logits in self._original_logits(model, images, trans_infos, each)]

    def predict_whole(
        self, model: nn.Layer, images: paddle.Tensor, trans_infos: Sequence[TransInfo], each: Each = map
    ) -> Iterator[tuple[Map, Map]]:
        """For each image its class ids, as `predict` gives them, and the logits (1, K, H_i, W_i) behind them.

        Args:
            model: As for `predict`.
            images: As for `predict`.
            trans_infos: As for `predict`.
            each: As for `predict`.
        """
        with self._explain(images):
            for logits in self._original_logits(model, images, trans_infos, each):
                yield score_maps.argmax(logits[0]), logits

    def _label_outputs(
        self, model: nn.Layer, images: paddle.Tensor, trans_infos: Sequence[TransInfo], resized: bool
    ) -> list[Map]:
        """Of an exported network that ends with argmax: there are no logits to average or resize."""
        if resized or not self.is_whole:
            raise UserError(
                "the network was exported with output_op argmax and gives class ids only; windows, scales, flips and "
                "transforms that resize need logits: export it with output_op none"
            )
        return [restore(pred, info) for pred, info in zip(score_maps.from_tensor(model(images)[0]), trans_infos)]

    @property
    def is_whole(self) -> bool:
        """Whether the network sees each image whole and once."""
        return not (self.is_slide or self.aug_eval)

    def _original_logits(
        self, model: nn.Layer, images: paddle.Tensor, trans_infos: Sequence[TransInfo], each: Each
    ) -> Iterator[Map]:
        logits = self._augmented(model, images, each) if self.aug_eval else self._logits_of(model, images, each)
        return (restore(logits[i : i + 1], info) for i, info in enumerate(trans_infos))

    def logits(self, model: nn.Layer, images: paddle.Tensor) -> Map:
        """Logits (N, K, H, W), float32, at the size of `images` (N, 3, H, W)."""
        with self._explain(images):
            return self._augmented(model, images, map) if self.aug_eval else self._logits_of(model, images, map)

    def _explain(self, images: paddle.Tensor) -> contextlib.AbstractContextManager[None]:
        window = self.crop_size if self.is_slide else None
        return explain_out_of_memory(images.shape, window, self.windows_at_once(images))

    def windows_at_once(self, images: paddle.Tensor) -> int:
        """`window_batch`, or its default on the images' device."""
        # On the CPU, a network is fastest on one window at a time: its maps stay in the cache.
        return self.window_batch or (1 if on_host(images) else WINDOW_BATCH)

    def _size(self, name: str) -> tuple[int, int]:
        """Width and height under the name of an argument that sliding windows need."""
        size = getattr(self, name)
        if not (isinstance(size, (list, tuple)) and len(size) == 2 and all(_positive(s) for s in size)):
            raise UserError(f"`{name}`: {size} is not allowed; is_slide needs a width and a height, e.g. [512, 512]")
        return size[0], size[1]

    @property
    def _scales(self) -> Sequence[float]:
        return [self.scales] if isinstance(self.scales, (int, float)) else self.scales

    def _augmented(self, model: nn.Layer, images: paddle.Tensor, each: Each) -> Map:
        size = tuple(images.shape[-2:])
        horizontal = (1, -1) if self.flip_horizontal else (1,)
        vertical = (1, -1) if self.flip_vertical else (1,)
        total: Any = None  # a map, once the network has told the number of classes
        for scale in self._scales:
            scaled_size = tuple(int(length * scale + 0.5) for length in size)
            scaled = images if scaled_size == size else resize_bilinear(images, list(scaled_size), False)
            flipped_sum: Any = None  # resizing is linear, so the flips of one scale are resized together
            for h, v in [(h, v) for v in vertical for h in horizontal]:
                view = scaled if (h, v) == (1, 1) else scaled[:, :, ::v, ::h]
                flipped_sum = _add(flipped_sum, self._logits_of(model, view, each)[:, :, ::v, ::h])
            resized = score_maps.resize(flipped_sum, size)
            total = resized if total is None else _add(total, resized)  # the first is ours to write to
        total /= len(self._scales) * len(horizontal) * len(vertical)
        return total

    def _logits_of(self, model: nn.Layer, images: paddle.Tensor, each: Each) -> Map:
        if not self.is_slide:
            return self._forward(model, images)
        logits: Any = None  # a map, once a band has told the number of classes
        top = 0
        for band in self._bands(model, images, each):
            if logits is None:
                logits = score_maps.zeros((*band.shape[:2], *images.shape[-2:]), like=band)
            logits[:, :, top : top + band.shape[2]] = band
            top += band.shape[2]
        return logits

    def _bands(self, model: nn.Layer, images: paddle.Tensor, each: Each, mean: bool = True) -> Iterator[Map]:
        def forward(windows: paddle.Tensor) -> Map:
            return self._forward(model, windows)

        batch = self.windows_at_once(images)
        crop_size, stride = self._size("crop_size"), self._size("stride")
        return sliding_bands(forward, images, crop_size, stride, batch, mean=mean, each=each)

    def _forward(self, model: nn.Layer, images: paddle.Tensor) -> Map:
        """The mask's logits in float32, (N, K, H, W) at the size of `images`."""
        channels_last = getattr(model, "data_format", "NCHW") == "NHWC"
        images_in = images.transpose([0, 2, 3, 1]) if channels_last else images
        mixed = self.precision != "fp32"
        with paddle.amp.auto_cast(dtype=TYPES[self.precision]) if mixed else contextlib.nullcontext():
            outputs = model(images_in)
        logits = (outputs[0] if isinstance(outputs, (list, tuple)) else outputs).astype("float32")
        logits = logits.transpose([0, 3, 1, 2]) if channels_last else logits
        return score_maps.resize(score_maps.from_tensor(logits), tuple(images.shape[-2:]))


def read_test_config(test_config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Predictor` that a configuration's `test_config` holds.

    Raises:
        UserError: A key is unknown, or switches on what this package does not do.
    """
    known = [field.name for field in fields(Predictor)]
    unsupported = ("auc_roc", "use_multilabel")  # PaddleSeg's; off by default, and only that is possible here
    for key, value in test_config.items():
        if key not in known and not (key in unsupported and not value):
            raise UserError(f"test_config.{key}: {value} is not supported; allowed keys are {', '.join(known)}")
    settings = {key: value for key, value in test_config.items() if key in known}
    Predictor(**settings)
    return settings


@contextlib.contextmanager
def evaluating(model: nn.Layer) -> Iterator[None]:
    """Evaluation mode without gradients; the kernel for bilinear resizing also serves networks that are not ours.

    Afterwards each sublayer is in the mode in which it was, so that frozen ones stay frozen.
    """
    before = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    model.eval()
    try:
        with paddle.no_grad(), interpolate_by(KERNELS.get("resize_bilinear")):
            yield
    finally:
        for layer, training in before:
            layer.training = training


def restore(map_: Map, info: TransInfo) -> Map:
    """Undo the transforms' changes of size: (1, K, H, W) logits, or (H, W) class ids where nothing was resized.

    Raises:
        UserError: A transform changed the size otherwise than by resizing or padding.
    """
    for step, (height, width) in reversed(list(info)):
        if step == "resize":
            map_ = score_maps.resize(map_, (int(height), int(width)))
        elif step == "padding":  # PaddleSeg pads below and to the right
            map_ = map_[..., : int(height), : int(width)]
        else:
            raise UserError(f"trans_info: cannot undo the transform {step!r}; known are resize and padding")
    return map_


def _add(total: Map | None, part: Map) -> Map:
    if total is None:
        total = score_maps.zeros(tuple(part.shape), like=part)
    total += part
    return total


def _positive(value: Any) -> bool:
    return isinstance(value, int) and value > 0
