"""Train a network from a YAML file in PaddleSeg's format."""

from __future__ import annotations

import argparse
import logging
import shlex
import signal
import sys
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from paddleseg.cvlibs import Config

from paddleseg_ext.cli.common import add_config_arguments, checked, number, output_folder, whole
from paddleseg_ext.cli.dry_run import dry_run
from paddleseg_ext.config.load import load_config
from paddleseg_ext.config.train import TrainConfig
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime import distributed
from paddleseg_ext.runtime.device import set_device
from paddleseg_ext.training.build import build_trainer, run_config
from paddleseg_ext.training.config import TrainResult
from paddleseg_ext.training.param_groups import summary

STOPPED_BY_SIGNAL = 128  # plus the signal's number, as shells report it
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, under PaddleSeg's names where it has them, and a flag for each entry of `train:`."""
    add_config_arguments(parser)
    groups = {name: parser.add_argument_group(name) for name in ("run", "data", "learning")}
    add = groups["run"].add_argument
    add("--save_dir", type=output_folder, default="output", help="folder for checkpoints, metrics and the curves")
    add("--resume", "--resume_model", metavar="PATH", help="checkpoint folder, or auto: the newest in save_dir, if any")
    add("--resume_anyway", action="store_true", help="resume although other settings would give other weights")
    add("--dry_run", action="store_true", help="do everything once, in a temporary folder, to see that it works")
    add("--use_vdl", action="store_true", help="write scalars and images for VisualDL to save_dir")
    add("--use_tensorboard", action="store_true", help="write the same for TensorBoard")
    add = groups["data"].add_argument
    add("--iters", type=whole(1), help="iterations (replaces the configuration's)")
    add("--batch_size", type=whole(1), help="images per batch on each device (replaces the configuration's)")
    add = groups["learning"].add_argument
    add("--learning_rate", type=number(above=0), help="learning rate (replaces lr_scheduler.learning_rate)")
    add(
        "--auto_scale_lr",
        type=whole(1),
        metavar="BATCH",
        help="the effective batch that the learning rate was chosen for: scale it in proportion to this run's",
    )
    for entry in fields(TrainConfig):
        _add_flag(groups[entry.metadata["group"]], entry)


def run(args: argparse.Namespace) -> int:
    """Train; 0, or 128 plus the signal's number when SIGINT or SIGTERM stopped it after saving.

    Raises:
        UserError: An argument has no effect, or as `build_trainer`.
    """
    if args.resume_anyway and not args.resume:
        raise UserError("`resume_anyway`: without `resume` there is no effect; add it or leave it out")
    if args.dry_run and args.resume:
        raise UserError("`dry_run`: it starts in a temporary folder, so `resume` has no effect; leave one of them out")
    overrides = {entry.name: getattr(args, entry.name) for entry in fields(TrainConfig)}
    config = load_config(
        args.config,
        learning_rate=args.learning_rate,
        batch_size=args.batch_size,
        iters=args.iters,
        opts=args.opts,
        train={key: value for key, value in overrides.items() if value is not None},
    )
    device = set_device(args.device)
    distributed.init()
    effective = config.batch_size * config.dic["train"]["accumulate"] * distributed.world_size()
    if args.auto_scale_lr:
        _scale_learning_rate(config, effective / args.auto_scale_lr)
    settings = run_config(config, args.save_dir, args.use_vdl, args.use_tensorboard)
    if args.dry_run:
        dry_run(config, settings)
        return 0
    trainer = build_trainer(config, settings, args.resume, args.resume_anyway)
    train = settings.train
    logger.info(
        f"{args.config} on {device}: iterations {trainer.state.iteration} to {settings.iters}, effective batch "
        f"{effective} = {settings.batch_size} images × {distributed.world_size()} processes × {train.accumulate} "
        f"accumulated, {len(trainer.train_dataset)} training images, seed {trainer.state.seed}, {train.precision}, "
        f"output in {args.save_dir}"
    )
    if train.accumulate > 1:
        logger.info(f"accumulating: BatchNorm and losses still take their means over {settings.batch_size} images")
    logger.info(summary(trainer.model, trainer.optimizer))
    return _report(trainer.run())


def _add_flag(group: Any, entry: Field) -> None:
    """The flag that overrides an entry of `train:`; not given it is None."""
    kind, default = entry.metadata["allowed"].kind, entry.default
    flag, options = f"--{entry.metadata['flag'] or entry.name}", {"dest": entry.name, "help": entry.metadata["text"]}
    if kind is bool:
        group.add_argument(flag, action="store_true", default=None, **options)
        return
    if default not in (None, ()):
        options["help"] += f"; default {default}"
    if choices := entry.metadata["allowed"].choices:
        options["choices"] = choices
    elif kind is tuple:
        options.update(nargs="+", metavar="PATTERN")
    else:
        options.update(type=checked(entry.metadata["allowed"], kind), metavar="N" if kind is int else "X")
    group.add_argument(flag, **options)


def _scale_learning_rate(config: Config, factor: float) -> None:
    schedule = config.dic["lr_scheduler"]
    if "learning_rate" not in schedule:
        raise UserError("`auto_scale_lr`: lr_scheduler has no learning_rate to scale")
    schedule["learning_rate"] *= factor
    logger.info(f"--auto_scale_lr: learning rate × {factor:g} = {schedule['learning_rate']:g}")


def _report(result: TrainResult) -> int:
    if result.signal is None:
        logger.info(f"finished at iteration {result.iteration}; newest checkpoint: {result.checkpoint}")
        return 0
    name = signal.Signals(result.signal).name
    logger.info(
        f"stopped by {name} at iteration {result.iteration}, saved {result.checkpoint}; "
        f"to go on: {shlex.join([*_without_resume(sys.argv), '--resume', 'auto'])}"
    )
    return STOPPED_BY_SIGNAL + result.signal


def _without_resume(command: list[str]) -> list[str]:
    """The command line that started this run, less ``--resume PATH``."""
    kept = [part for part in command if not part.startswith(("--resume=", "--resume_model="))]
    for flag in ("--resume", "--resume_model"):
        if flag in kept:
            del kept[kept.index(flag) : kept.index(flag) + 2]
    script = Path(kept[0])
    if script.name == "__main__.py":
        return ["python", "-m", script.parent.name, *kept[1:]]
    return ["python", *kept] if script.suffix == ".py" else kept
