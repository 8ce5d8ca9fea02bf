"""Pictures of predictions, pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg_ext.data.classes import generic_palette
from paddleseg_ext.data.image_io import save_pred
from paddleseg_ext.visualization.draw import (
    add_legend,
    color,
    legend,
    legend_table,
    overlay,
    save_color,
    side_by_side,
)

PALETTE = np.array([[128, 64, 128], [0, 0, 142], [70, 130, 180], [220, 20, 60]], np.uint8)
NAMES = ["road", "car", "sky", "person"]


def test_color_paints_classes_and_leaves_the_unlabeled_white() -> None:
    ids = np.array([[0, 3], [255, 2]], np.uint8)
    expected = [[PALETTE[0], PALETTE[3]], [(255, 255, 255), PALETTE[2]]]
    np.testing.assert_array_equal(color(ids, PALETTE), expected)


def test_overlay_mixes_and_keeps_the_unlabeled() -> None:
    image = np.full((1, 2, 3), 100, np.uint8)
    mixed = overlay(image, np.array([[2, 255]], np.uint8), PALETTE, opacity=0.25)
    np.testing.assert_allclose(mixed[0, 0], 0.75 * 100 + 0.25 * PALETTE[2], atol=1)
    np.testing.assert_array_equal(mixed[0, 1], [100] * 3)


def _colors(picture: np.ndarray) -> set[tuple]:
    return set(map(tuple, np.unique(picture.reshape(-1, 3), axis=0).tolist()))


def test_the_legend_holds_the_given_classes_and_breaks_its_lines() -> None:
    wide, narrow = legend([0, 2], PALETTE, NAMES, 400), legend([0, 2], PALETTE, NAMES, 70)
    for picture in (wide, narrow):
        assert {tuple(PALETTE[0].tolist()), tuple(PALETTE[2].tolist())} <= _colors(picture)
        assert tuple(PALETTE[3].tolist()) not in _colors(picture)
    assert wide.shape[1] == 400 and narrow.shape[1] == 70
    assert narrow.shape[0] > wide.shape[0]


@pytest.mark.parametrize("size", [(24, 100), (300, 400)])
def test_pictures_side_by_side_and_the_classes_of_both(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    label, pred = np.full(size, 2, np.uint8), np.full(size, 1, np.uint8)
    label[0, 0] = 255
    factor = 4 if size[1] == 100 else 1
    picture = side_by_side(image, label, pred, PALETTE, NAMES)
    height, width = size[0] * factor, size[1] * factor
    assert picture.shape[1] == 4 * width + 12 and picture.shape[0] > height
    top = round(1.55 * max(4 * width // 80, 13))  # a line of text
    panels = [picture[top : top + height, i * (width + 4) : i * (width + 4) + width] for i in range(3)]
    np.testing.assert_array_equal(panels[0][::factor, ::factor], image)
    np.testing.assert_array_equal(panels[1][::factor, ::factor], color(label, PALETTE))
    np.testing.assert_array_equal(panels[2][::factor, ::factor], color(pred, PALETTE))
    below = _colors(picture[top + height :])
    assert [tuple(c.tolist()) in below for c in PALETTE] == [False, True, True, False]


def test_a_picture_is_widened_for_its_legend() -> None:
    picture = add_legend(np.zeros((10, 20, 3), np.uint8), [0], PALETTE, NAMES)
    assert picture.shape[1] == 320 and not picture[:10, :20].any() and picture[:10, 20:].min() == 255


@pytest.mark.parametrize("highest, mode", [(18, "L"), (255, "L"), (256, "I;16"), (299, "I;16")])
def test_ids_are_written_as_they_are(tmp_path: Path, highest: int, mode: str) -> None:
    ids = np.array([[0, highest], [7, 1]], np.uint16)
    save_pred(tmp_path / "deep" / "ids.png", ids)
    with Image.open(tmp_path / "deep" / "ids.png") as file:
        assert file.mode == mode
        np.testing.assert_array_equal(np.asarray(file), ids)


@pytest.mark.parametrize("classes, mode", [(4, "P"), (256, "P"), (300, "RGB")])
def test_color_files_show_the_palette(tmp_path: Path, classes: int, mode: str) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (classes, 3), np.uint8)
    ids = np.array([[0, classes - 1], [3, 1]], np.uint16)
    save_color(tmp_path / "color.png", ids, palette)
    with Image.open(tmp_path / "color.png") as file:
        assert file.mode == mode
        np.testing.assert_array_equal(np.asarray(file.convert("RGB")), palette[ids])


def test_text_goes_with_the_width() -> None:
    heights = [legend([0], PALETTE, NAMES, width).shape[0] for width in (320, 1600, 2048, 100_000)]
    assert heights == sorted(heights) and heights[1] > heights[0] and heights[3] < 3 * heights[0] + 60


@pytest.mark.parametrize("count", [1, 20, 21, 150])
def test_a_table_of_all_classes_shows_each_once(count: int) -> None:
    palette = generic_palette(count)
    picture = legend_table(palette, [f"name {i}" for i in range(count)])
    found = _colors(picture)
    assert all(tuple(color) in found for color in palette.tolist())
    assert picture.shape[0] == min(count, 20) * 25 + 16
    swatches = (picture.reshape(-1, 3)[:, None] == palette[None, -1:]).all(-1).sum()
    assert count == 1 or swatches == (picture == palette[1]).all(-1).sum()  # of one size
