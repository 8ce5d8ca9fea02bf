"""Train a network from a YAML file in PaddleSeg's format."""

from __future__ import annotations

import argparse
import logging
import secrets
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from paddleseg.cvlibs import Config

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.checkpoint import save as checkpoint
from paddleseg_ext.cli.common import add_config_arguments, set_device
from paddleseg_ext.cli.dry_run import rehearse
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.metrics import Scores
from paddleseg_ext.evaluation.predictor import read_test_config
from paddleseg_ext.runtime import distributed as parallel
from paddleseg_ext.runtime.amp import LEVELS, TYPES
from paddleseg_ext.runtime.seeding import ITERATION, be_deterministic, seed_all
from paddleseg_ext.training import checks as preflight
from paddleseg_ext.training.config import Options, Outcome
from paddleseg_ext.training.param_groups import exempt_from_decay, freeze, scale_head, summary
from paddleseg_ext.training.trainer import Trainer

STOPPED_BY_SIGNAL = 128  # plus the signal's number, as shells report it
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, under PaddleSeg's names where it has them."""
    add_config_arguments(parser)
    positive, natural = _at_least(1), _at_least(0)
    add = parser.add_argument_group("run").add_argument
    add("--save_dir", default="output", help="folder for checkpoints, metrics and the curve")
    add("--resume", "--resume_model", metavar="PATH", help="checkpoint folder, or auto: the newest in save_dir, if any")
    add("--seed", type=natural, help="makes the run reproducible; default: a random one, printed")
    add("--deterministic", action="store_true", help="on a GPU too, use only operations that always add up alike")
    add("--dry_run", action="store_true", help="do everything once, in a temporary folder, to see that it works")
    add("--save_interval", type=positive, default=1000, help="iterations between checkpoints")
    add("--keep_checkpoint_max", type=natural, default=5, help="checkpoints to keep; 0 keeps all")
    add("--log_iters", type=positive, default=10, help="iterations between progress lines")
    add("--use_vdl", action="store_true", help="write VisualDL scalars to save_dir")
    add("--do_eval", action="store_true", help="evaluate at each checkpoint and keep the best model")
    add("--best_metric", default="miou", choices=list(Scores.MEANS), help="what the best model is best in")
    add("--early_stop_intervals", type=positive, help="stop after so many evaluations in a row without improvement")
    add = parser.add_argument_group("data").add_argument
    add("--iters", type=positive, help="iterations (replaces the configuration's)")
    add("--batch_size", type=positive, help="images a batch on each device (replaces the configuration's)")
    add(
        "--accumulate",
        type=positive,
        default=1,
        help="batches an iteration, for an effective batch that many times larger",
    )
    add("--num_workers", type=natural, default=0, help="processes that read data")
    add("--skip_nonfinite", type=natural, default=0, help="iterations to skip, at most, for a loss that is not finite")
    add = parser.add_argument_group("learning").add_argument
    add("--learning_rate", type=float, help="learning rate (replaces lr_scheduler.learning_rate)")
    add(
        "--auto_scale_lr",
        type=positive,
        metavar="BATCH",
        help="the effective batch that the learning rate was chosen for: scale it in proportion to this run's",
    )
    add(
        "--head_lr",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="learning rate outside the backbone, relative to it",
    )
    add("--no_decay", action="store_true", help="no weight decay on biases and normalization layers")
    add("--freeze", nargs="+", default=[], metavar="PATTERN", help="parameters that do not learn, e.g. 'backbone.*'")
    add("--clip_norm", type=float, help="longest gradient; a longer one is shortened")
    add("--use_ema", action="store_true", help="average the weights over time; evaluate and keep the average")
    add("--ema_decay", type=float, default=0.999, help="weight of the past in that average")
    add("--precision", default="fp32", choices=list(TYPES), help="fp16 or bf16 compute in mixed precision on a GPU")
    add("--amp_level", default="O1", choices=LEVELS, help="O2 keeps the weights in half precision, too")


