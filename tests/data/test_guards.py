"""What would train silently wrong is told while the data flow: an instance of each kind, and some siblings."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image

from paddleseg_ext.cli.main import main
from paddleseg_ext.data.image_io import read_image
from paddleseg_ext.data.label_io import count_values, odd_counts, read_label
from paddleseg_ext.errors import UserError
from tests.tiny_run import CLASSES, SIZE, write_config, write_samples

COUNT = 24  # more than the 16 labels that are read at the start


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_samples(tmp_path, COUNT)


def train(root: Path, *flags: str, **changes: object) -> int:
    more = ["--iters", "12", "--log_iters", "4", "--seed", "1", "--save_dir", str(root / "out"), "--device", "cpu"]
    return main(["train", "--config", str(write_config(root, **changes)), *more, *flags])


def rewrite(root: Path, change: Callable[[np.ndarray], np.ndarray], numbers: range = range(COUNT)) -> None:
    for number in numbers:
        path = root / f"label{number}.png"
        cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))


def weights(root: Path, name: str) -> dict[str, np.ndarray]:
    return paddle.load(str(root / name / "iter_12" / "model.pdparams"), return_numpy=True)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("dtype", [np.uint16, "palette", "tiff32"])
def test_labels_of_any_depth_train_the_same_network(root: Path, dtype: object, workers: str) -> None:
    """A1: of 16-bit labels every id, void too, became class 0."""
    rewrite(root, lambda label: np.where(label == 2, 255, label).astype(np.uint8), range(4))
    assert train(root, "--save_dir", str(root / "eight")) == 0
    for number in range(COUNT):
        path = root / f"label{number}.png"
        label = read_label(path)
        if dtype == "palette":
            image = Image.fromarray(label).convert("P")
            image.putpalette([7, 99, 200] * 256)
            image.save(path)
        elif dtype == "tiff32":
            Image.fromarray(label.astype(np.int32)).save(path, format="TIFF")
        else:
            cv2.imwrite(str(path), label.astype(dtype))
    assert train(root, "--save_dir", str(root / "other"), "--num_workers", workers, "--do_eval") == 0
    a, b = weights(root, "eight"), weights(root, "other")
    assert all(np.array_equal(a[name], b[name]) for name in a)


def turned(root: Path) -> str:
    """A2: a label turned against its photo, beyond those that are read at the start."""
    wide = np.zeros((SIZE, 2 * SIZE, 3), np.uint8)
    exif = Image.Exif()
    exif[274] = 6  # turn by 90°
    Image.fromarray(wide).save(root / "image3.jpg", exif=exif)
    (root / "train.txt").write_text((root / "train.txt").read_text().replace("image3.png", "image3.jpg"))
    cv2.imwrite(str(root / "label3.png"), wide[..., 0])
    return "label3.png is 64x32, but its image .*image3.jpg is 32x64; the image's EXIF orientation turns it"


def cropped(root: Path) -> str:
    rewrite(root, lambda label: label[:-1], range(3, 4))
    return "label3.png is 32x31, but its image .*image3.png is 32x32"


def value(number: int) -> Callable[[Path], str]:
    """A6: a wrong value in one file."""

    def damage(root: Path) -> str:
        rewrite(root, lambda label: np.full_like(label, number), range(3, 4))
        return f"label3.png: label values {number} are not allowed; allowed are the class ids 0…2 and 255"

    return damage


def jpeg(root: Path) -> str:
    image = Image.open(root / "label3.png")
    image.save(root / "label3.png", format="JPEG")
    return "label3.png: JPEG changes class ids"


def colors(root: Path) -> str:
    rewrite(root, lambda label: np.dstack([label] * 3), range(3, 4))
    return "label3.png: it has colors"


def negative(root: Path) -> str:
    Image.fromarray(np.full((SIZE, SIZE), -1, np.int32)).save(root / "label3.png", format="TIFF")
    return "label3.png: label values -1 are not allowed"


def fractions(root: Path) -> str:
    Image.fromarray(np.full((SIZE, SIZE), 0.5, np.float32)).save(root / "label3.png", format="TIFF")
    return "label3.png: it has fractions"


def cut_image(root: Path) -> str:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8)).save(root / "image3.jpg")
    (root / "image3.jpg").write_bytes((root / "image3.jpg").read_bytes()[:-40])
    (root / "train.txt").write_text((root / "train.txt").read_text().replace("image3.png", "image3.jpg"))
    return "image3.jpg: the image file is cut short"


DAMAGES = [turned, cropped, value(3), value(200), value(254), jpeg, colors, negative, fractions, cut_image]


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_one_damaged_file_is_named_in_training(root: Path, damage: Callable, workers: str, capsys) -> None:
    message = damage(root)
    assert train(root, "--num_workers", workers) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.startswith("error: ") and error.count("\n") == 1, error


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_damaged_file_is_named_in_evaluation(root: Path, damage: Callable, capsys) -> None:
    assert train(root) == 0
    message = damage(root)
    model = ["--model_path", str(root / "out" / "iter_12" / "model.pdparams"), "--device", "cpu"]
    capsys.readouterr()
    assert main(["val", "--config", str(root / "config.yml"), *model]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1, error


def test_classes_that_never_occur_are_told_in_training_and_evaluation(root: Path, capsys) -> None:
    """A3: masks of 0 and 255 with two classes reported an mIoU of 100 without a word."""
    rewrite(root, lambda label: np.where(label > 0, 255, 0).astype(np.uint8))
    model = {"type": "TwoOutputs", "num_classes": 2}
    changes = {"model": model}
    for key in ("train_dataset", "val_dataset"):
        section = {"type": "Dataset", "dataset_root": str(root), "num_classes": 2, "mode": key[:-8]}
        section[f"{key[:-8]}_path"] = str(root / "train.txt")
        changes[key] = {**section, "transforms": [{"type": "Normalize"}]}
    assert train(root, "--do_eval", "--batch_size", "1", **changes) == 0
    out = capsys.readouterr().out
    for what in ("training labels so far", "validation labels"):
        assert f"warning: {what}: no label has the class class 1" in out and "in masks of 0 and 255" in out
    assert (
        main(["val", "--config", str(root / "config.yml"), "--model_path", str(root / "out/iter_12/model.pdparams")])
        == 0
    )
    assert "warning: no label has the class class 1" in capsys.readouterr().out


def test_nothing_labeled_stops(root: Path, capsys) -> None:
    """A7."""
    rewrite(root, lambda label: np.full_like(label, 255))
    assert train(root, "--iters", "100") == 2
    assert "no pixel is labeled, all are 255 (ignored)" in capsys.readouterr().err


def test_good_labels_are_told_nothing_of(root: Path, capsys) -> None:
    assert train(root, "--do_eval") == 0
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("ignore_index", [255, 1, -1])
def test_counts_equal_a_plain_loop(dtype: type, ignore_index: int) -> None:
    label = np.random.default_rng(0).choice([0, 1, 2, 3, 9, 255], (40, 50)).astype(dtype)
    counts = count_values(label, 4, ignore_index)
    expected = [int(((label == i) & (label != ignore_index)).sum()) for i in range(4)]
    ignored = int((label == ignore_index).sum())
    np.testing.assert_array_equal(counts, [*expected, ignored, label.size - sum(expected) - ignored])


def test_what_is_odd_is_told() -> None:
    names = ["a", "b", "c"]
    assert odd_counts(np.array([5, 3, 2, 4, 0]), names) is None
    assert odd_counts(np.array([5, 0, 2, 4, 0]), names) == "no label has the class b"
    assert odd_counts(np.array([5, 0, 0, 20, 0]), names) == (
        "no label has the classes b, c; 80 % of the pixels are ignored"
    )


def picture(kind: str, path: Path) -> Path:
    rng = np.random.default_rng(0)
    eight = rng.integers(0, 256, (12, 17, 3), np.uint8)
    if kind == "webp":
        Image.fromarray(eight).save(path, format="WEBP", lossless=True)
    elif kind == "16 bits":
        cv2.imwrite(str(path), eight[..., ::-1].astype(np.uint16) * 257)
    elif kind == "npy":
        np.save(path, eight[..., ::-1])
    else:
        Image.fromarray(eight).save(path, format=kind)
    return path


@pytest.mark.parametrize(
    "kind, suffix",
    [
        ("png", "png"),
        ("webp", "webp"),
        ("webp", "png"),
        ("16 bits", "png"),
        ("bmp", "bmp"),
        ("npy", "npy"),
        ("tiff", "tif"),
    ],
)
def test_pictures_of_every_kind_are_the_same(kind: str, suffix: str, tmp_path: Path) -> None:
    expected = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)[..., ::-1]
    found = read_image(picture(kind, tmp_path / f"a.{suffix}"))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_pictures_that_would_come_out_black_or_otherwise_wrong_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "twelve.png"), np.full((4, 4, 3), 4095, np.uint16))
    with pytest.raises(UserError, match=r"twelve\.png: of 16 bits it uses values up to 4095 only"):
        read_image(tmp_path / "twelve.png")
    cv2.imwrite(str(tmp_path / "float.tif"), np.full((4, 4, 3), 0.5, np.float32))
    with pytest.raises(UserError, match=r"float\.tif: it holds float32"):
        read_image(tmp_path / "float.tif")
    np.save(tmp_path / "five.npy", np.zeros((4, 4, 5), np.uint8))
    assert read_image(tmp_path / "five.npy", 5).shape == (4, 4, 5)
    with pytest.raises(UserError, match=r"five\.npy: it has 5 bands, and img_channels is 4"):
        read_image(tmp_path / "five.npy", 4)


assert CLASSES == 3  # the messages above


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda old: old + b"image0.png\n", r"train\.txt: line 25 must be an image and its label .*'image0\.png'"),
        (lambda old: b"a b c\n" + old, r"train\.txt: line 1 must be an image and its label .*'a b c'"),
        (lambda old: old + b"\xff\xfe x\n", r"train\.txt: line 25 is not UTF-8"),
        (lambda old: b"", r"train\.txt: the list is empty"),
        (lambda old: b"\xef\xbb\xbf" + old, "byte-order mark"),
    ],
)
def test_a_list_of_paddlesegs_data_set_is_told_with_its_line(
    root: Path, change: Callable[[bytes], bytes], message: str, capsys: pytest.CaptureFixture
) -> None:
    path = root / "train.txt"
    path.write_bytes(change(path.read_bytes()))
    assert train(root) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("rate", ["0", "-0.1", "inf", "nan"])
def test_a_rate_that_learns_nothing_or_climbs_is_refused(root: Path, rate: str, capsys: pytest.CaptureFixture) -> None:
    assert train(root, "--learning_rate", rate) == 2
    assert "--learning_rate: " in capsys.readouterr().err
