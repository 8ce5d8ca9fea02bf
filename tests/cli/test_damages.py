"""Eighty kinds of damage to a data set × check, train, train with workers, val, predict.

A damage is refused with a sentence, or it is none and everything runs; nothing ends in a traceback.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from paddleseg_ext.cli.commands import check as check_command
from paddleseg_ext.cli.main import main
from tests import tiny_run  # noqa: F401 - registers TwoOutputs

SIDE, COUNT = 32, 4
FINE, REFUSED, PREDICTABLE = "fine", "refused", "refused, but predict needs no label"
Damage = Callable[[Path], None]


def ids() -> np.ndarray:
    label = np.zeros((SIDE, SIDE), np.uint8)
    label[4:20, 8:24] = 1
    label[:2] = 255
    return label


def color(width: int = SIDE) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 60, (SIDE, width, 3)) + 20
    image[4:20, 8:24] += 150
    return image.astype(np.uint8)


def label_as(array: np.ndarray, suffix: str = "png", **options: object) -> Damage:
    """Write the first label anew as a file of another kind."""

    def write(root: Path) -> None:
        path = first(root, "labels", suffix)
        np.save(path, array) if suffix == "npy" else Image.fromarray(array).save(path, **options)

    return write


def image_as(array: np.ndarray, suffix: str = "png", **options: object) -> Damage:
    def write(root: Path) -> None:
        path = first(root, "images", suffix)
        np.save(path, array) if suffix == "npy" else Image.fromarray(array).save(path, **options)

    return write


def converted(folder: str, mode: str, suffix: str = "png", **options: object) -> Damage:
    def write(root: Path) -> None:
        array = ids() if folder == "labels" else color()
        Image.fromarray(array).convert(mode).save(first(root, folder, suffix), **options)

    return write


def bytes_as(folder: str, change: Callable[[bytes], bytes], suffix: str = "png") -> Damage:
    def write(root: Path) -> None:
        old = root / folder / "0.png"
        if suffix != "png":
            Image.open(old).save(first(root, folder, suffix))
        path = root / folder / f"0.{suffix}"
        path.write_bytes(change(path.read_bytes()))

    return write


def first(root: Path, folder: str, suffix: str) -> Path:
    """The first file's path with another ending; the old one goes, and the list follows."""
    (root / folder / "0.png").unlink(missing_ok=True)
    for name in ("train.txt", "val.txt"):
        text = (root / name).read_text()
        (root / name).write_text(text.replace(f"{folder}/0.png", f"{folder}/0.{suffix}"))
    return root / folder / f"0.{suffix}"


def replaced(folder: str, make: Callable[[Path], object]) -> Damage:
    """Something else in the place of the first file."""

    def write(root: Path) -> None:
        path = root / folder / "0.png"
        path.unlink()
        make(path)

    return write


def big_endian(root: Path) -> None:
    path = first(root, "labels", "tif")
    Image.frombytes("I;16B", (SIDE, SIDE), ids().astype(">u2").tobytes()).save(path)


def every_label(value: int) -> Damage:
    def write(root: Path) -> None:
        for path in (root / "labels").iterdir():
            Image.fromarray(np.full((SIDE, SIDE), value, np.uint8)).save(path)

    return write


def turned(label_too: bool) -> Damage:
    """A photo that its EXIF data turns by a quarter."""

    def write(root: Path) -> None:
        exif = Image.Exif()
        exif[274] = 6
        Image.fromarray(color(48)).save(first(root, "images", "jpg"), exif=exif.tobytes(), quality=95)
        wide = np.pad(ids(), ((0, 0), (0, 16)))
        Image.fromarray(np.rot90(wide, -1) if label_too else wide).save(root / "labels/0.png")

    return write


def huge_header(folder: str) -> Damage:
    def write(root: Path) -> None:
        import struct
        import zlib

        path = root / folder / "0.png"
        head = struct.pack(">IIBBBBB", 10**5, 10**5, 8, 0, 0, 0, 0)
        chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
        path.write_bytes(path.read_bytes()[:8] + chunk + path.read_bytes()[33:])

    return write


