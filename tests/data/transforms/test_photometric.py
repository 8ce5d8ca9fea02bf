"""Changes of colors equal mmsegmentation's for the same draws, and are drawn as its formulas say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paddleseg_ext.data.checks import check_transforms
from paddleseg_ext.data.transforms import PhotoMetricDistortion
from paddleseg_ext.errors import UserError
from tests.tiny_run import write_config, write_samples

GOLDEN = Path(__file__).parents[1] / "mmseg" / "colors.npz"
OFF = {"brightness_delta": 0, "contrast_range": [1, 1], "saturation_range": [1, 1], "hue_delta": 0}


def distort(image: np.ndarray, seed: int, **arguments: object) -> np.ndarray:
    np.random.seed(seed)
    return PhotoMetricDistortion(**arguments)({"img": image})["img"]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_equals_mmsegmentation_for_the_same_draws(dtype: str) -> None:
    with np.load(GOLDEN) as blob:
        golden = dict(blob)
    off = 0
    for seed, expected in golden.items():
        picture = np.random.default_rng(int(seed)).integers(0, 256, expected.shape).astype(dtype)
        found = distort(picture, int(seed))
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1
        off += int((found != expected).sum())
    assert off <= 0.001 * sum(map(np.size, golden.values()))  # OpenCV's versions round one hue in many otherwise


def test_brightness_is_added_and_kept_within_its_range() -> None:
    gray = np.full((4, 4, 3), 100, np.uint8)
    added = np.array([distort(gray, seed, **{**OFF, "brightness_delta": 32})[0, 0, 0] - 100 for seed in range(2000)])
    assert abs((added == 0).mean() - 0.5) < 0.05  # the coin, and what truncates to nothing
    changed = added[added != 0]
    assert -32 <= changed.min() < -29 and 28 < changed.max() <= 32
    assert abs(changed.mean() + 0.5) < 2 and abs(changed.std() - 64 / np.sqrt(12)) < 1  # truncated downwards
    assert distort(np.full((2, 2, 3), 250, np.uint8), 3, **{**OFF, "brightness_delta": 255}).max() <= 255


@pytest.mark.parametrize("name, expected", [("contrast_range", (0.5, 1.5)), ("saturation_range", (0.25, 1.0))])
def test_factors_are_uniform(name: str, expected: tuple[float, float]) -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    image[...] = (100, 100, 100) if name == "contrast_range" else (160, 80, 80)
    found = np.array([distort(image, seed, **{**OFF, name: list(expected)}) for seed in range(2000)])[:, 0, 0]
    if name == "contrast_range":
        factors = found[:, 0] / 100
    else:  # of saturation, value and hue stay
        assert (np.abs(found[:, 0] - 160) <= 1).all()
        factors = (1 - found[:, 1] / found[:, 0]) / 0.5
    changed = factors[np.abs(factors - 1) > 0.011]
    assert abs(len(changed) / len(factors) - 0.5) < 0.05
    low, high = expected
    assert abs(changed.mean() - (low + high) / 2) < 0.02
    assert abs(changed.std() - (high - low) / np.sqrt(12)) < 0.02


def test_hue_turns_by_whole_steps() -> None:
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 255
    found = np.array([distort(red, seed, **{**OFF, "hue_delta": 18}) for seed in range(1500)])[:, 0, 0]
    assert (found[:, 0] == 255).all()  # ±36 degrees around red
    steps = (found[:, 1] - found[:, 2]) / 255 * 30
    assert -18 <= steps.min() < -16 and 15 < steps.max() <= 17.1  # mmsegmentation's upper end is left out
    assert abs((np.abs(steps) < 0.5).mean() - 0.5 - 0.5 / 36) < 0.05


def test_gray_images_change_in_brightness_and_contrast_alone() -> None:
    image = np.arange(60, dtype=np.float32).reshape(6, 10) * 4
    for seed in range(20):
        colored = distort(np.stack([image] * 3, axis=-1), seed)
        np.testing.assert_array_equal(distort(image, seed), colored[..., 0])


@pytest.mark.parametrize(
    "arguments",
    [
        *({"brightness_delta": -1}, {"brightness_delta": 1e308}, {"hue_delta": 181}, {"hue_delta": "18"}),
        *({"contrast_range": [1.5, 0.5]}, {"contrast_range": [0.5]}, {"saturation_range": [-1, 1]}),
    ],
)
def test_bad_arguments_are_named(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        PhotoMetricDistortion(**arguments)


def test_more_bands_are_refused_before_a_training(tmp_path: Path) -> None:
    class Bands:
        img_channels, ignore_index, num_classes = 4, 255, 3
        transforms = type("Compose", (), {"transforms": [PhotoMetricDistortion()]})

    with pytest.raises(UserError, match="PhotoMetricDistortion is for images of 1 or 3 channels"):
        check_transforms(Bands(), "train_dataset")
    with pytest.raises(ValueError, match="4 channels is not in RGB"):
        distort(np.zeros((2, 2, 4), np.uint8), 0)


def test_yaml_can_name_it(tmp_path: Path) -> None:
    from paddleseg_ext.builder import Builder, load_config

    dataset = load_config(write_config(write_samples(tmp_path))).dic["train_dataset"]
    transforms = [{"type": "PhotoMetricDistortion", "brightness_delta": 5}, {"type": "Normalize"}]
    path = write_config(tmp_path, train_dataset={**dataset, "transforms": transforms})
    assert Builder(load_config(path)).train_dataset[0]["img"].shape == (3, 32, 32)
