"""FastNormalize computes what PaddleSeg's Normalize does."""

from __future__ import annotations

import numpy as np
import pytest
from paddleseg.transforms import Normalize

from paddleseg_ext.data.transforms import FastNormalize

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize(
    ("shape", "arguments"), [((7, 9, 3), IMAGENET), ((5, 4, 3), {}), ((6, 8), {}), ((6, 8, 1), {})]
)
def test_equals_paddlesegs(shape: tuple[int, ...], arguments: dict, dtype: str) -> None:
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    kept = image.copy()
    expected = Normalize(**arguments)({"img": image.copy()})["img"]
    found = FastNormalize(**arguments)({"img": image})["img"]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found.dtype == np.float32 and found.shape == shape
    np.testing.assert_array_equal(image, kept)


def test_mirrored_views_are_read_in_their_order() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (4, 6, 3)).astype("float32")
    found = FastNormalize(**IMAGENET)({"img": image[:, ::-1]})["img"]
    np.testing.assert_array_equal(found, FastNormalize(**IMAGENET)({"img": image})["img"][:, ::-1])


@pytest.mark.parametrize("arguments", [{"std": (0.2, 0.0), "mean": (1, 1)}, {"mean": (0.5, 0.5)}])
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(ValueError, match="mean: .* std: "):
        FastNormalize(**arguments)
