"""Our side of the comparison with PyTorch: starts the process, takes its weights, compares outputs, times in turns."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from benchmarks.clone import ROOT, clone_environment
from benchmarks.networks import FixedFeatures
from benchmarks.pytorch.environment import TORCH
from benchmarks.pytorch.networks import ours, sections, set_weights
from benchmarks.steps import RUNS, Compared, check_equal, set_mode
from benchmarks.tables import Row, log
from paddleseg_ext.compat.paddle import threads
from paddleseg_ext.errors import UserError
from paddleseg_ext.inspection.analysis.timing import interleaved_timing

PAUSE = 0.3  # seconds before a call: OpenMP's threads of the other side wait busily for 0.2 after theirs


@dataclass
class Result(Compared):
    """Figures of one case in one mode; ours is in mmsegmentation's variant."""

    def row(self) -> Row:
        """Cells of a table's line, whose ratio is PyTorch's time over ours."""
        return {
            **self.cells(),
            "ours_mmseg_ms": round(1e3 * self.ours.median, 1),
            "pytorch_ms": round(1e3 * self.theirs.median, 1),
            "pytorch_speedup": round(self.theirs.median / self.ours.median, 2),
            "pytorch_spread": round(max(self.ours.spread, self.theirs.spread), 2),
            "pytorch_difference": f"{self.difference:.1e}",
        }


class Refused(Exception):
    """PyTorch does not compute what it is asked for."""


class PyTorch:
    """The process of the other side (`worker.py`), which holds one network at a time; ends with the block.

    Args:
        python: Of the environment with PyTorch and mmsegmentation.

    Attributes:
        versions: Of both.
    """

    def __init__(self, python: str) -> None:
        number = str(threads())
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.pytorch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=ROOT,
            env=clone_environment(OMP_NUM_THREADS=number, MKL_NUM_THREADS=number, PYTHONWARNINGS="ignore"),
        )

    def __enter__(self) -> PyTorch:
        self.versions = self._ask()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _ask(self, **request: Any) -> dict[str, str]:
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            status = self._process.wait()
            raise UserError(f"{TORCH}: the process under PyTorch ended with status {status}; what it said stands above")
        told = json.loads(answer)
        if "refused" in told:
            raise Refused(told["refused"])
        return told

    def compare_head(
        self, name: str, feats: Sequence[paddle.Tensor], size: tuple[int, int], rounds: int
    ) -> Iterator[Result]:
        """A head with its auxiliary head on a backbone's maps, the second of which has ``size``.

        Raises:
            ArithmeticError: The two do not give the same output.
            UserError: The process has ended.
        """
        net = ours(name, partial(FixedFeatures, feats))
        image = paddle.zeros([len(feats[0]), 3, 8 * size[0], 8 * size[1]])
        yield from self._both_modes(name, net, sections(name), image, feats, size, rounds)

    def compare_network(
        self, name: str, backbone: str, make: Callable[[], nn.Layer], image: paddle.Tensor, rounds: int
    ) -> Iterator[Result]:
        """A whole network over PaddleSeg's ResNet_vd, mmsegmentation's ResNetV1d; otherwise as `compare_head`."""
        net = ours(name, make)
        size = (image.shape[2], image.shape[3])
        yield from self._both_modes(name, net, sections(name, backbone), image, [], size, rounds)

    def _both_modes(
        self,
        name: str,
        net: nn.Layer,
        config: dict[str, Any],
        image: paddle.Tensor,
        feats: Sequence[paddle.Tensor],
        size: tuple[int, int],
        rounds: int,
    ) -> Iterator[Result]:
        with tempfile.TemporaryDirectory() as folder:
            inputs = {f"input{i}": value.numpy() for i, value in enumerate(feats or [image])}
            np.savez(Path(folder) / "inputs.npz", size=image.shape[2:], **inputs)
            self._ask(folder=folder, sections=config)
            with np.load(Path(folder) / "weights.npz") as state:
                set_weights(net, dict(state))
            theirs = np.load(Path(folder) / "output.npy")
        net.eval()
        with paddle.no_grad():
            difference = check_equal(f"{name} under PyTorch", net(image)[0], theirs)
        for mode, run in RUNS.items():
            set_mode(mode, net, feats)
            sides = partial(run, lambda net: net(image), net, feats), partial(self._ask, step=mode)
            try:
                timings = interleaved_timing(*sides, rounds=rounds, pause=PAUSE if threads() > 1 else 0.0)
            except Refused as error:
                log(f"{name}, {mode}: left out beside PyTorch, which says: {error}")
                continue
            yield Result(name, mode, size, len(image), *timings, difference)
