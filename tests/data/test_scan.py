"""Every pair is looked at once, and what is known of it is kept until its files change."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from paddleseg.datasets import Dataset

from paddleseg_ext.data import scan as module
from paddleseg_ext.data.datasets import CamVid
from paddleseg_ext.data.scan import class_weights, scan, shared_images, without_augmentation
from paddleseg_ext.data.transforms import ScaleCropFlip
from paddleseg_ext.errors import UserError
from tests.tiny_run import CLASSES, SIZE, write_samples


def dataset(root: Path, transforms: list | None = None) -> Dataset:
    return Dataset("train", str(root), transforms or [], CLASSES, train_path=str(root / "train.txt"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_samples(tmp_path)


def test_counts_are_those_of_the_whole_labels_though_training_crops_them(root: Path) -> None:
    found = scan(dataset(root, [ScaleCropFlip([8, 8])]))
    labels = [cv2.imread(str(root / f"label{i}.png"), cv2.IMREAD_UNCHANGED) for i in range(6)]
    expected = [sum(int((label == k).sum()) for label in labels) for k in range(CLASSES)]
    np.testing.assert_array_equal(found.counts, [*expected, 0, 0])
    np.testing.assert_array_equal(found.images_with, [sum((label == k).any() for label in labels) for k in range(3)])
    assert found.sizes == [((SIZE, SIZE), 6)] and found.problems == []


def test_what_is_wrong_with_several_pairs_is_all_told(root: Path) -> None:
    (root / "label0.png").unlink()
    (root / "image1.png").write_bytes(b"no picture")
    cv2.imwrite(str(root / "label2.png"), np.zeros((5, 5), np.uint8))
    cv2.imwrite(str(root / "label3.png"), np.full((SIZE, SIZE), 77, np.uint8))
    problems = scan(dataset(root)).problems
    assert len(problems) == 4
    for problem, words in zip(
        problems, ["label0.png", "image1.png", "label2.png is 5x5", "label3.png: label values 77"]
    ):
        assert words in problem and "\n" not in problem


def test_a_second_scan_reads_only_what_has_changed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "deep" / "cache.json"
    first = scan(dataset(root), cache=cache)
    looked = []
    look_at = module.look_at
    monkeypatch.setattr(module, "look_at", lambda *args: looked.append(args[2]) or look_at(*args))
    assert scan(dataset(root), cache=cache) == first and looked == []
    cv2.imwrite(str(root / "label4.png"), np.ones((SIZE, SIZE), np.uint8))
    second = scan(dataset(root), cache=cache)
    assert looked == [4] and second.pairs[4].counts[1] == SIZE * SIZE
    other = dataset(root)
    other.ignore_index = 1  # another way to read them
    scan(other, cache=cache)
    assert len(looked) == 7


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1, "pairs": {"a": {"b": 1}}}', '{"format": 9}'])
def test_a_damaged_cache_is_none(root: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "cache.json").write_text(content)
    assert len(scan(dataset(root), cache=tmp_path / "cache.json").pairs) == 6
    assert json.loads((tmp_path / "cache.json").read_text())["format"] == 1


def test_a_bar_sees_every_pair(root: Path) -> None:
    seen = []

    def bar(pairs: Iterable) -> Iterable:
        return (seen.append(pair) or pair for pair in pairs)

    assert seen == scan(dataset(root), num_workers=1, progress=bar).pairs == seen and len(seen) == 6


def test_images_in_two_data_sets_are_found_by_content(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_samples(other, 3, seed=5)
    (other / "image1.png").write_bytes((root / "image2.png").read_bytes())
    assert shared_images(scan(dataset(root)), scan(dataset(other))) == [
        (str(root / "image2.png"), str(other / "image1.png"))
    ]


def test_what_belongs_to_the_data_stays(tmp_path: Path) -> None:
    """CamVid's void, 11 in SegNet's files, is no wrong value."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.array([[0, 11]] * 4, np.uint8).repeat(2, 1))
    (tmp_path / "train.txt").write_text("a.png b.png\n")
    data = CamVid([ScaleCropFlip([2, 2])], str(tmp_path), "train")
    assert len(without_augmentation(data).transforms.transforms) == 1
    assert scan(data).problems == [] and scan(data).counts.tolist() == [8, *[0] * 10, 8, 0]


def test_class_weights_follow_their_formulas() -> None:
    pixels, images = np.array([1000, 100, 10, 0]), np.array([10, 5, 1, 0])
    frequency = pixels[:3] / images[:3]
    np.testing.assert_allclose(class_weights(pixels, images, "median"), [*(20 / frequency), 0])
    root = class_weights(pixels, images, "root")
    np.testing.assert_allclose(root[:-1] / root[0], np.sqrt(pixels[0] / pixels[:-1]))
    assert root[-1] == 0 and (root * pixels).sum() == pytest.approx(pixels.sum())
    inverse = class_weights(pixels, images, "inverse")
    np.testing.assert_allclose(inverse[:3] / inverse[0], [1, 10, 100])
    effective = class_weights(pixels, images, "effective")
    beta = 1 - 1 / 1000
    expected = [(1 - beta) / (1 - beta**n) for n in (1000, 100, 10)]
    np.testing.assert_allclose(effective[:3] / effective[0], np.array(expected) / expected[0], rtol=1e-9)
    for weights in (inverse, effective):
        assert weights[:3].mean() == pytest.approx(1) and weights[3] == 0
    with pytest.raises(UserError, match="no class occurs"):
        class_weights(np.zeros(3), np.zeros(3), "median")
