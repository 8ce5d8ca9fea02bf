"""`Normalize` computes what PaddleSeg's function does, and leaves to it what is no plain picture."""

from __future__ import annotations

import numpy as np
import pytest
from paddleseg.cvlibs import manager
from paddleseg.transforms import Normalize, functional

from paddleseg_ext.compat.normalize import speed_up_normalize

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
BANDS = {"mean": [0.1, 0.2, 0.3, 0.4], "std": [0.5, 0.6, 0.7, 0.8]}


def expected(image: np.ndarray, transform: Normalize) -> np.ndarray:
    return functional.normalize(image.copy(), transform.mean, transform.std)


@pytest.mark.parametrize("kind", ["Normalize", "FastNormalize"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize(
    ("shape", "arguments"),
    [((7, 9, 3), IMAGENET), ((5, 4, 3), {}), ((6, 8), {}), ((6, 8, 1), {}), ((3, 5, 4), BANDS),
     ((4, 5, 3), {"mean": [0.4], "std": IMAGENET["std"]})],
)  # fmt: skip
def test_equals_paddlesegs(shape: tuple[int, ...], arguments: dict, dtype: str, kind: str) -> None:
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    kept = image.copy()
    transform = manager.TRANSFORMS[kind](**arguments)
    found = transform({"img": image, "label": kept})
    np.testing.assert_allclose(found["img"], expected(image, transform), rtol=0, atol=2e-6)
    assert found["img"].dtype == np.float32 and found["img"].shape == shape and found["label"] is kept
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint16"])
def test_other_numbers_become_what_paddleseg_makes_of_them(dtype: str) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (4, 6, 3)).astype(dtype)
    found = Normalize(**IMAGENET)({"img": image})["img"]
    np.testing.assert_array_equal(found, expected(image, Normalize(**IMAGENET)))
    assert found.dtype == np.float32


def test_mirrored_views_are_read_in_their_order() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (4, 6, 3)).astype("float32")
    found = Normalize(**IMAGENET)({"img": image[:, ::-1]})["img"]
    np.testing.assert_array_equal(found, Normalize(**IMAGENET)({"img": image})["img"][:, ::-1])


def test_errors_are_paddlesegs() -> None:
    with pytest.raises(ValueError, match="std is invalid"):
        Normalize(mean=(1, 1), std=(0.2, 0.0))
    with pytest.raises(ValueError, match="broadcast"):
        Normalize(**BANDS)({"img": np.zeros((4, 4, 3), "float32")})


def test_a_second_replacement_keeps_paddlesegs_own() -> None:
    original = Normalize.__call__.original
    speed_up_normalize()
    assert Normalize.__call__.original is original and not hasattr(original, "original")
