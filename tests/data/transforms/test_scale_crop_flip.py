"""The fused transform equals PaddleSeg's three for the same random draws."""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from paddleseg.transforms import Normalize, Padding, RandomHorizontalFlip, RandomPaddingCrop, ResizeStepScaling

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.data.transforms import ScaleCropFlip
from paddleseg_ext.data.transforms.scaled_crop import scaled_crop, scaled_crop_of_ids
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
def test_cityscapes_sizes_are_exact(scale: float) -> None:
    check_crops(1024, 2048, (round(scale * 1024), round(scale * 2048)), 200, 300)


@pytest.mark.parametrize("height, width", [(37, 53), (128, 256), (97, 61)])
@pytest.mark.parametrize("scale", [0.5, 0.683, 0.97, 1.0, 1.0417, 1.618, 2.0, 3.7])
@pytest.mark.parametrize("rows, columns", [(1, 1), (5, 40), (18, 26)])
def test_continuous_scales_are_exact(height: int, width: int, scale: float, rows: int, columns: int) -> None:
    check_crops(height, width, (int(height * scale + 0.5), int(width * scale + 0.5)), rows, columns)


def check_crops(height: int, width: int, size: tuple[int, int], rows: int, columns: int) -> None:
    """Crops of a picture, and of a label of three types, are those of the whole resized one."""
    picture = np.random.default_rng(1).uniform(0, 255, (height, width)).astype("float32")
    ids = np.random.default_rng(2).integers(0, 200, (height, width))
    rows, columns = min(rows, size[0]), min(columns, size[1])
    whole = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
    whole_bytes = cv2.resize(picture.astype("uint8"), size[::-1], interpolation=cv2.INTER_LINEAR)
    whole_ids = cv2.resize(ids.astype("uint8"), size[::-1], interpolation=cv2.INTER_NEAREST)
    for down, right in [(0, 0), (1, 1), (0.3, 0.7), (0.5, 0.2)]:
        top, left = int(down * (size[0] - rows)), int(right * (size[1] - columns))
        taken = slice(top, top + rows), slice(left, left + columns)
        where = size, range(top, top + rows), range(left, left + columns)
        np.testing.assert_allclose(scaled_crop(picture, *where), whole[taken], rtol=0, atol=ROUNDING)
        eight = scaled_crop(picture.astype("uint8"), *where)
        assert eight.dtype == np.uint8 and np.abs(eight.astype(int) - whole_bytes[taken]).max() <= 1
        for kind in ("uint8", "int32", "int64"):
            np.testing.assert_array_equal(scaled_crop_of_ids(ids.astype(kind), *where), whole_ids[taken])


@pytest.mark.parametrize("step", [0.25, 0])
def test_only_a_part_is_resized(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    resized = []
    resize = cv2.resize
    monkeypatch.setattr(cv2, "resize", lambda p, size, **k: resized.append(size) or resize(p, size, **k))
    for seed in range(20):
        apply([ScaleCropFlip((1024, 512), 1.25, 2.0, step, fit=[2048, 1024])], sample(1024, 2048), seed)
    assert len(resized) == 20
    if step:
        assert all(width <= 1024 + 4 * 7 and height <= 512 + 4 * 7 for width, height in resized)
    else:  # whole rows, but only those that are needed
        heights = np.array([height for _, height in resized])
        assert heights.max() <= 2 * 512 and np.median(heights) <= 512 / 1.25 + 3


@pytest.mark.parametrize("height, width", [(512, 683), (683, 512), (300, 300), (200, 1000), (1536, 2048)])
def test_pictures_are_scaled_from_what_fits(height: int, width: int) -> None:
    """The short side is 512 times the scale, or the long one 2048 times it, as where pictures are evaluated."""
    for scale in (0.5, 1.0, 1.7):
        fused = ScaleCropFlip((4096, 4096), scale, scale, fit=[2048, 512], im_padding_value=None)
        found = apply([fused], sample(height, width, 1), 0)["img"].shape
        factor = min(int(512 * scale) / min(height, width), int(2048 * scale) / max(height, width))
        assert found == (int(height * factor + 0.5), int(width * factor + 0.5))


def test_scales_are_uniform_between_their_limits() -> None:
    fused = ScaleCropFlip((4096, 4096), 0.5, 2.0, 0, fit=[400, 100], im_padding_value=None)
    label = {"img": np.zeros((50, 50), "float32"), "label": np.zeros((50, 50), "uint8"), "gt_fields": ["label"]}
    scales = np.array([apply([fused], dict(label), seed)["img"].shape[0] / 100 for seed in range(2000)])
    assert abs(scales.mean() - 1.25) < 0.03 and abs(scales.std() - 1.5 / np.sqrt(12)) < 0.02
    assert 0.5 <= scales.min() < 0.52 and 1.98 < scales.max() <= 2.0
    shares = np.histogram(scales, 10, (0.5, 2.0))[0] / len(scales)
    assert np.abs(shares - 0.1).max() < 0.03


def test_the_commonest_class_has_at_most_its_share() -> None:
    """Where a crop can be found; of ten draws of one class in three all are bad once in 59,000 times."""
    data = sample(64, 96)
    data["label"][:] = 1
    data["label"][:, 32:64] = 2
    data["label"][:8] = 255  # which counts for nothing

    def shares(ratio: float) -> np.ndarray:
        fused = ScaleCropFlip((32, 32), 1.0, 1.0, category_max_ratio=ratio)
        labels = [apply([fused], dict(data), seed)["label"] for seed in range(300)]
        counts = [np.bincount(label.ravel(), minlength=256)[:255] for label in labels]
        return np.array([count.max() / count.sum() for count in counts])

    assert (shares(1.0) > 0.75).mean() > 0.3
    assert shares(0.75).max() < 0.75


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("behind", [False, True])
def test_padding_is_zero_after_normalizing(dtype: str, behind: bool) -> None:
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    value = None if behind else [255 * m for m in mean]
    transforms = [ScaleCropFlip((48, 40), 1.0, 1.0, flip_prob=0, im_padding_value=value), Normalize(mean, std)]
    if behind:
        transforms.append(Padding([48, 40], im_padding_value=0.0))
    data = sample(20, 30)
    found = apply(transforms, {**data, "img": data["img"].astype(dtype), "trans_info": []}, 0)
    assert found["img"].shape == (40, 48, 3) and found["label"].shape == (40, 48)
    np.testing.assert_allclose(found["img"][20:], 0, atol=1e-6)
    np.testing.assert_allclose(found["img"][:, 30:], 0, atol=1e-6)
    assert (found["label"][20:] == 255).all() and np.abs(found["img"][:20, :30]).mean() > 0.5


def test_paddings_are_as_many_as_channels() -> None:
    with pytest.raises(ValueError, match="im_padding_value: .* has 2 numbers, but the image 3 channels"):
        apply([ScaleCropFlip((96, 96), 1.0, 1.0, im_padding_value=[1, 2])], sample(20, 30), 0)


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
    "arguments",
    [
        *({"crop_size": [512]}, {"crop_size": [0, 4]}, {"min_scale_factor": 0}, {"min_scale_factor": 3.0}),
        *({"fit": [2048]}, {"fit": [0, 2]}, {"scale_step_size": -1}, {"flip_prob": 2}, {"category_max_ratio": 1.5}),
    ],
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
