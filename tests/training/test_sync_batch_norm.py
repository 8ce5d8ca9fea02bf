"""SyncBatchNorm lives in the memory of a run on several GPUs: checkpoints and exports know nothing of it.

A CPU has no kernel for it, so where it has to compute it does as BatchNorm, which it is in a single process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg_ext.checkpoint import save as checkpoint
from paddleseg_ext.checkpoint.load import load_weights
from paddleseg_ext.config.load import load_config
from paddleseg_ext.export.exporter import Export
from paddleseg_ext.export.formats import graph_file
from paddleseg_ext.export.runtimes import open_runner
from paddleseg_ext.layers.norms import BATCH_NORMS
from paddleseg_ext.registry import HEADS
from paddleseg_ext.training import build, param_groups, state_dict
from paddleseg_ext.training.trainer import Trainer
from tests.export.test_fuse_bn import with_statistics
from tests.test_segmentor import model
from tests.tiny_run import write_config, write_samples


@contextmanager
def several_gpus() -> Iterator[None]:
    """Two processes on GPUs, as far as the choice of layers asks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(param_groups.distributed, "world_size", lambda: 2)
        patch.setattr(paddle, "get_device", lambda: "gpu:0")
        yield


def synchronize(network: nn.Layer) -> nn.Layer:
    with several_gpus():
        param_groups.sync_batch_norm(network)
    return network


@pytest.fixture
def computing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: nn.SyncBatchNorm, x: paddle.Tensor) -> paddle.Tensor:
        numbers = self._mean, self._variance, self.weight, self.bias
        return nn.functional.batch_norm(x, *numbers, self.training, self._momentum, self._epsilon, self._data_format)

    monkeypatch.setattr(nn.SyncBatchNorm, "forward", forward)


def kinds(network: nn.Layer) -> set[type]:
    return {type(layer) for layer in network.sublayers(include_self=True) if isinstance(layer, BATCH_NORMS)}


@pytest.mark.parametrize("name", HEADS)
def test_weights_of_every_head_pass_both_ways(name: str, tmp_path: Path) -> None:
    plain, synchronized = model(name), synchronize(with_statistics(model(name)))
    assert kinds(synchronized) == {nn.SyncBatchNorm} and nn.SyncBatchNorm not in kinds(plain)
    for i, (source, target) in enumerate([(synchronized, plain), (with_statistics(model(name)), synchronized)]):
        arrays = state_dict.model_arrays(source)
        checkpoint.save_weights(arrays, tmp_path / f"{i}.pdparams")
        found = load_weights(target, tmp_path / f"{i}.pdparams", complete=True)
        assert not (found.missing or found.unexpected or found.mismatched)
        loaded = state_dict.model_arrays(target)
        assert list(loaded) == list(arrays)
        for key, value in arrays.items():
            np.testing.assert_array_equal(loaded[key], value, err_msg=key)


@pytest.mark.parametrize("freeze", [(), ("norm.*",)])
def test_runs_go_on_from_each_others_checkpoints(
    freeze: tuple[str, ...], computing: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_samples(tmp_path)

    def run(name: str, iters: int, resume: str | None, several: bool) -> Trainer:
        train = {"save_interval": 3, "seed": 7, "ema": True, "freeze": freeze}
        config = load_config(write_config(tmp_path), train=train)
        settings = replace(build.run_config(config, tmp_path / name), iters=iters)
        with monkeypatch.context() as patch:
            if several:
                patch.setattr(build, "sync_batch_norm", synchronize)
            trainer = build.build_trainer(config, settings, tmp_path / resume / "iter_3" if resume else None)
        norm = nn.SyncBatchNorm if several and not freeze else nn.BatchNorm2D
        assert kinds(trainer.model) == {norm}
        trainer.run()
        return trainer

    run("several", 3, None, several=True)
    run("one", 6, None, several=False)
    run("several, then one", 6, "several", several=False)
    run("one, then several", 6, "one", several=True)
    first = [checkpoint.load_checkpoint(tmp_path / name / "iter_3") for name in ("one", "several")]
    last = [checkpoint.load_checkpoint(path / "iter_6") for path in tmp_path.iterdir() if (path / "iter_6").exists()]
    assert len(last) == 3
    for expected, *others in (first, last):
        for other in others:
            for ours, theirs in ((expected.weights, other.weights), (expected.arrays, other.arrays)):
                assert ours.keys() == theirs.keys()
                for key, value in ours.items():
                    np.testing.assert_array_equal(theirs[key], value, err_msg=key)


class Unfoldable(nn.Layer):
    """A norm that follows a convolution, and one that does not and so stays in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv, self.second = nn.BatchNorm2D(3), nn.Conv2D(3, 5, 3), nn.BatchNorm2D(5)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.second(self.conv(nn.functional.relu(self.first(x))))]


def test_an_export_holds_no_synchronized_norm(computing: None, tmp_path: Path) -> None:
    network = with_statistics(Unfoldable())
    export = Export(output_op="none", verify=False)  # an ONNX file is made from Paddle's
    export.write(network, tmp_path / "plain")
    synchronize(network).eval()
    assert kinds(network) == {nn.SyncBatchNorm}
    assert export.write(network, tmp_path / "synchronized")["folded_batch_norms"] == 1
    assert kinds(network) == {nn.SyncBatchNorm}  # it stays what it is
    images = np.random.default_rng(0).normal(size=(2, 3, 19, 23)).astype(np.float32)
    plain, found = (open_runner(tmp_path / name, "paddle")(images) for name in ("plain", "synchronized"))
    np.testing.assert_array_equal(found, plain)
    graph = graph_file(tmp_path / "synchronized").read_bytes().replace(Path(__file__).name.encode(), b"")
    assert b"batch_norm" in graph and b"sync_batch_norm" not in graph
