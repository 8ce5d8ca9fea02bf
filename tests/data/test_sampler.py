"""The stream of samples depends on seed and position alone, and failures in workers arrive as sentences."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from paddleseg.datasets import Dataset
from paddleseg.transforms import RandomDistort, RandomHorizontalFlip

from paddleseg_ext.data.dataloader import load
from paddleseg_ext.data.sampler import Batches, SampleStream
from paddleseg_ext.errors import UserError
from tests.tiny_run import CLASSES, write_samples


def dataset(root: Path, transforms: list) -> Dataset:
    return Dataset("train", str(root), transforms, CLASSES, train_path=str(root / "train.txt"))


@pytest.fixture
def stream(tmp_path: Path) -> SampleStream:
    return SampleStream(dataset(write_samples(tmp_path), [RandomDistort(), RandomHorizontalFlip()]), seed=5)


def test_each_epoch_has_every_sample_once_in_its_own_order(stream: SampleStream) -> None:
    epochs = [[stream.index(position) for position in range(6 * e, 6 * e + 6)] for e in range(4)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_sample_depends_on_its_position_alone(stream: SampleStream) -> None:
    first = stream[9]["img"]
    stream[2], np.random.rand(3)
    np.testing.assert_array_equal(first, stream[9]["img"])
    same = [p for p in range(10, 60) if stream.index(p) == stream.index(9)]
    assert any(not np.array_equal(first, stream[p]["img"]) for p in same)  # other epochs augment differently


def test_reading_leaves_the_global_generators_alone(stream: SampleStream) -> None:
    np.random.seed(1)
    expected = np.random.rand(2)
    np.random.seed(1)
    drawn = [np.random.rand()]
    stream[0]
    drawn.append(np.random.rand())
    np.testing.assert_array_equal(drawn, expected)


def test_ranks_and_accumulation_cut_the_same_stream_into_the_same_batches() -> None:
    whole = list(Batches(start=8, count=3, size=4))
    world_size = [list(Batches(start=8, count=3, size=2, rank=rank, world_size=2)) for rank in range(2)]
    assert [a + b for a, b in zip(*world_size)] == whole
    halves = list(Batches(start=8, count=6, size=2))
    assert (
        [a + b for a, b in zip(halves[::2], halves[1::2])]
        == whole
        == [list(range(8 + 4 * i, 12 + 4 * i)) for i in range(3)]
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_the_stream(stream: SampleStream, workers: int) -> None:
    batches = list(load(stream, Batches(3, 4, 2), workers))
    assert [sorted(batch) for batch in batches] == [["img", "label", "label_counts"]] * 4
    images = np.concatenate([batch["img"].numpy() for batch in batches])
    np.testing.assert_array_equal(images, np.stack([stream[position]["img"] for position in range(3, 11)]))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_file_is_named(stream: SampleStream, tmp_path: Path, workers: int) -> None:
    (tmp_path / "image3.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"image3\.png: the image file cannot be read as a picture$"):
        list(load(stream, Batches(0, 3, 2), workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_two_sizes_in_a_batch_are_explained(tmp_path: Path, workers: int) -> None:
    class Shrink:
        def __call__(self, sample: dict) -> dict:
            cut = sum(sample["img"][0, 0]) % 7
            sample["img"], sample["label"] = sample["img"][int(cut) :], sample["label"][int(cut) :]
            return sample

    stream = SampleStream(dataset(write_samples(tmp_path), [Shrink()]), seed=0)
    with pytest.raises(UserError, match="samples of different sizes .*RandomPaddingCrop"):
        list(load(stream, Batches(0, 2, 6), workers))


def test_a_killed_worker_is_reported(stream: SampleStream) -> None:
    class Deadly(SampleStream):
        def __getitem__(self, position: int) -> dict:
            if position == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(position)

    with pytest.raises(UserError, match="killed by SIGKILL: probably for want of memory"):
        list(load(Deadly(stream.dataset, 0), Batches(0, 8, 2), 2))


@pytest.mark.skipif(sys.platform != "linux", reason="a service of Linux")
def test_workers_do_not_outlive_a_killed_run(stream: SampleStream) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        inherited = multiprocessing.active_children()  # what earlier tests left, as this copy of their process sees it
        batches = load(stream, Batches(0, 1000, 2), 1)
        next(batches)
        (started,) = set(multiprocessing.active_children()) - set(inherited)
        os.write(writer, str(started.pid).encode())
        signal.pause()
    worker = int(os.read(reader, 20))
    assert _lives(worker)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for _ in range(200):
        if not _lives(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker waits for a parent that is gone")


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_orders_are_fair() -> None:
    class Three:
        def __len__(self) -> int:
            return 3

    stream = SampleStream(Three(), seed=0)
    firsts = Counter(stream.index(3 * epoch) for epoch in range(3000))
    assert all(abs(count - 1000) < 120 for count in firsts.values())
