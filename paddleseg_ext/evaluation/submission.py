"""Files for the test servers of Cityscapes and ADE20K: the ids, names and numbers of images that they accept."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paddleseg_ext.data.image_io import save_image
from paddleseg_ext.data.prepare.cityscapes_ids import TRAIN_IDS
from paddleseg_ext.errors import UserError

# Train ids 0…18 to label ids.
CITYSCAPES_LABEL_IDS = tuple(number for number, train in enumerate(TRAIN_IDS.values()) if train is not None)


@dataclass(frozen=True)
class Benchmark:
    """What a test server wants.

    Attributes:
        name: As on the command line.
        ids: The value to write for each class.
        pattern: A regular expression that image names match; its first group is kept in the result's name.
        result: Name of a result, with {} for that group.
        counts: Images in the sets that can be submitted.
    """

    name: str
    ids: Sequence[int]
    pattern: str
    result: str
    counts: Sequence[int]


BENCHMARKS = {
    # https://www.cityscapes-dataset.com/benchmarks: 1525 test images; 500 of val for the public evaluation script
    "cityscapes": Benchmark(
        "cityscapes", CITYSCAPES_LABEL_IDS, r"(.+_\d{6}_\d{6})_leftImg8bit", "{}_pred_labelIds.png", (1525, 500)
    ),
    # http://sceneparsing.csail.mit.edu: classes 1…150; 3352 test images, 2000 of val
    "ade20k": Benchmark("ade20k", range(1, 151), r"(ADE_(?:test|val)_\d{8})", "{}.png", (3352, 2000)),
}


class Submission:
    """Collects predictions and packs them.

    Args:
        benchmark: Of `BENCHMARKS`.
        images: All images that will be predicted.
        classes: Number of classes that the network tells apart.
        folder: Where the pictures go: `folder`/NAME.png.
        count: How many images there must be; by default one of the benchmark's numbers.

    Raises:
        UserError: The number of images or of classes is wrong, or a name is not the benchmark's or occurs twice.
    """

    def __init__(
        self, benchmark: Benchmark, images: Sequence[Path], classes: int, folder: Path, count: int | None = None
    ) -> None:
        self.benchmark = benchmark
        self.folder = folder
        if classes != len(benchmark.ids):
            raise UserError(f"{benchmark.name} has {len(benchmark.ids)} classes, the network {classes}")
        allowed = [count] if count is not None else list(benchmark.counts)
        if len(images) not in allowed:
            raise UserError(
                f"{benchmark.name} expects {' or '.join(map(str, allowed))} images, but there are {len(images)}; "
                "`submission_count` N allows another number"
            )
        self._values = np.array(benchmark.ids, np.uint8)
        self.names = {image: self._result_name(image) for image in images}
        name, times = Counter(self.names.values()).most_common(1)[0]
        if times > 1:
            raise UserError(f"{benchmark.name}: several images would become {name}")

    def write(self, image: Path, pred: np.ndarray) -> Path:
        """Write one prediction, (H, W) class ids at the image's original size; returns the file."""
        path = self.folder / self.names[image]
        save_image(path, self._values[pred])
        return path

    def pack(self, path: Path) -> Path:
        """Zip all predictions, without folders.

        Raises:
            UserError: A prediction is missing.
        """
        missing = [name for name in self.names.values() if not (self.folder / name).is_file()]
        if missing:
            raise UserError(f"{self.folder}: {len(missing)} predictions are missing, the first is {missing[0]}")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed already
            for name in sorted(self.names.values()):
                archive.write(self.folder / name, name)
        return path

    def _result_name(self, image: Path) -> str:
        match = re.fullmatch(self.benchmark.pattern, image.stem)
        if match is None:
            raise UserError(f"{image}: not a name of {self.benchmark.name}, which match {self.benchmark.pattern}")
        return self.benchmark.result.format(match[1])
