"""Reading a validation set once, in batches of equal size, shared out among processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle

from paddleseg_ext.data import dataloader
from paddleseg_ext.data.image_io import image_size
from paddleseg_ext.data.sampler import explain, files_of
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime.arrays import on_host, to_array

TransInfo = Sequence[tuple[str, tuple[int, int]]]
"""PaddleSeg's record of what the transforms did to the size, in order: ``("resize", (height, width) before)``."""


@dataclass
class Batch:
    """Samples whose images have one size.

    Attributes:
        indices: N indices into the data set.
        images: (N, C, H, W).
        labels: N arrays of as many true ids as the original image has pixels (tensors on devices other than the CPU).
        trans_infos: N records of what the transforms did to the size.
    """

    indices: list[int]
    images: paddle.Tensor
    labels: list[np.ndarray | paddle.Tensor]
    trans_infos: list[TransInfo]


def plan(dataset: Any, batch_size: int, rank: int = 0, world_size: int = 1) -> list[list[int]]:
    """Indices of the batches of one process: over all processes each index occurs exactly once.

    Args:
        dataset: In PaddleSeg's form.
        batch_size: Images of a batch, at most. Above 1, images of one size come together; the sizes are read from the
            files' heads.
        rank: Number of this process, from 0.
        world_size: Number of processes.
    """
    indices = list(range(len(dataset)))
    sizes = [(0, 0)] * len(indices)
    if batch_size > 1:
        sizes = [_size_if_readable(files_of(dataset, i)[0]) for i in indices]
        indices.sort(key=lambda i: sizes[i])
    batches: list[list[int]] = []
    for i in indices:
        if batches and len(batches[-1]) < batch_size and sizes[batches[-1][0]] == sizes[i]:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches[rank::world_size]


def read(
    dataset: Any, batches: list[list[int]], num_workers: int = 0, timeout: float = dataloader.LOADER_TIMEOUT
) -> Generator[Batch, None, None]:
    """Yield the planned batches; one whose images come out of the transforms in several sizes is split by size.

    Close the iterator (`contextlib.closing`) where it may be left before its end.

    Args:
        dataset: In PaddleSeg's form: `dataset[i]` is a dict with `img` (C, H, W), `label` and `trans_info`.
        batches: Of `plan`.
        num_workers: Processes that read ahead; with 0, one thread does.
        timeout: Seconds to wait for a batch.

    Raises:
        UserError: A file cannot be read; the message names it. Or a worker process died, or nothing came in time.
    """
    with closing(dataloader.read(_Explained(dataset), batches, num_workers, _group, timeout)) as reader:
        for groups in reader:
            for group in groups:
                labels = [to_array(label) if on_host(label) else label for label in group.pop("labels")]
                yield Batch(labels=labels, **group)


def stacked(samples: Iterable[Mapping[str, Any]], size: int) -> Iterator[Batch]:
    """Batches without labels: samples that follow each other in one shape, at most `size` together.

    Args:
        samples: `img` (C, H, W) and `trans_info` of each, as transforms give them.
        size: At least 1.
    """
    held: list[Mapping[str, Any]] = []

    def batch() -> Batch:
        images = paddle.to_tensor(np.stack([sample["img"] for sample in held]))
        return Batch([], images, [], [sample["trans_info"] for sample in held])

    for sample in samples:
        if held and (len(held) == size or held[0]["img"].shape != sample["img"].shape):
            yield batch()
            held = []
        held.append(sample)
    if held:
        yield batch()


class _Explained(paddle.io.Dataset):
    """Samples with their index; whatever goes wrong becomes a sentence that names the file."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            sample = self.dataset[index]
            label = np.ascontiguousarray(sample["label"])
        except Exception as error:
            raise UserError(explain(files_of(self.dataset, index), error)) from error
        info = [(step, (int(size[0]), int(size[1]))) for step, size in sample.get("trans_info", ())]
        return {"index": index, "image": sample["img"], "label": label, "trans_info": info}


def _group(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups = defaultdict(list)
    for sample in samples:
        groups[sample["image"].shape].append(sample)
    return [
        {
            "indices": [s["index"] for s in group],
            "images": np.stack([s["image"] for s in group]),
            "labels": [s["label"] for s in group],
            "trans_infos": [s["trans_info"] for s in group],
        }
        for group in groups.values()
    ]


def _size_if_readable(path: str) -> tuple[int, int]:
    try:
        return image_size(path)
    except UserError:
        return 0, 0  # reading the sample will say what is wrong
