"""The fused transform equals PaddleSeg's three for the same random draws."""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from paddleseg.transforms import RandomHorizontalFlip, RandomPaddingCrop, ResizeStepScaling

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.data.transforms import ScaleCropFlip
from paddleseg_ext.data.transforms.scale_crop_flip import scaled_crop
from tests.tiny_run import write_config, write_samples

ROUNDING = 1e-4  # of 255: OpenCV's vector code adds up in another order at the end of a row


def sample(height: int, width: int, channels: int = 3, seed: int = 0) -> dict:
    generator = np.random.default_rng(seed)
    shape = (height, width, channels) if channels > 1 else (height, width)
    return {
        "img": generator.uniform(0, 255, shape).astype("float32"),
        "label": generator.integers(0, 19, (height, width)).astype("uint8"),
        "gt_fields": ["label"],
    }


def apply(transforms: list, data: dict, seed: int) -> dict:
    random.seed(seed)
    np.random.seed(seed)
    for transform in transforms:
        data = transform(data)
    return data


@pytest.mark.parametrize(
    ("height", "width", "crop", "step"),
    [
        (64, 128, (64, 32), 0.25),
        (60, 100, (48, 48), 0.25),
        (37, 53, (40, 24), 0.25),  # sides without common factors
        (16, 96, (64, 40), 0.25),  # lower than the crop at every scale
        (20, 24, (96, 96), 0.25),
        (48, 48, (48, 48), 0.5),
        (64, 96, (32, 32), 0),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_three(height: int, width: int, crop: tuple[int, int], step: float, channels: int) -> None:
    three = [ResizeStepScaling(0.5, 2.0, step), RandomPaddingCrop(crop), RandomHorizontalFlip()]
    fused = ScaleCropFlip(crop, 0.5, 2.0, step)
    for seed in range(40):
        expected = apply(three, sample(height, width, channels, seed), seed)
        found = apply([fused], sample(height, width, channels, seed), seed)
        np.testing.assert_array_equal(found["label"], expected["label"])
        np.testing.assert_allclose(found["img"], expected["img"], atol=ROUNDING)
        assert found["img"].shape[:2] == (crop[1], crop[0]) and found["img"].flags.c_contiguous


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 0.9])
@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_NEAREST])
def test_cityscapes_sizes_are_exact(scale: float, interpolation: int) -> None:
    picture = np.random.default_rng(1).uniform(0, 255, (1024, 2048)).astype("float32")
    size = round(scale * 1024), round(scale * 2048)
    whole = cv2.resize(picture, size[::-1], interpolation=interpolation)
    for top, left in [(0, 0), (size[0] - 200, size[1] - 300), (13, 101), (255, 510)]:
        crop = scaled_crop(picture, size, range(top, top + 200), range(left, left + 300), interpolation)
        tolerance = 0 if interpolation == cv2.INTER_NEAREST else ROUNDING
        np.testing.assert_allclose(crop, whole[top : top + 200, left : left + 300], rtol=0, atol=tolerance)


def test_only_a_part_is_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    resized = []
    resize = cv2.resize
    monkeypatch.setattr(cv2, "resize", lambda p, size, **k: resized.append(size) or resize(p, size, **k))
    for seed in range(20):
        apply([ScaleCropFlip((1024, 512), 1.25, 2.0)], sample(1024, 2048), seed)
    assert len(resized) == 40
    assert all(width <= 1024 + 4 * 7 and height <= 512 + 4 * 7 for width, height in resized)


def test_a_crop_of_one_class_is_drawn_again() -> None:
    data = sample(64, 64)
    data["label"][:] = 1
    data["label"][:, 60:] = 2
    fused = ScaleCropFlip((16, 16), 1.0, 1.0, category_max_ratio=0.9, loop_times=200)
    for seed in range(10):
        found = apply([fused], {**data}, seed)
        assert set(np.unique(found["label"])) == {1, 2}
        assert found["img"].shape == (16, 16, 3)


def test_the_distribution_is_that_of_the_arguments() -> None:
    data = {
        "img": np.zeros((8, 8), "float32"),
        "label": np.arange(64, dtype="uint8").reshape(8, 8),
        "gt_fields": ["label"],
    }
    fused = ScaleCropFlip((4, 4), 1.0, 1.0)
    corners = [tuple(apply([fused], dict(data), seed)["label"][0, [0, -1]]) for seed in range(600)]
    assert len(set(corners)) == 50  # 5 x 5 offsets, mirrored or not
    assert 230 < sum(left > right for left, right in corners) < 370


@pytest.mark.parametrize(
    "arguments", [{"crop_size": [512]}, {"crop_size": [0, 4]}, {"min_scale_factor": 0}, {"min_scale_factor": 3.0}]
)
def test_bad_arguments_are_named(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ScaleCropFlip(**arguments)


def test_yaml_can_name_it(tmp_path: Path) -> None:
    transforms = [{"type": "ScaleCropFlip", "crop_size": [24, 16], "im_padding_value": 0}, {"type": "Normalize"}]
    config = write_config(write_samples(tmp_path))
    dataset = load_config(config).dic["train_dataset"]
    path = write_config(tmp_path, train_dataset={**dataset, "transforms": transforms})
    assert Builder(load_config(path)).train_dataset[0]["img"].shape == (3, 16, 24)
