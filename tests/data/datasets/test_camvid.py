"""CamVid's lists, labels and error messages."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext.data.datasets import CamVid, class_names, palette
from paddleseg_ext.errors import UserError


@pytest.fixture
def root(tmp_path):
    """Two training images and one validation image; void is 11 in the first label and 255 in the others."""
    for name, void in (("a", 11), ("b", 255), ("c", 11)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((4, 6, 3), 60, np.uint8))
        label = np.arange(24, dtype=np.uint8).reshape(4, 6) % 11
        label[0, 0] = void
        cv2.imwrite(str(tmp_path / f"{name}_label.png"), label)
    (tmp_path / "train.txt").write_text("a.png a_label.png\nb.png b_label.png\n")
    (tmp_path / "val.txt").write_text("c.png c_label.png\n")
    return tmp_path


def test_it_is_registered_with_paddleseg():
    assert manager.DATASETS["CamVid"] is CamVid
    assert (CamVid.NUM_CLASSES, CamVid.IGNORE_INDEX, CamVid.IMG_CHANNELS) == (11, 255, 3)


@pytest.mark.parametrize("mode, count", [("train", 2), ("val", 1)])
def test_void_of_both_encodings_is_ignored(root, mode, count):
    dataset = CamVid([], str(root), mode)
    assert len(dataset) == count
    for sample in dataset:
        label = np.squeeze(sample["label"])
        expected = np.arange(24).reshape(4, 6) % 11
        expected[0, 0] = 255
        assert np.array_equal(label, expected)
        assert sample["img"].shape == (3, 4, 6)


def test_transforms_are_applied(root):
    flip = manager.TRANSFORMS["RandomHorizontalFlip"](prob=1.0)
    plain, flipped = CamVid([], str(root)), CamVid([flip], str(root))
    assert np.array_equal(plain[0]["label"][:, ::-1], flipped[0]["label"])


def test_names_and_colors(root):
    dataset = CamVid([], str(root))
    assert class_names(dataset)[:3] == ["sky", "building", "pole"] and len(class_names(dataset)) == 11
    assert palette(dataset)[3].tolist() == [128, 64, 128]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="no folder .*nowhere.*README"):
        CamVid([], str(tmp_path / "nowhere"))


def test_a_missing_list_is_named(root):
    (root / "val.txt").unlink()
    with pytest.raises(UserError, match=r"no list .*val\.txt.*README"):
        CamVid([], str(root), "val")


def test_a_missing_label_is_named_with_its_line(root):
    (root / "b_label.png").unlink()
    with pytest.raises(UserError, match=r"line 2 of .*train\.txt names .*b_label\.png"):
        CamVid([], str(root))


def test_a_malformed_line_is_named(root):
    (root / "train.txt").write_text("a.png\n")
    with pytest.raises(UserError, match=r"line 1 of .*train\.txt"):
        CamVid([], str(root))


def test_an_empty_list_is_named(root):
    (root / "train.txt").write_text("")
    with pytest.raises(UserError, match=r"train\.txt.* empty"):
        CamVid([], str(root))


def test_an_unknown_mode_is_named(root):
    with pytest.raises(UserError, match="train or val"):
        CamVid([], str(root), "test")
