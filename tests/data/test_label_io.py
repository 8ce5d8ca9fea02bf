"""A label is read as the ids that were saved, whatever the file's kind, or refused with what to do."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
from paddleseg.datasets import EG1800, SUPERVISELY
from paddleseg.transforms import Normalize
from PIL import Image

from paddleseg_ext.data import image_io
from paddleseg_ext.data.label_io import read_label
from paddleseg_ext.errors import UserError

IDS = np.array([[0, 1, 2], [10, 255, 3]], np.uint8)


def png(mode: str, array: np.ndarray = IDS) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(array).convert(mode).save(path, format="PNG")


def of_array(array: np.ndarray, suffix: str = "png") -> tuple[str, Callable[[Path], None], np.ndarray]:
    if suffix == "npy":
        return suffix, lambda path: np.save(path, array), array
    return suffix, lambda path: Image.fromarray(array).save(path), array


def gray_of_few_bits(bits: int, ids: np.ndarray) -> Callable[[Path], None]:
    """A gray PNG of 2 or 4 bits, which Pillow does not write itself."""

    def write(path: Path) -> None:
        import struct
        import zlib

        height, width = ids.shape
        per_byte = 8 // bits
        rows = b""
        for row in ids:
            padded = np.concatenate([row, np.zeros(-width % per_byte, np.uint8)]).reshape(-1, per_byte)
            shifts = np.arange(per_byte - 1, -1, -1) * bits
            rows += b"\0" + (padded << shifts).sum(1).astype(np.uint8).tobytes()

        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )

    return write


def palette(path: Path) -> None:
    image = Image.fromarray(IDS).convert("P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(path, format="PNG")


SMALL, WIDE = IDS % 4, IDS.astype(np.uint16) * 7
KINDS = {
    "8 bits": ("png", png("L"), IDS),
    "1 bit": ("png", lambda path: Image.fromarray(IDS > 2).save(path, format="PNG"), IDS > 2),
    "2 bits": ("png", gray_of_few_bits(2, SMALL), SMALL),
    "4 bits": ("png", gray_of_few_bits(4, IDS % 16), IDS % 16),
    "palette": ("png", palette, IDS),
    "palette GIF": ("gif", lambda path: Image.fromarray(SMALL).save(path), SMALL),
    "BMP": ("bmp", lambda path: Image.fromarray(IDS).save(path), IDS),
    "16 bits": ("png", lambda path: cv2.imwrite(str(path), WIDE), WIDE),
    "16 bits TIFF, little-endian": ("tif", lambda path: Image.fromarray(WIDE).save(path), WIDE),
    "16 bits TIFF, big-endian": (
        "tif",
        lambda path: Image.frombytes("I;16B", (3, 2), WIDE.astype(">u2").tobytes()).save(path),
        WIDE,
    ),
    "32 bits TIFF": of_array(WIDE.astype(np.int32) * 1000, "tif"),
    "whole floats TIFF": of_array(WIDE.astype(np.float32), "tif"),
    "uint8 array": of_array(IDS, "npy"),
    "uint16 array": of_array(WIDE, "npy"),
    "big-endian array": of_array(WIDE.astype(">u2"), "npy"),
    "int64 array": of_array(IDS.astype(np.int64), "npy"),
    "array of whole floats": of_array(IDS.astype(np.float64), "npy"),
    "array with a channel": ("npy", lambda path: np.save(path, IDS[..., None]), IDS),
    "negative": of_array(np.array([[-1, 3]], np.int16), "npy"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_ids(kind: str, tmp_path: Path) -> None:
    suffix, write, ids = KINDS[kind]
    path = tmp_path / f"label.{suffix}"
    write(path)
    found = read_label(path)
    np.testing.assert_array_equal(found, ids)
    assert found.dtype in (np.uint8, np.int32)
    np.testing.assert_array_equal(paddle.to_tensor(found).astype("int64").numpy(), ids)  # Paddle keeps what it is


REFUSED = {
    "RGB": (png("RGB"), "has colors.*prepare colors"),
    "RGBA": (png("RGBA"), "has colors"),
    "CMYK": (lambda path: Image.fromarray(IDS).convert("CMYK").save(path, format="TIFF"), "has colors"),
    "gray with alpha": (png("LA"), "has transparency"),
    "JPEG": (lambda path: Image.fromarray(IDS).save(path, format="JPEG"), "JPEG changes class ids"),
    "WebP": (lambda path: Image.fromarray(IDS).save(path, format="WEBP"), "WEBP changes class ids"),
    "pages": (
        lambda path: Image.fromarray(IDS).save(
            path, format="TIFF", save_all=True, append_images=[Image.fromarray(IDS)]
        ),
        "2 pages",
    ),
    "fractions": (lambda path: Image.fromarray(IDS / np.float32(255)).save(path, format="TIFF"), "fractions"),
    "not a number": (lambda path: Image.fromarray(IDS * np.float32("nan")).save(path, format="TIFF"), "fractions"),
    "text": (lambda path: path.write_text("no picture"), "cannot be read as a picture"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as a picture"),
    "cut short": (lambda path: path.write_bytes(_whole()[:60]), "cannot be read as a picture"),
    "missing": (lambda path: None, "does not exist"),
    "a folder": (lambda path: path.mkdir(), "does not exist"),
}


def _whole() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 20, (40, 40)).astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_label_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    write, message = REFUSED[kind]
    write(tmp_path / "label.png")
    with pytest.raises(UserError, match=rf"label\.png: .*{message}") as info:
        read_label(tmp_path / "label.png")
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("array", [np.zeros((2, 3, 4)), np.zeros(5), np.zeros((0, 4)), np.array([[2**40]])])
def test_arrays_that_are_no_labels(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "label.npy", array)
    with pytest.raises(UserError, match=r"label\.npy"):
        read_label(tmp_path / "label.npy")


def test_an_array_file_runs_no_code(tmp_path: Path) -> None:
    np.save(tmp_path / "label.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read as an array"):
        read_label(tmp_path / "label.npy")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "label.png")
    with pytest.raises(UserError, match="does not exist"):
        read_label(tmp_path / "label.png")


def test_labels_larger_than_pillows_own_limit_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (15000, 12100), 3).save(tmp_path / "large.png")  # 181.5 million pixels
    assert read_label(tmp_path / "large.png").shape == (12100, 15000)
    monkeypatch.setattr(image_io, "MAX_PIXELS", 1000)
    with pytest.raises(UserError, match=r"large\.png: it has 182 million pixels.*PADDLESEG_EXT_MAX_PIXELS"):
        read_label(tmp_path / "large.png")


@pytest.mark.parametrize(
    "kind, images, labels, list_file",
    [
        (EG1800, "Images", "Labels", "eg1800_test.txt"),
        (SUPERVISELY, "set/img", "set/ann", "supervisely_face_test_easy.txt"),
    ],
)
def test_data_sets_that_read_by_opencv_get_the_ids_too(
    tmp_path: Path, kind: type, images: str, labels: str, list_file: str
) -> None:
    ids = np.zeros((224, 224), np.uint8)
    ids[:, 50:150] = 1
    label = Image.fromarray(ids).convert("P")
    label.putpalette([0, 0, 0, 128, 0, 0])  # OpenCV makes 38 of id 1, and those data sets background of that
    for folder, picture in ((images, label.convert("RGB")), (labels, label)):
        (tmp_path / folder).mkdir(parents=True)
        picture.save(tmp_path / folder / "a.png")
    (tmp_path / list_file).write_text("a.png\n" if kind is EG1800 else "data/set/img/a.png\n")
    transforms = {"common_transforms": [Normalize()], "transforms1": None, "transforms2": None}
    dataset = kind(dataset_root=str(tmp_path), mode="val", **transforms)
    assert (np.squeeze(dataset[0]["label"]) == ids).all()
    (tmp_path / images / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="a.png: the image file cannot be read"):
        dataset[0]
