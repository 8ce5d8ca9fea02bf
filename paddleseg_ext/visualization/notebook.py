"""Arrays that a notebook shows as pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from paddleseg_ext.data.classes import generic_palette
from paddleseg_ext.visualization.draw import color


class _Shown(np.ndarray):
    """An array that a notebook shows; what is computed from it is an ordinary array, and only views are shown, too."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            kwargs["out"] = tuple(map(_plain, kwargs["out"]))
        return getattr(ufunc, method)(*map(_plain, inputs), **kwargs)

    def _picture(self) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB, or None where the array is no picture."""
        raise NotImplementedError

    def _repr_png_(self) -> bytes | None:
        """What Jupyter calls."""
        picture = self._picture()
        if picture is None:
            return None
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(file, format="PNG")
        return file.getvalue()


class Picture(_Shown):
    """An image (H, W, 3), uint8 RGB."""

    def _picture(self) -> np.ndarray | None:
        is_image = self.ndim == 3 and self.shape[2] == 3 and self.dtype == np.uint8 and self.size
        return _plain(self) if is_image else None


class LabelMap(_Shown):
    """Class ids (H, W), uint8 or above 256 classes uint16, shown in the colors of their classes.

    Attributes:
        classes: Names of the classes, in the order of the ids.
        palette: (K, 3) uint8 RGB, their colors.
    """

    classes: Sequence[str]
    palette: np.ndarray

    @classmethod
    def of(cls, pred: np.ndarray, classes: Sequence[str], palette: np.ndarray) -> LabelMap:
        """Class ids, in the smallest type that holds those of all classes."""
        return _labeled(np.asarray(pred).astype(np.uint8 if len(classes) <= 256 else np.uint16), classes, palette)

    def __array_finalize__(self, source: Any) -> None:
        self.classes = getattr(source, "classes", ())
        self.palette = getattr(source, "palette", generic_palette(256))

    def __reduce__(self) -> Any:  # for pickle, which keeps of an array nothing but its numbers
        return _labeled, (_plain(self), self.classes, self.palette)

    def _picture(self) -> np.ndarray | None:
        is_map = self.ndim == 2 and self.dtype.kind == "u" and self.size
        return color(_plain(self), self.palette) if is_map else None


def _labeled(pred: np.ndarray, classes: Sequence[str], palette: np.ndarray) -> LabelMap:
    found = pred.view(LabelMap)
    found.classes, found.palette = classes, palette
    return found


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, _Shown) else value
