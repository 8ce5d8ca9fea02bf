"""Writer of the street scenes on disk, in Cityscapes' folder layout."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock

from paddleseg_ext.data.datasets.streets.scene import render

VERSION = 1  # raise it whenever the pixels change
MARKER = "street_scenes.json"
CITIES = {"train": "northbank", "val": "southbank"}
SIZE = (256, 128)  # width, height


class Occupied(Exception):
    """The folder holds anything other than the requested street scenes."""


def ensure(root: Path, counts: dict[str, int], progress: Callable = iter) -> None:
    """Write the street scenes to `root` unless it holds the complete data set already.

    They are written to a folder beside `root`, which is renamed when it is complete, so an interruption leaves no
    incomplete data set. A file lock lets one of several concurrent processes write while the others wait.

    Args:
        root: The folder, which may not exist yet.
        counts: Number of images per split, `train` and `val`.
        progress: Wraps the iterable of images while they are written, as tqdm does.

    Raises:
        Occupied: `root` holds other files, or street scenes of another version, number or size.
        OSError: The disk is full or cannot be written.
    """
    if _is_complete(root, counts):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=root.parent):
        pass  # raises where nothing can be written; the lock below might wait forever instead
    with FileLock(str(root.parent / f".{root.name}.lock")):
        if _is_complete(root, counts):
            return
        partial = root.parent / f".{root.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _write_splits(partial, counts, progress)
            if root.exists():
                root.rmdir()  # empty, or _is_complete would have refused it
            partial.rename(root)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # incomplete after an interruption or on a full disk


def _write_splits(root: Path, counts: dict[str, int], progress: Callable) -> None:
    for split, city in CITIES.items():
        for kind in ("leftImg8bit", "gtFine"):
            (root / kind / split / city).mkdir(parents=True)
    images = [(split, index) for split in CITIES for index in range(counts[split])]
    # Threads suffice: OpenCV and NumPy, which take most of the time, release the GIL.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        try:
            for _ in progress(pool.map(lambda image: _write(root, *image), images)):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    (root / MARKER).write_text(json.dumps(_description(counts)), encoding="utf-8")


def _description(counts: dict[str, int]) -> dict:
    return {"version": VERSION, "width": SIZE[0], "height": SIZE[1], **counts}


def _is_complete(root: Path, counts: dict[str, int]) -> bool:
    """Whether the data set is complete; False if the folder is missing or empty."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Occupied(f"{root} holds something else than street scenes") from None
    if found != _description(counts):
        raise Occupied(f"{root} holds other street scenes ({found}) than requested ({_description(counts)})")
    return True


def _write(root: Path, split: str, index: int) -> None:
    image, label = render(split, index, *SIZE)
    city = CITIES[split]
    stem = f"{city}_{index:06d}_000019"
    _save(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", image[..., ::-1])
    _save(root / "gtFine" / split / city / f"{stem}_gtFine_labelTrainIds.png", label)


def _save(path: Path, pixels: np.ndarray) -> None:
    # cv2.imwrite only returns False on a full disk; write_bytes raises the OSError.
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
