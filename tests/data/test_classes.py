"""Class names and palettes of our data sets, of PaddleSeg's, and of unknown ones."""

from __future__ import annotations

import numpy as np
import pytest
from paddleseg.datasets import ADE20K, Cityscapes, OpticDiscSeg, PascalVOC
from paddleseg.utils.visualize import get_color_map_list

from paddleseg_ext.data.classes import generic_palette, read_table
from paddleseg_ext.data.datasets import StreetScenes, class_names, palette


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


def test_voc_colors_follow_the_bit_rule():
    assert np.array_equal(generic_palette(21), np.array(read_table("voc")[1]))


def test_the_generic_palette_is_that_of_paddleseg_after_the_background():
    stock = np.array(get_color_map_list(255)).reshape(-1, 3)
    assert np.array_equal(generic_palette(256)[1:], stock)


def test_unknown_data_sets_get_numbers_and_distinct_colors():
    assert class_names(OpticDiscSeg) == ["class 0", "class 1"]
    assert palette(OpticDiscSeg).tolist() == [[0, 0, 0], [128, 0, 0]]


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
