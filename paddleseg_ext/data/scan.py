"""Looking at every pair of a data set: what cannot be read, does not fit or is odd, and how often each class occurs."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paddleseg_ext.checkpoint.atomic import write_json
from paddleseg_ext.data.checks import channels_of
from paddleseg_ext.data.label_io import count_values, wrong_values
from paddleseg_ext.data.sampler import IGNORED, explain, files_of
from paddleseg_ext.errors import UserError

Progress = Callable[[Iterable["Pair"]], Iterable["Pair"]]
FORMAT = 1  # of the cache; another one is not read


@dataclass
class Pair:
    """An image and its label.

    Attributes:
        files: Image first.
        problem: What is wrong, or "".
        size: Width and height, in pixels.
        counts: (K + 2,) pixels of each class, ignored, and of other values.
        digest: Of the image file's content.
    """

    files: list[str]
    problem: str = ""
    size: tuple[int, int] = (0, 0)
    counts: list[int] = field(default_factory=list)
    digest: str = ""


@dataclass
class Scan:
    """All pairs of a data set, and sums over them."""

    pairs: list[Pair]
    num_classes: int

    @property
    def problems(self) -> list[str]:
        """What is wrong with each pair that something is wrong with."""
        return [pair.problem for pair in self.pairs if pair.problem]

    @property
    def counts(self) -> np.ndarray:
        """(K + 2,) int64."""
        rows = [pair.counts for pair in self.pairs if pair.counts]
        return np.array(rows, np.int64).sum(0) if rows else np.zeros(self.num_classes + 2, np.int64)

    @property
    def images_with(self) -> np.ndarray:
        """(K,) in how many labels each class occurs."""
        rows = [pair.counts for pair in self.pairs if pair.counts]
        return (np.array(rows)[:, :-2] > 0).sum(0) if rows else np.zeros(self.num_classes, np.int64)

    @property
    def sizes(self) -> list[tuple[tuple[int, int], int]]:
        """Sizes of the images and how often each occurs, the commonest first."""
        return Counter(pair.size for pair in self.pairs if not pair.problem).most_common()


def scan(dataset: Any, num_workers: int = 4, cache: Path | None = None, progress: Progress = iter) -> Scan:
    """Read every pair of a data set as it is before any augmentation.

    Args:
        dataset: In PaddleSeg's form.
        num_workers: Threads; decoding runs in parallel.
        cache: A JSON file in which results are kept by path, size and time of change, so that a second scan is quick.
        progress: Shows a bar around an iterable.
    """
    known = _read_cache(cache)
    plain = without_augmentation(dataset)
    keys = [_key(dataset, index) for index in range(len(dataset))]

    def look(index: int) -> Pair:
        if (entry := known.get(keys[index])) is not None:
            return Pair(**{**entry, "size": tuple(entry["size"])})
        return look_at(plain, dataset, index)

    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        pairs = list(progress(pool.map(look, range(len(dataset)))))
    if cache is not None:
        fresh = {key: asdict(pair) for key, pair in zip(keys, pairs) if key}
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, {"format": FORMAT, "pairs": {**known, **fresh}})
    return Scan(pairs, dataset.num_classes)


def look_at(plain: Any, dataset: Any, index: int) -> Pair:
    """Read one pair.

    Args:
        plain: The data set of `without_augmentation`.
        dataset: The data set itself.
        index: Of the pair.
    """
    files = files_of(dataset, index)
    ignore_index = getattr(dataset, "ignore_index", IGNORED)
    try:
        sample = plain[index]
        label = np.squeeze(np.asarray(sample["label"]))
    except Exception as error:  # whatever a data set raises becomes what is wrong with the pair
        return Pair(files, explain(files, error))
    _, height, width = sample["img"].shape
    counts = count_values(label, dataset.num_classes, ignore_index)
    problem = wrong_values(label, dataset.num_classes, ignore_index) if counts[-1] else None
    if label.shape != (height, width):  # of data sets that read their labels themselves
        problem = f"it is {label.shape[-1]}x{label.shape[0]}, but its image {files[0]} is {width}x{height}"
    told = f"{files[-1]}: {problem}" if problem else ""
    return Pair(files, told, (width, height), counts.tolist(), _digest(files[0]))


def without_augmentation(dataset: Any) -> Any:
    """The data set reading whole pictures, where it composes its transforms as PaddleSeg does.

    What belongs to the data themselves stays: transforms with an attribute `part_of_data`.
    """
    transforms: Any = getattr(dataset, "transforms", None)
    if not isinstance(getattr(transforms, "transforms", None), list):
        return dataset
    plain: Any = copy.copy(dataset)
    plain.transforms = copy.copy(transforms)
    plain.transforms.transforms = [t for t in transforms.transforms if getattr(t, "part_of_data", False)]
    return plain


def shared_images(first: Scan, second: Scan) -> list[tuple[str, str]]:
    """Images that occur in both, by content: pairs of files."""
    by_content = {pair.digest: pair.files[0] for pair in first.pairs if pair.digest}
    return [(by_content[p.digest], p.files[0]) for p in second.pairs if p.digest and p.digest in by_content]


def class_weights(counts: Sequence[int] | np.ndarray, images: Sequence[int] | np.ndarray, rule: str) -> np.ndarray:
    """Weights of the classes for a loss; classes that never occur get 0.

    Args:
        counts: (K,) pixels of each class.
        images: (K,) labels in which each class occurs.
        rule: ``root`` (√(median frequency / frequency), with a mean of 1 over the pixels, which keeps rare classes in
            sight without losing common ones), ``median`` (median frequency balancing over the images that hold the
            class: Eigen and Fergus, ICCV 2015, Sec. 4.3), ``inverse`` (1 / frequency, mean 1) or ``effective`` (Cui et
            al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, with β = 1 − 1/N for N pixels
            of the commonest class, mean 1).

    Raises:
        UserError: No class occurs.
    """
    pixels, held = np.asarray(counts, np.float64), np.asarray(images, np.float64)
    there = pixels > 0
    if not there.any():
        raise UserError("class weights need labels, and no class occurs in these")
    weights = np.zeros(len(pixels))
    if rule == "root":
        frequency = pixels[there] / pixels.sum()
        weights[there] = np.sqrt(np.median(frequency) / frequency)
        return weights / (weights[there] * frequency).sum()
    if rule == "median":
        frequency = pixels[there] / held[there]
        weights[there] = np.median(frequency) / frequency
        return weights
    if rule == "effective":
        beta = 1 - 1 / max(pixels.max(), 2.0)
        weights[there] = (1 - beta) / -np.expm1(pixels[there] * np.log(beta))
    else:
        weights[there] = pixels.sum() / pixels[there]
    return weights / weights[there].mean()


def _digest(path: str) -> str:
    return hashlib.sha1(Path(path).read_bytes(), usedforsecurity=False).hexdigest() if os.path.isfile(path) else ""


def _key(dataset: Any, index: int) -> str:
    """What a pair's result depends on: files as they are now, and how the data set reads them; "" where unknown."""
    files = files_of(dataset, index)
    try:
        states = [(os.path.abspath(path), os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in files]
    except OSError:
        return ""
    reading = (type(dataset).__name__, dataset.num_classes, getattr(dataset, "ignore_index", IGNORED))
    how = (
        *reading,
        channels_of(dataset),
        getattr(dataset, "reduce_zero_label", False),
        getattr(dataset, "image_range", None),
    )
    return json.dumps([states, how])


def _read_cache(path: Path | None) -> dict[str, dict]:
    try:
        content = json.loads(path.read_text("utf-8")) if path is not None else {}
        pairs = content.get("pairs", {}) if content.get("format") == FORMAT else {}
        return {key: value for key, value in pairs.items() if set(value) == set(Pair.__dataclass_fields__)}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # a damaged cache is none
