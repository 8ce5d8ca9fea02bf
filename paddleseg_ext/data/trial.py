"""Transforms tried on a drawn picture, so that their arguments are to blame for what fails, and not the data."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from paddleseg_ext.errors import UserError, reason

HEIGHT, WIDTH = 96, 128


def try_transforms(transforms: Sequence[Any], channels: int, key: str) -> None:
    """Send a picture of noise through transforms; global random states are left as they were.

    Args:
        transforms: In PaddleSeg's form; the first that asks for more than an image and a label ends the trial.
        channels: Of the image.
        key: Name of the data set's section.

    Raises:
        UserError: One fails, or makes numbers that are not finite, or nothing.
    """
    generator, states = np.random.default_rng(0), (random.getstate(), np.random.get_state())
    data: dict[str, Any] = {
        "img": generator.integers(0, 256, (HEIGHT, WIDTH, channels)).astype(np.float32),
        "label": np.zeros((HEIGHT, WIDTH), np.uint8),
        "trans_info": [],
        "gt_fields": ["label"],
    }
    try:
        for index, transform in enumerate(transforms):
            name = f"{key}.transforms.{index}: {type(transform).__name__}"
            try:
                data = transform(data)
                image = np.asarray(data["img"])
                good = bool(image.size and np.isfinite(image).all())
            except KeyError:
                return
            except Exception as error:
                raise UserError(
                    f"{name} fails for a picture of {WIDTH}×{HEIGHT} ({reason(error)}); check its arguments"
                ) from error
            if not good:
                raise UserError(
                    f"{name} makes nothing, or numbers that are not finite, of a picture; check its arguments"
                )
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
