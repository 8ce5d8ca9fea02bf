"""What a network was trained for: its classes, how an image is read and prepared for it, and how it is tested."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Union

import numpy as np
from paddleseg.transforms import Compose
from PIL import Image, ImageOps

from paddleseg_ext.data.image_decoding import from_range, to_8_bits
from paddleseg_ext.data.image_io import read_image
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.evaluation.predictor import Predictor, read_test_config
from paddleseg_ext.registry import unknown_argument

AUGMENTED = ("scales", "flip_horizontal", "flip_vertical")
SLIDING = ("crop_size", "stride", "window_batch")
PROBES = (256, 384), (1536, 2560)  # (H, W): transforms may resize small images only, or large ones
NAME = "`image`"  # of an image that is no file, in messages
ImageLike = Union[str, Path, np.ndarray, Image.Image]


@dataclass(frozen=True)
class Task:
    """What has to be known beside a network to apply it to an image file and to draw what it finds.

    Attributes:
        classes: Names in the order of the ids.
        palette: (K, 3) uint8 RGB, their colors.
        transforms: PaddleSeg's, of the validation data.
        channels: Of the images.
        image_range: The values that are black and white, for images of more than 8 bits.
        test_config: Arguments of `Predictor` that the configuration gives.
    """

    classes: Sequence[str]
    palette: np.ndarray
    transforms: Sequence[Any] = ()
    channels: int = 3
    image_range: Sequence[float] | None = None
    test_config: Mapping[str, Any] = field(default_factory=dict)

    def read(self, image: ImageLike) -> np.ndarray:
        """An image as `read_image` gives it: (H, W, 3) BGR, for one channel (H, W), otherwise (H, W, channels); uint8.

        Args:
            image: A file; an array (H, W, 3) in RGB, (H, W) or (H, W, 1) in gray, of other channels in the order of
                the files; or a picture of Pillow, whose EXIF orientation is applied. Numbers are uint8, or what
                `read_image` takes from a file.

        Raises:
            UserError: As `read_image`; or it is none of these, or has other channels.
        """
        if isinstance(image, (str, os.PathLike)):
            return read_image(image, self.channels, self.image_range)
        pixels = _pixels(image, self.channels) if isinstance(image, Image.Image) else image
        if not isinstance(pixels, np.ndarray):
            raise UserError(
                f"{NAME}: {type(image).__name__} is not allowed; it is a path, an array (H, W, 3) in RGB, a picture of "
                "Pillow, or a list of them"
            )
        if pixels.ndim not in (2, 3) or 0 in pixels.shape:
            raise UserError(f"{NAME}: an array of shape {list(pixels.shape)} is no image; that is (H, W, 3) in RGB")
        bands = np.asarray(pixels).reshape(*pixels.shape[:2], -1)
        if self.channels == 3 and bands.shape[2] == 1:
            bands = bands.repeat(3, axis=2)  # as a gray file is read
        if bands.shape[2] != self.channels:
            raise UserError(f"{NAME}: it has {bands.shape[2]} channels, and the network takes {self.channels}")
        picture = {1: bands[..., 0], 3: bands[..., ::-1]}.get(self.channels, bands)
        if self.image_range is not None:
            return from_range(picture, NAME, self.image_range)
        return np.ascontiguousarray(picture) if picture.dtype == np.uint8 else to_8_bits(picture, NAME)

    def prepared(self, picture: np.ndarray) -> dict[str, Any]:
        """What the network takes of a picture that `read` gave.

        Returns:
            ``img``: (C, h, w) float32; ``trans_info``: see `Predictor.predict`.
        """
        compose = Compose(list(self.transforms), img_channels=self.channels)
        return compose({"img": picture.astype("float32"), "trans_info": []})

    def needs_scores(self) -> bool:
        """Whether class ids alone would not do: images are resized for the network, or its outputs are averaged."""
        if self.test_config.get("is_slide") or self.test_config.get("aug_eval"):
            return True
        bands = {1: (), 3: (3,)}.get(self.channels, (self.channels,))
        pictures = (np.zeros((*size, *bands), np.uint8) for size in PROBES)
        return any(step == "resize" for picture in pictures for step, _ in self.prepared(picture)["trans_info"])

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`merged_settings` of `test_config` and what is given."""
        return merged_settings(self.test_config, given)


def merged_settings(test_config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Predictor`: those of a configuration, replaced by what is given.

    Args:
        test_config: Of the configuration.
        given: Some of the arguments; None is as good as absent.

    Raises:
        UserError: A name is unknown, a value is not allowed, or one has no effect without another.
    """
    given = {key: value for key, value in given.items() if value is not None}
    known = [argument.name for argument in fields(Predictor)]
    for key in given:
        if key not in known:
            raise UserError(unknown_argument("predict", key, known))
    settings = {**test_config, **given}
    for switch, keys in (("aug_eval", AUGMENTED), ("is_slide", SLIDING)):
        unused = [f"`{key}`" for key in keys if key in given]
        if unused and not settings.get(switch):
            raise UserError(f"{', '.join(unused)}: without `{switch}` there is no effect; add it or leave them out")
    return read_test_config(settings)


def _pixels(image: Image.Image, channels: int) -> np.ndarray:
    """A picture of Pillow upright, with the channels asked for where it has them in another form."""
    try:
        upright = ImageOps.exif_transpose(image)
        deep = upright.mode.startswith(("I", "F"))  # more than 8 bits, which converting would cut off
        mode = None if deep else {1: "L", 3: "RGB"}.get(channels)
        return np.asarray(upright.convert(mode) if mode else upright)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{NAME}: Pillow cannot read the picture ({reason(error)})") from error
