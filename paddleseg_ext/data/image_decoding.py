"""From the bytes of an image file to upright pixels of 8 bits."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from paddleseg_ext.errors import UserError, reason

ORIENTATION = 274  # EXIF tag
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of either byte order, and BigTIFF
EDGE = 2**16  # bytes before or behind the pixels; OpenCV 4.5 turns JPEG and TIFF, and PNG is left to this package
FLAGS = {
    1: cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH,
    3: cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
}


def exif_orientation(path: str | Path) -> int:
    """The EXIF tag 274: 1 for upright, above 4 where width and height change places; 1 where it cannot be read."""
    try:
        with Image.open(path) as image:
            return int(image.getexif().get(ORIENTATION, 1))
    except (OSError, ValueError, SyntaxError):
        return 1


def decode(path: Path, channels: int) -> np.ndarray:
    """The pixels in the depth of the file, upright.

    Args:
        path: See `image_io.read_image`.
        channels: Likewise.

    Raises:
        UserError: It is no picture, is cut short, or has several pages that are not the bands.
    """
    suffix, flags = path.suffix.lower(), FLAGS.get(channels, cv2.IMREAD_UNCHANGED)
    try:
        if suffix == ".npy":
            return np.load(path, allow_pickle=False)
        content = path.read_bytes()
        if content[8:12] == b"WEBP":  # OpenCV up to 4.6 carries a libwebp with a hole in it
            rgb = np.asarray(Image.open(io.BytesIO(content)).convert("L" if channels == 1 else "RGB"))
            bgr = rgb if rgb.ndim == 2 else np.ascontiguousarray(rgb[..., ::-1])
            return _upright(bgr, path) if b"EXIF" in content else bgr
        # What a JPEG compresses holds neither of these two bytes, so the last image in the file must have its end.
        if content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
            raise UserError(f"{path}: the image file is cut short")
        if content.startswith(TIFF):
            return _read_tiff(path, channels, flags)
        of_png = content.startswith(b"\x89PNG") and (b"eXIf" in content[:EDGE] or b"eXIf" in content[-EDGE:])
        if of_png:
            flags |= cv2.IMREAD_IGNORE_ORIENTATION
        image = _checked(cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None, path)
        return _upright(image, path) if of_png else image
    except UserError:
        raise
    except (OSError, ValueError, cv2.error) as error:
        raise UserError(f"{path}: the image file cannot be read as a picture ({reason(error)})") from error


def _checked(image: np.ndarray | None, path: Path) -> np.ndarray:
    if image is None:
        raise UserError(f"{path}: the image file cannot be read as a picture")
    return image


def _read_tiff(path: Path, channels: int, flags: int) -> np.ndarray:
    """The only page, or all gray pages as bands where as many bands are asked for.

    Raises:
        UserError: It has several pages, but they are not the bands.
    """
    pages = cv2.imreadmulti(str(path), flags=flags)[1]
    if len(pages) < 2:
        return _checked(pages[0] if pages else None, path)
    if len(pages) == channels:
        pages = cv2.imreadmulti(str(path), flags=cv2.IMREAD_UNCHANGED)[1]
        if {page.shape for page in pages} == {pages[0].shape[:2]}:
            return np.stack(pages, axis=-1)
    raise UserError(
        f"{path}: it has {len(pages)} pages, which are bands only where img_channels is their number and all are gray"
    )


def _upright(image: np.ndarray, path: Path) -> np.ndarray:
    """Turn and mirror the pixels as the file's EXIF data tell."""
    orientation = exif_orientation(path)
    if not 2 <= orientation <= 8:
        return image
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    rows, columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(image[:: -1 if rows else 1, :: -1 if columns else 1])


def check_range(image_range: object) -> None:
    """Refuse what is no range of values.

    Raises:
        UserError: It is neither None nor two finite numbers, the lower one first.
    """
    if image_range is None:
        return
    numbers = image_range if isinstance(image_range, (list, tuple)) else []
    finite = [v for v in numbers if isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)]
    if len(numbers) != 2 or len(finite) != 2 or not finite[0] < finite[1]:
        raise UserError(
            f"image_range: {image_range!r} is not allowed; it is two numbers, the values that become black and white"
        )


def from_range(image: np.ndarray, path: Path | str, image_range: Sequence[float]) -> np.ndarray:
    """Scale `image_range` to 0 … 255.

    Raises:
        UserError: The picture has 8 bits, or a value that is outside or no number.
    """
    low, high = image_range
    if image.dtype == np.uint8 and (low, high) != (0, 255):
        raise UserError(f"{path}: it has 8 bits, so the image_range {low:g} … {high:g} cannot be its own")
    least, most = float(image.min()), float(image.max())
    if not low <= least <= most <= high:  # NaN is not either
        raise UserError(f"{path}: its values reach from {least:g} to {most:g}, and image_range is {low:g} … {high:g}")
    return np.rint((image.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)


def to_8_bits(image: np.ndarray, path: Path | str) -> np.ndarray:
    """Scale 16 bits to 8; what uses a small part of the range was recorded with fewer bits and would come out black.

    Raises:
        UserError: It is of another type, or its largest value is below an eighth of the range.
    """
    if image.dtype != np.uint16:
        raise UserError(
            f"{path}: it holds {image.dtype}, and pictures have 8 or 16 bits; save it as one of them, or tell the "
            "values that are black and white by the data set's image_range"
        )
    highest = int(image.max(initial=0))
    if 0 < highest < 2**13:
        raise UserError(
            f"{path}: of 16 bits it uses values up to {highest} only, so it would be almost black; scale its values to "
            "0 … 65535, save it with 8 bits, or tell the data set's image_range"
        )
    return cv2.convertScaleAbs(image, alpha=1 / 257)
