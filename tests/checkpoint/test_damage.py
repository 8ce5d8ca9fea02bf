"""Flipped, truncated and spliced files of every kind end in a sentence or in weights, without much memory.

The 100 of each kind here are the first of the 5,000 of the slow test.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle
import pytest
from safetensors.numpy import save

from paddleseg_ext.checkpoint import save as checkpoint
from paddleseg_ext.errors import UserError
from tests.checkpoint.forked import Readers, peak

DATA = Path(__file__).parents[1] / "data" / "importers"
ALL = pytest.param(5000, marks=pytest.mark.slow)
MOST = 1 << 20  # KiB


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = {"conv.weight": (4, 3, 3, 3), "norm.weight": (4,), "norm._mean": (4,), "table": (5, 6)}
    return {name: generator.normal(size=shape).astype("float32") for name, shape in shapes.items()}


def samples(kind: str) -> list[bytes]:
    """Whole files of a kind."""
    if kind == "pth":
        return [path.read_bytes() for path in sorted(DATA.glob("*.pth"))]
    if kind == "safetensors":
        half = {name: value.astype("float16") for name, value in arrays().items()}
        return [save(arrays()), save(half, {"format": "pt"})]
    stream = io.BytesIO()
    paddle.save({name: paddle.to_tensor(value) for name, value in arrays().items()}, stream)
    pairs = {name: (f"{name}_0", value.T) for name, value in arrays().items()}
    return [stream.getvalue(), *(pickle.dumps(pairs, protocol) for protocol in (2, 4, 5))]


def damaged(wholes: list[bytes], count: int) -> Iterator[bytes]:
    """One third each: some bits flipped, the end missing, and a piece of one put over, into or out of another."""
    generator = np.random.default_rng(1)
    for number in range(count):
        whole = bytearray(wholes[number // 3 % len(wholes)])
        place = int(len(whole) * generator.random() ** 2)  # more of them at the start, where the structure is
        if number % 3 == 0:
            for _ in range(generator.integers(1, 5)):
                whole[int(len(whole) * generator.random() ** 2)] ^= 1 << generator.integers(8)
        elif number % 3 == 1:
            del whole[place:]
        else:
            other = wholes[generator.integers(len(wholes))]
            start, length = generator.integers(len(other)), generator.integers(1, 200)
            taken = int(generator.integers(0, 200)) * int(generator.integers(2))
            whole[place : place + taken] = other[start : start + length]
        yield bytes(whole)


@pytest.mark.parametrize("count", [100, ALL])
@pytest.mark.parametrize("kind", ["pdparams", "pth", "safetensors"])
def test_weights(tmp_path: Path, kind: str, count: int) -> None:
    wholes = samples(kind)
    path, refused, memory = tmp_path / f"file.{kind}", 0, 0
    with Readers() as readers:
        for answer in readers.read_each(wholes, path):
            assert answer["weights"]
        for answer in readers.read_each(damaged(wholes, count), path):
            assert "traceback" not in answer, answer
            memory = max(memory, answer["memory"])
            assert answer["seconds"] < 10
            if "sentence" in answer:
                refused += 1
                assert answer["sentence"].startswith(str(path)) and answer["sentence"].isprintable(), answer
                assert len(answer["sentence"]) < 1000
    print(f"{kind}: {refused} of {count} refused, at most {memory >> 10} MiB")
    assert count // 3 < refused < count
    assert memory < MOST - 450 * 2**10  # what a process with Paddle has


@pytest.mark.parametrize("count", [100, ALL])
def test_training_state(tmp_path: Path, count: int) -> None:
    record = {"iteration": 3, "position": {"epoch": 0, "taken": 12}, "best": {"iteration": 2, "miou": 0.5}}
    whole = checkpoint.save_checkpoint(tmp_path, checkpoint.Checkpoint(arrays(), arrays(), record, "iters: 9\n"))
    names = [checkpoint.ARRAYS, checkpoint.RECORD, checkpoint.TENSORS]
    contents = {name: (whole / name).read_bytes() for name in names}
    refused, before = 0, peak()
    for number, content in enumerate(damaged(list(contents.values()), count)):
        name = names[number // 3 % 3]
        (whole / name).write_bytes(content)
        try:
            assert isinstance(checkpoint.load_checkpoint(whole).record, dict)
        except UserError as error:
            refused += 1
            assert str(whole) in str(error) and str(error).isprintable() and len(str(error)) < 1000
        (whole / name).write_bytes(contents[name])
    assert count // 3 < refused < count
    assert peak() - before < 300 * 2**10
    assert json.loads((whole / checkpoint.RECORD).read_text())["iteration"] == 3
