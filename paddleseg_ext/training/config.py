"""What a training run is told and what it tells in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """How to train, besides what.

    Attributes:
        iters: Optimizer steps of the whole run, those before a resume included.
        batch_size: Images a batch and process.
        accumulate: Batches an iteration, whose mean gradient makes the step.
        save_dir: Folder for checkpoints, ``metrics.jsonl`` and ``curve.png``.
        save_interval: Iterations between checkpoints (and evaluations).
        log_iters: Iterations between progress lines.
        num_workers: Processes that read data; 0 reads in this one.
        keep_checkpoint_max: Checkpoints to keep, the best model apart; 0 keeps all.
        seed: Decides the order of the data, the augmentation and everything else random.
        resume: A checkpoint folder to go on from.
        use_vdl: Write VisualDL scalars.
        precision: fp32, fp16 or bf16, at `amp_level` O1 or O2.
        clip_norm: Longest gradient, all parameters together; None does not clip.
        ema_decay: Weight of the past in the running average of the parameters, which is what is evaluated then and
            becomes the best model; None keeps no average.
        early_stop_intervals: Stop after so many evaluations in a row that were not better than the best; None never.
        skip_nonfinite: How many iterations may be skipped because a loss or the gradient norm is not finite.
        metric: What makes the best model: a mean of `Scores.MEANS`.
        test_config: Arguments of `evaluate`, as `read_test_config` gives them.
        config: The configuration as YAML text, kept with every checkpoint.
    """

    iters: int
    batch_size: int
    save_dir: str
    accumulate: int = 1
    save_interval: int = 1000
    log_iters: int = 10
    num_workers: int = 0
    keep_checkpoint_max: int = 5
    seed: int = 0
    resume: Path | None = None
    use_vdl: bool = False
    precision: str = "fp32"
    amp_level: str = "O1"
    clip_norm: float | None = None
    ema_decay: float | None = None
    early_stop_intervals: int | None = None
    skip_nonfinite: int = 0
    metric: str = "miou"
    test_config: dict = field(default_factory=dict)
    config: str = ""


@dataclass(frozen=True)
class Outcome:
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