def run(args: argparse.Namespace) -> int:
    """Train; 0, or 128 plus the signal's number when SIGINT or SIGTERM stopped it after saving."""
    config = load_config(
        args.config, learning_rate=args.learning_rate, batch_size=args.batch_size, iters=args.iters, opts=args.opts
    )
    device = set_device(args.device)
    parallel.start()
    if args.deterministic:
        be_deterministic()
    effective = config.batch_size * args.accumulate * parallel.ranks()
    if args.auto_scale_lr:
        _scale_learning_rate(config, effective / args.auto_scale_lr)
    options = Options(
        iters=config.iters,
        batch_size=config.batch_size,
        save_dir=args.save_dir,
        accumulate=args.accumulate,
        save_interval=args.save_interval,
        log_iters=args.log_iters,
        num_workers=args.num_workers,
        keep_checkpoint_max=args.keep_checkpoint_max,
        seed=parallel.largest(secrets.randbits(32)) if args.seed is None else args.seed,
        resume=_resume(args.resume, args.save_dir),
        use_vdl=args.use_vdl,
        precision=args.precision,
        amp_level=args.amp_level,
        clip_norm=args.clip_norm,
        ema_decay=args.ema_decay if args.use_ema else None,
        early_stop_intervals=args.early_stop_intervals,
        skip_nonfinite=args.skip_nonfinite,
        metric=args.best_metric,
        test_config=read_test_config(config.test_config),
        config=str(config),
    )

    def make(options: Options) -> Trainer:
        return build(config, options, args.do_eval, args.freeze, args.head_lr, args.no_decay)

    if args.dry_run:
        rehearse(make, options)
        return 0
    trainer = make(options)
    logger.info(
        f"{args.config} on {device}: iterations {trainer.iteration} to {options.iters}, effective batch {effective} = "
        f"{options.batch_size} images × {parallel.ranks()} processes × {options.accumulate} accumulated, "
        f"{len(trainer.stream)} training images, seed {trainer.seed}, {args.precision}, output in {options.save_dir}"
    )
    if options.accumulate > 1:
        logger.info(f"accumulating: BatchNorm still takes its statistics over {options.batch_size} images at a time")
    logger.info(summary(trainer.model, trainer.optimizer))
    return _report(trainer.run(), options)


def build(
    config: Config,
    options: Options,
    do_eval: bool = False,
    frozen: Sequence[str] = (),
    head_lr: float = 1.0,
    no_decay: bool = False,
) -> Trainer:
    """The trainer of a configuration.

    Args:
        frozen: Patterns of parameters that do not learn.
        head_lr: Learning rate outside the backbone, relative to the backbone's.
        no_decay: Take weight decay from biases and normalization layers.

    Raises:
        UserError: Whatever is wrong with the configuration, its data sets or its weights.
    """
    preflight.check_cityscapes(config.train_dataset_cfg, "train_dataset")
    if do_eval:
        if not config.val_dataset_cfg:
            raise UserError("--do_eval: the configuration has no val_dataset")
        preflight.check_cityscapes(config.val_dataset_cfg, "val_dataset")
    builder = Builder(config)
    train_dataset, val_dataset = builder.train_dataset, builder.val_dataset if do_eval else None
    seed_all(ITERATION, options.seed, 0)  # the initial weights; iterations count from 1
    model = parallel.synchronize_batch_norm(builder.model)
    freeze(model, frozen)
    optimizer = builder.optimizer
    if head_lr != 1:
        scale_head(model, head_lr)
    if no_decay:
        exempt_from_decay(model, optimizer)
    return Trainer(model, train_dataset, builder.loss, optimizer, options, val_dataset)


def _scale_learning_rate(config: Config, factor: float) -> None:
    schedule = config.dic["lr_scheduler"]
    if "learning_rate" not in schedule:
        raise UserError("--auto_scale_lr: lr_scheduler has no learning_rate to scale")
    schedule["learning_rate"] *= factor
    logger.info(f"--auto_scale_lr: learning rate × {factor:g} = {schedule['learning_rate']:g}")


def _resume(wanted: str | None, save_dir: str) -> Path | None:
    if wanted != "auto":
        return Path(wanted) if wanted else None
    found = checkpoint.latest(save_dir)
    logger.info(f"resuming from {found}" if found else f"--resume auto: no checkpoint in {save_dir}, starting anew")
    return found


def _report(outcome: Outcome, options: Options) -> int:
    if outcome.signal is None:
        logger.info(f"finished at iteration {outcome.iteration}; newest checkpoint: {outcome.checkpoint}")
        return 0
    name = signal.Signals(outcome.signal).name
    logger.info(
        f"stopped by {name} at iteration {outcome.iteration}, saved {outcome.checkpoint}; "
        f"to go on: {shlex.join([*_without_resume(sys.argv), '--resume', 'auto'])}"
    )
    return STOPPED_BY_SIGNAL + outcome.signal


def _without_resume(command: list[str]) -> list[str]:
    """The command line that started this run, less ``--resume PATH``."""
    kept = [part for part in command if not part.startswith(("--resume=", "--resume_model="))]
    for flag in ("--resume", "--resume_model"):
        if flag in kept:
            del kept[kept.index(flag) : kept.index(flag) + 2]
    return ["python", *kept] if kept[0].endswith(".py") else kept


def _at_least(minimum: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{value} is less than {minimum}")
        return value

    return number
