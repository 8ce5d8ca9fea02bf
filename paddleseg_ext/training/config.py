"""What a training run is told besides model and data, and what it tells in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paddleseg_ext.config.text import to_yaml
from paddleseg_ext.config.train import TrainConfig


@dataclass(frozen=True)
class RunConfig:
    """How far a run goes, where it leaves its files, and its section `train:`.

    Attributes:
        iters: Optimizer steps of the whole run, those before a resume included.
        batch_size: Images per batch and process.
        save_dir: Folder for checkpoints, ``metrics.jsonl`` and the curves.
        train: See `TrainConfig`.
        use_vdl: Write scalars and images for VisualDL.
        use_tensorboard: Write them for TensorBoard.
        test_config: Arguments of `Predictor`, as `read_test_config` gives them.
        config: The whole configuration with its defaults, kept with every checkpoint and compared at a resume.
    """

    iters: int
    batch_size: int
    save_dir: str | Path
    train: TrainConfig = field(default_factory=TrainConfig)
    use_vdl: bool = False
    use_tensorboard: bool = False
    test_config: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    def with_seed(self, seed: int) -> RunConfig:
        """The same with the seed that a checkpoint was trained with, or that was drawn."""
        train = replace(self.train, seed=seed)
        config = {**self.config, "train": train.to_section()} if self.config else {}
        return replace(self, train=train, config=config)

    def to_yaml(self) -> str:
        """The configuration as a checkpoint keeps it."""
        return to_yaml(self.config) if self.config else ""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        iteration: Finished iterations.
        checkpoint: The newest checkpoint.
        best: ``metric``, ``score`` and ``iteration`` of the best evaluation, or {} without any.
        signal: The signal that stopped the run before its end, or None.
    """

    iteration: int
    checkpoint: Path | None
    best: dict
    signal: int | None = None