def lists(change: Callable[[bytes], bytes]) -> Damage:
    def write(root: Path) -> None:
        for name in ("train.txt", "val.txt"):
            (root / name).write_bytes(change((root / name).read_bytes()))

    return write


def no_list(root: Path) -> None:
    (root / "train.txt").unlink()
    (root / "val.txt").unlink()
    shutil.rmtree(root / "labels")


def absolute(root: Path) -> None:
    lists(lambda old: old.replace(b"images/", f"{root}/images/".encode()))(root)


def configured(change: Callable[[dict], object]) -> Damage:
    def write(root: Path) -> None:
        config = yaml.safe_load((root / "config.yml").read_text())
        change(config)
        (root / "config.yml").write_text(yaml.safe_dump(config))

    return write


def both(change: Callable[[dict], object]) -> Damage:
    return configured(lambda config: [change(config[key]) for key in ("train_dataset", "val_dataset")])


def classes(text: str) -> Damage:
    return lambda root: (root / "labels.txt").write_text(text) and None


U16, I32, F32 = ids().astype(np.uint16), ids().astype(np.int32), ids().astype(np.float32)
half, empty, text = (lambda old: old[: len(old) // 2]), (lambda old: b""), (lambda old: b"this is no picture\n" * 9)
nan = np.where(ids() == 1, np.nan, F32).astype(np.float32)
loss = {"type": "CrossEntropyLoss"}

# name: (damage, what follows)
DAMAGES: dict[str, tuple[Damage, str]] = {
    "label: 16 bits": (label_as(U16), FINE),
    "label: 16 bits, big-endian TIFF": (big_endian, FINE),
    "label: 16 bits, value 300": (label_as(np.where(U16 == 1, 300, U16).astype(np.uint16)), PREDICTABLE),
    "label: one bit": (label_as(ids() == 1), FINE),
    "label: palette": (converted("labels", "P"), FINE),
    "label: 32 bits": (label_as(I32, "tif"), FINE),
    "label: -1": (label_as(np.where(I32 == 1, -1, I32).astype(np.int32), "tif"), PREDICTABLE),
    "label: whole-numbered float": (label_as(F32, "tif"), FINE),
    "label: fractions": (label_as(F32 / 2, "tif"), PREDICTABLE),
    "label: NaN": (label_as(nan, "tif"), PREDICTABLE),
    "label: npy": (label_as(ids().astype(np.int64), "npy"), FINE),
    "label: npy of booleans": (label_as(ids() == 1, "npy"), FINE),
    "label: npy of fractions": (label_as(F32 / 2, "npy"), PREDICTABLE),
    "label: npy of objects": (label_as(ids().astype(object), "npy"), PREDICTABLE),
    "label: npy with three axes": (label_as(np.stack([ids()] * 3), "npy"), PREDICTABLE),
    "label: npy cut": (bytes_as("labels", half), PREDICTABLE),
    "label: BMP": (label_as(ids(), "bmp"), FINE),
    "label: GIF": (label_as(ids() % 255, "gif"), FINE),
    "label: RGB": (converted("labels", "RGB"), PREDICTABLE),
    "label: RGBA": (converted("labels", "RGBA"), PREDICTABLE),
    "label: gray with alpha": (converted("labels", "LA"), PREDICTABLE),
    "label: JPEG": (label_as(ids(), "jpg"), PREDICTABLE),
    "label: WebP": (label_as(ids(), "webp"), PREDICTABLE),
    "label: a class too many": (label_as(ids() % 255 * 2), PREDICTABLE),
    "label: 254": (label_as(np.where(ids() == 1, 254, 0).astype(np.uint8)), PREDICTABLE),
    "label: nothing labelled": (every_label(255), PREDICTABLE),
    "label: all of one class": (every_label(0), FINE),
    "label: 0 and 255 only": (label_as(np.where(ids() == 1, 255, 0).astype(np.uint8)), FINE),
    "label: empty file": (bytes_as("labels", empty), PREDICTABLE),
    "label: text": (bytes_as("labels", text), PREDICTABLE),
    "label: half a TIFF": (bytes_as("labels", half, "tif"), PREDICTABLE),
    "label: missing": (lambda root: (root / "labels/0.png").unlink(), PREDICTABLE),
    "label: a folder": (replaced("labels", Path.mkdir), PREDICTABLE),
    "label: a pipe": (replaced("labels", os.mkfifo), PREDICTABLE),
    "label: a broken link": (replaced("labels", lambda path: path.symlink_to("nowhere")), PREDICTABLE),
    "label: smaller": (label_as(ids()[:16]), PREDICTABLE),
    "label: turned": (
        lambda root: [image_as(color(48))(root), label_as(np.zeros((48, 32), np.uint8))(root)],
        PREDICTABLE,
    ),
    "label: ten billion pixels": (huge_header("labels"), PREDICTABLE),
    "image: EXIF turns it, the label not": (turned(False), PREDICTABLE),
    "image: EXIF turns it, the label is turned": (turned(True), FINE),
    "image: half a PNG": (bytes_as("images", half), REFUSED),
    "image: half a JPEG": (bytes_as("images", half, "jpg"), REFUSED),
    "image: half a WebP": (bytes_as("images", half, "webp"), REFUSED),
    "image: half a BMP": (bytes_as("images", half, "bmp"), REFUSED),
    "image: half a TIFF": (bytes_as("images", half, "tif"), REFUSED),
    "image: empty file": (bytes_as("images", empty), REFUSED),
    "image: text": (bytes_as("images", text), REFUSED),
    "image: missing": (lambda root: (root / "images/0.png").unlink(), REFUSED),
    "image: a folder": (replaced("images", Path.mkdir), REFUSED),
    "image: a pipe": (replaced("images", os.mkfifo), REFUSED),
    "image: a broken link": (replaced("images", lambda path: path.symlink_to("nowhere")), REFUSED),
    "image: ten billion pixels": (huge_header("images"), REFUSED),
    "image: 16 bits": (lambda root: cv2.imwrite(str(root / "images/0.png"), color().astype(np.uint16) * 257), FINE),
    "image: 12 of 16 bits": (
        lambda root: cv2.imwrite(str(root / "images/0.png"), color().astype(np.uint16) * 16),
        REFUSED,
    ),
    "image: float TIFF": (image_as(color()[..., 0].astype(np.float32), "tif"), REFUSED),
    "image: alpha": (converted("images", "RGBA"), FINE),
    "image: gray": (converted("images", "L"), FINE),
    "image: palette": (converted("images", "P"), FINE),
    "image: CMYK JPEG": (converted("images", "CMYK", "jpg"), FINE),
    "image: WebP": (converted("images", "RGB", "webp"), FINE),
    "image: GIF": (converted("images", "P", "gif"), REFUSED),
    "image: npy of four bands": (image_as(np.zeros((SIDE, SIDE, 4), np.uint8), "npy"), REFUSED),
    "list: byte-order mark and CRLF": (lists(lambda old: b"\xef\xbb\xbf" + old.replace(b"\n", b"\r\n")), FINE),
    "list: empty lines and a comment": (lists(lambda old: b"# pairs\n\n" + old + b"\n\n"), FINE),
    "list: absolute paths": (absolute, FINE),
    "list: Latin-1": (lists(lambda old: old + b"images/\xe4.png\tlabels/\xe4.png\n"), PREDICTABLE),
    "list: a name alone": (lists(lambda old: old + b"images/1.png\n"), PREDICTABLE),
    "list: three names": (lists(lambda old: old + b"a\tb\tc\n"), PREDICTABLE),
    "list: NUL": (lists(lambda old: old + b"a\0b\tc\n"), PREDICTABLE),
    "list: empty": (lists(empty), PREDICTABLE),
    "list: missing, and no labels": (no_list, PREDICTABLE),
    "classes: empty file": (classes("\n"), REFUSED),
    "classes: one": (classes("all\n"), REFUSED),
    "classes: a color of two numbers": (classes("1 2 a\n300 2 1 b\n"), REFUSED),
    "config: three means on gray": (both(lambda section: section.update(img_channels=1)), REFUSED),
    "config: means of 0 to 255": (
        both(lambda section: section["transforms"][-1].update(mean=[123.0] * 3)),
        REFUSED,
    ),
    "config: labels padded with a class": (
        configured(lambda config: config["train_dataset"]["transforms"][0].update(label_padding_value=0)),
        PREDICTABLE,
    ),
    "config: three class weights": (
        configured(lambda config: config["loss"].update(types=[{**loss, "weight": [1.0, 1.0, 1.0]}] * 2)),
        PREDICTABLE,
    ),
    "config: a random transform in val": (
        configured(lambda config: config["val_dataset"]["transforms"].insert(0, {"type": "RandomHorizontalFlip"})),
        REFUSED,
    ),
    "config: channels of val": (configured(lambda config: config["val_dataset"].update(img_channels=1)), REFUSED),
    "config: num_classes of the model": (configured(lambda config: config["model"].update(num_classes=7)), REFUSED),
    "config: no folder": (both(lambda section: section.update(dataset_root="nowhere")), REFUSED),
}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of own folders, its configuration, and a network trained on it for a step."""
    root = tmp_path_factory.mktemp("healthy")
    for number in range(COUNT):
        for folder, array in (("images", color()), ("labels", ids())):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(array).save(root / folder / f"{number}.png")
    lines = [f"images/{number}.png\tlabels/{number}.png\n" for number in range(COUNT)]
    for name in ("train.txt", "val.txt"):
        (root / name).write_text("".join(lines))
    (root / "labels.txt").write_text("ground\nobject\n")
    section = {"type": "SegmentationFolder", "dataset_root": "."}
    crop = {"type": "ScaleCropFlip", "crop_size": [32, 32]}
    normalize = {"type": "Normalize", "mean": [0.5] * 3, "std": [0.5] * 3}
    config = {
        "batch_size": COUNT,
        "iters": 1,
        "train_dataset": {**section, "mode": "train", "transforms": [crop, dict(normalize)]},
        "val_dataset": {**section, "mode": "val", "transforms": [dict(normalize)]},
        "model": {"type": "TwoOutputs"},
        "loss": {"types": [loss, loss], "coef": [1, 0.4]},
        "optimizer": {"type": "SGD"},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01},
    }
    (root / "config.yml").write_text(yaml.dump(config, Dumper=yaml.SafeDumper))
    old = Path.cwd()
    os.chdir(root)
    try:
        assert main(["train", "--config", "config.yml", "--save_dir", "out", "--device", "cpu"]) == 0
    finally:
        os.chdir(old)
    return root


@pytest.fixture
def root(healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(healthy, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(check_command, "CACHE", tmp_path / "cache.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", DAMAGES)
def test_damage(name: str, root: Path, capsys: pytest.CaptureFixture) -> None:
    damage, follows = DAMAGES[name]
    damage(root)
    (image,) = [path for path in (root / "images").glob("0.*")] or [root / "images/0.png"]
    config, weights = ["--config", "config.yml", "--device", "cpu"], ["--model_path", "out/iter_1/model.pdparams"]
    commands = {
        "check": ["check", *config, "--no_step"],
        "train": ["train", *config, "--do_eval", "--save_dir", "again"],
        "train, two workers": ["train", *config, "--do_eval", "--save_dir", "more", "--num_workers", "2"],
        "val": ["val", *config, *weights],
        "predict": ["predict", *config, *weights, "--image_path", str(image), "--save_dir", "seen"],
    }
    trained_only = name in ("config: labels padded with a class", "config: three class weights")
    found = {}
    for command, arguments in commands.items():
        status = main(arguments)
        told = capsys.readouterr()
        found[command] = status, [*told.err.splitlines(), *(line for line in told.out.splitlines() if "error" in line)]
    wrong = {}
    for command, (status, lines) in found.items():
        refused = follows != FINE and not (command == "predict" and follows == PREDICTABLE)
        if trained_only and command == "val":
            refused = False
        expected = (1 if command == "check" else 2) if refused else 0
        told = any("error" in line.lower() for line in lines) or not refused
        if status != expected and not (command == "check" and refused and status == 2) or not told:
            wrong[command] = status, lines[-3:]
    assert not wrong
