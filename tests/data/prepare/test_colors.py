"""Masks in colors: the proposed table, the conversion, and the colors that are in none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg_ext.data.class_table import read_class_table
from paddleseg_ext.data.prepare.colors import prepare_colors
from paddleseg_ext.data.prepare.folder import prepare_folder
from paddleseg_ext.errors import UserError
from tests.data.prepare.trees import contents, photo, pixels, save

COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 255]])


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Three masks of three colors; the last has one pixel of a mixture, 0.03 % of all."""
    for number in range(3):
        ids = np.random.default_rng(number).choice(3, (40, 30), p=(0.6, 0.3, 0.1))
        mask = COLORS[ids]
        if number == 2:
            mask[0, 0] = (12, 13, 14)
        save(tmp_path / "masks" / f"{number}.png", mask)
        photo(tmp_path / "images" / f"{number}.jpg", 40, 30)
    return tmp_path


def table(root: Path, text: str = "0 0 0 ground\n0 128 255 river\n255 0 0 roof\n") -> Path:
    (root / "table.txt").write_text(text, encoding="utf-8")
    return root / "table.txt"


def test_a_table_is_proposed_and_leads_on(masks: Path) -> None:
    with pytest.raises(UserError, match=r"3 masks have 4 colors; the 3 frequent ones are in .*table\.txt") as info:
        prepare_colors(masks / "masks", masks / "out", num_workers=2)
    assert "the other 1 colors, 0.028 % of the pixels" in str(info.value)
    proposed = read_class_table(masks / "out" / "table.txt", with_colors=True)
    assert proposed.colors == ((0, 0, 0), (255, 0, 0), (0, 128, 255)) and proposed.names[0] == "class 0"
    with pytest.raises(UserError, match=r"table\.txt is there: write the names"):
        prepare_colors(masks / "masks", masks / "out")
    prepare_colors(masks / "masks", masks / "out", masks / "out" / "table.txt", ignore_unknown=True)
    labels = masks / "out" / "labels"
    prepare_folder(masks / "images", labels, masks / "data", classes=str(masks / "out" / "labels.txt"))
    assert read_class_table(masks / "data" / "labels.txt") == proposed


def test_ids_are_the_lines_of_the_table(masks: Path) -> None:
    before = contents(masks / "masks")
    for workers in (2, 0):
        report = prepare_colors(masks / "masks", masks / "out", table(masks), True, workers)
    assert contents(masks / "masks") == before and "3 masks of 3 classes" in report.lines[0]
    for number in range(3):
        ids, mask = pixels(masks / "out" / "labels" / f"{number}.png"), pixels(masks / "masks" / f"{number}.png")
        assert np.array_equal(COLORS[[0, 2, 1]][np.minimum(ids, 2)][ids < 255], mask[ids < 255])
        assert (ids == 255).sum() == (number == 2)


def test_colors_that_belong_to_no_class(masks: Path) -> None:
    prepare_colors(masks / "masks", masks / "out", table(masks, "255 0 0 roof\n0 0 0 void\n0 128 255 river\n"), True)
    ids, mask = pixels(masks / "out" / "labels" / "0.png"), pixels(masks / "masks" / "0.png")
    assert np.array_equal(ids == 255, (mask == 0).all(-1)) and np.unique(ids).tolist() == [0, 1, 255]
    assert read_class_table(masks / "out" / "labels.txt").names == ("roof", "river")


def test_unknown_colors_are_refused_by_name(masks: Path) -> None:
    with pytest.raises(UserError, match=r"2\.png: its colors 12 13 14 are not in `table`"):
        prepare_colors(masks / "masks", masks / "out", table(masks))
    assert not (masks / "out" / "labels.txt").exists() and not (masks / "out" / "labels" / "2.png").exists()


def test_a_table_may_be_completed_after_a_failure(masks: Path) -> None:
    with pytest.raises(UserError, match="are not in `table`"):
        prepare_colors(masks / "masks", masks / "out", table(masks))
    assert pixels(masks / "out" / "labels" / "0.png").max() == 2
    prepare_colors(masks / "masks", masks / "out", table(masks, "9 9 9 x\n0 0 0 a\n255 0 0 b\n0 128 255 c\n"), True)
    assert pixels(masks / "out" / "labels" / "0.png").max() == 3


def test_another_table_does_not_mix_with_the_first(masks: Path) -> None:
    prepare_colors(masks / "masks", masks / "out", table(masks), True)
    with pytest.raises(UserError, match=r"other settings \(table\)"):
        prepare_colors(masks / "masks", masks / "out", table(masks, "0 0 0 a\n255 0 0 b\n"), True)


def test_gray_and_palette_masks_are_colors_too(tmp_path: Path) -> None:
    save(tmp_path / "masks" / "gray.png", [[0, 38, 75]])
    save(tmp_path / "masks" / "palette.png", [[0, 1, 2]], [0, 0, 0, 38, 38, 38, 75, 75, 75])
    prepare_colors(tmp_path / "masks", tmp_path / "out", table(tmp_path, "0 0 0 a\n38 38 38 b\n75 75 75 c\n"))
    for name in ("gray", "palette"):
        assert pixels(tmp_path / "out" / "labels" / f"{name}.png").tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("ground\n", r"table\.txt: line 1, 'ground', is not `red green blue name`"),
        ("0 0 0 a\n0 0 0 b\n", "`table` .*a color occurs twice"),
        ("0 0 0 void\n", "it has 0 classes"),
        ("", "names no class"),
    ],
)
def test_malformed_tables(masks: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare_colors(masks / "masks", masks / "out", table(masks, text))


def test_unusable_masks(masks: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(masks / "masks" / "jpeg.png", format="JPEG")
    Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save(masks / "masks" / "clear.png")
    (masks / "masks" / "no.png").write_bytes(b"no")
    with pytest.raises(UserError, match=r"3 files cannot be used") as info:
        prepare_colors(masks / "masks", masks / "out", table(masks), True)
    for sentence in ("JPEG changes colors", "is transparent somewhere", "cannot be read as a picture"):
        assert sentence in str(info.value)


def test_files_that_differ_in_the_ending_alone(masks: Path) -> None:
    save(masks / "masks" / "0.tif", COLORS[None])
    with pytest.raises(UserError, match=r"0\.png and .*0\.tif differ in their ending alone"):
        prepare_colors(masks / "masks", masks / "out")
