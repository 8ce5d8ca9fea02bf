"""Class names and palettes of our data sets, of PaddleSeg's, and of unknown ones."""

from __future__ import annotations

import numpy as np
import pytest
from paddleseg.datasets import ADE20K, Cityscapes, OpticDiscSeg, PascalVOC

from paddleseg_ext.data.classes import generic_palette, read_table
from paddleseg_ext.data.datasets import StreetScenes, class_names, palette
from tests.data.generic_colors import distance, lab, search, smallest_distance


@pytest.mark.parametrize(
    "dataset, index, name, color",
    [
        (Cityscapes, 18, "bicycle", (119, 11, 32)),
        (StreetScenes, 10, "sky", (70, 130, 180)),
        (ADE20K, 0, "wall", (120, 120, 120)),
        (ADE20K, 149, "flag", (92, 0, 255)),
        (PascalVOC, 15, "person", (192, 128, 128)),
    ],
)
def test_known_data_sets(dataset, index, name, color):
    assert class_names(dataset)[index] == name
    assert tuple(palette(dataset)[index]) == color
    assert len(class_names(dataset)) == len(palette(dataset)) == dataset.NUM_CLASSES
    assert palette(dataset).dtype == np.uint8


@pytest.mark.parametrize("name, count", [("cityscapes", 19), ("ade20k", 150), ("camvid", 11), ("voc", 21)])
def test_tables_are_whole(name, count):
    names, colors = read_table(name)
    assert len(names) == len(set(names)) == count
    assert all(0 <= value <= 255 for color in colors for value in color)


def test_generic_colors_look_unlike():
    assert np.array_equal(generic_palette(256), search(256))  # the table is what the search finds, on any machine
    for count, least in [(10, 30), (20, 20), (50, 14), (150, 9), (256, 7)]:
        assert smallest_distance(generic_palette(count)) > least
        white = distance(lab(generic_palette(count)), lab(np.array([255, 255, 255])))
        assert white.min() > 7  # which is what is not labeled
    assert smallest_distance(np.array(read_table("voc")[1][:20])) < 5  # the color map that was there before


def test_the_colors_of_the_first_classes_stay_when_others_are_added():
    many = generic_palette(1000)
    assert len({*map(tuple, many.tolist())}) == 1000 and many[0].tolist() == [0, 0, 0]
    for count in (0, 1, 2, 256, 257, 999):
        assert np.array_equal(generic_palette(count), many[:count])


@pytest.mark.parametrize(
    "one, other, expected",  # from the test data of Sharma, Wu and Dalal
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_distance_is_ciede2000(one, other, expected):
    assert abs(distance(np.array(one), np.array(other)) - expected) < 1e-4


def test_unknown_data_sets_get_numbers_and_distinct_colors():
    assert class_names(OpticDiscSeg) == ["class 0", "class 1"]
    assert palette(OpticDiscSeg).tolist() == generic_palette(2).tolist()


def test_attributes_come_first():
    class Own(Cityscapes):
        NUM_CLASSES = 2
        CLASSES = ("field", "house")
        PALETTE = [[1, 2, 3], [4, 5, 6]]

    assert class_names(Own) == ["field", "house"]
    assert palette(Own).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_subclass_with_other_classes_is_not_given_the_stock_names():
    class Fewer(Cityscapes):
        NUM_CLASSES = 2

    assert class_names(Fewer) == ["class 0", "class 1"]


def test_an_instance_counts_by_its_own_num_classes():
    class Dataset:
        num_classes = 3

    assert class_names(Dataset()) == ["class 0", "class 1", "class 2"]
