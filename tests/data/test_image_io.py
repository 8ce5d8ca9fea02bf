"""Images are read upright, on one scale and with all their bands, or refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from paddleseg_ext.data.image_decoding import check_range
from paddleseg_ext.data.image_io import read_image, to_rgb
from paddleseg_ext.errors import UserError


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_exif_turns_every_format_as_pillow_does(tmp_path: Path, suffix: str, orientation: int, channels: int) -> None:
    corners = np.zeros((16, 32, 3), np.uint8)
    corners[:8, :16], corners[8:, :16], corners[:8, 16:] = 250, 160, 80
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {"quality": 100} if suffix == "jpg" else {}
    Image.fromarray(corners).save(path, exif=exif, **lossless)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("L" if channels == 1 else "RGB"))
    found = read_image(path, channels)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 2  # JPEG; the colors are gray, so BGR is RGB


def test_image_range_scales_what_has_more_than_8_bits(tmp_path: Path) -> None:
    twelve = np.array([[0, 4095], [819, 2048]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), twelve)
    assert read_image(tmp_path / "a.png", 1, [0, 4095]).tolist() == [[0, 255], [51, 128]]
    assert read_image(tmp_path / "a.png", 3, [0, 4095])[..., 1].tolist() == [[0, 255], [51, 128]]
    cv2.imwrite(str(tmp_path / "a.tif"), np.array([[-1, 0.5], [0, 1]], np.float32))
    assert read_image(tmp_path / "a.tif", 1, [-1, 1]).tolist() == [[0, 191], [128, 255]]
    np.save(tmp_path / "a.npy", np.full((2, 2, 5), 0.2))
    assert (read_image(tmp_path / "a.npy", 5, [0, 1]) == 51).all()


@pytest.mark.parametrize(
    "array, image_range, message",
    [
        (np.array([[0, 5000]], np.uint16), [0, 4095], "values reach from 0 to 5000, and image_range is 0 … 4095"),
        (np.array([[0.5, np.nan]]), [0, 1], "and image_range is 0 … 1"),
        (np.array([[-0.1, 0.5]]), [0, 1], "reach from -0.1 to 0.5"),
        (np.array([[3, 5]], np.uint8), [0, 4095], "it has 8 bits"),
        (np.array([[0.5, 1.0]]), None, "image_range"),
    ],
)
def test_values_that_contradict_the_range_are_refused(
    tmp_path: Path, array: np.ndarray, image_range: list | None, message: str
) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=message):
        read_image(tmp_path / "a.npy", 1, image_range)


@pytest.mark.parametrize("wrong", [5, [1], [2, 1], [0, "a"], [0, float("nan")], [True, 2], "01"])
def test_what_is_no_range_is_refused(wrong: object) -> None:
    with pytest.raises(UserError, match="image_range: .* is two numbers"):
        check_range(wrong)


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1), (2, 2, 2), (2, 2, 3), (2, 2, 6)])
def test_any_number_of_bands_can_be_looked_at(shape: tuple[int, ...]) -> None:
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    rgb = to_rgb(image)
    assert rgb.shape == (2, 2, 3)
    if shape[2:] and shape[2] >= 3:
        assert rgb[0, 1].tolist() == image[0, 1, :3].tolist()[::-1]
    else:
        assert rgb[0, 1].tolist() == [image[0, 1].flat[0]] * 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [3, 4, 7])
def test_gray_pages_of_a_tiff_are_bands(tmp_path: Path, dtype: type, count: int) -> None:
    pages = np.random.default_rng(0).integers(0, 255, (count, 5, 6)).astype(dtype)
    first, *others = (Image.fromarray(page) for page in pages)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    image_range = None if dtype is np.uint8 else [0, 255]
    assert (read_image(tmp_path / "a.tif", count, image_range) == np.moveaxis(pages, 0, -1)).all()
    for channels in (1, count + 1):
        with pytest.raises(UserError, match=f"a.tif: it has {count} pages"):
            read_image(tmp_path / "a.tif", channels, image_range)


@pytest.mark.parametrize("bands", [2, 4, 5])
def test_bands_of_one_page_are_read_as_they_are(tmp_path: Path, bands: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (5, 6, bands), np.uint8)
    np.save(tmp_path / "a.npy", image)
    assert (read_image(tmp_path / "a.npy", bands) == image).all()
    if bands == 4:  # the fourth is no transparency
        cv2.imwrite(str(tmp_path / "a.tif"), image)
        assert (read_image(tmp_path / "a.tif", bands) == image).all()


@pytest.mark.parametrize(
    "shape, channels, message",
    [
        ((4, 4, 4), 3, "it has 4 bands, and img_channels is 3"),
        ((4, 4), 3, "it has 1 bands, and img_channels is 3"),
        ((4, 4, 3), 1, "it has 3 bands"),
        ((4, 4, 3), 4, "it has 3 bands"),
        ((2, 4, 4, 3), 3, "it has 4 axes"),
        ((4,), 1, "it has 1 axes"),
    ],
)
def test_arrays_of_other_bands_are_refused(tmp_path: Path, shape: tuple[int, ...], channels: int, message: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(UserError, match=f"a.npy: {message}"):
        read_image(tmp_path / "a.npy", channels)


def test_one_band_is_a_gray_image(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((4, 5, 1), np.uint8))
    assert read_image(tmp_path / "a.npy", 1).shape == (4, 5)
