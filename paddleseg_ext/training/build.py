"""From a configuration to a trainer, for the command line and for notebooks."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Any

from paddleseg.cvlibs import Config

from paddleseg_ext.builder import Builder
from paddleseg_ext.checkpoint.run.damage import check_record
from paddleseg_ext.checkpoint.run.lock import check_free
from paddleseg_ext.checkpoint.save import latest_checkpoint, read_record
from paddleseg_ext.config.load import train_config
from paddleseg_ext.data.checks import channels_of, check_channels, check_class_weights, check_files, check_transforms
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.predictor import read_test_config
from paddleseg_ext.runtime import distributed
from paddleseg_ext.runtime.device import search_kernels
from paddleseg_ext.runtime.seeding import ITERATION, seed_all
from paddleseg_ext.training.checks import check_cityscapes
from paddleseg_ext.training.config import RunConfig
from paddleseg_ext.training.deterministic import be_deterministic
from paddleseg_ext.training.param_groups import exempt_from_decay, freeze, scale_head, sync_batch_norm
from paddleseg_ext.training.reporting.run_log import RunLog
from paddleseg_ext.training.trainer import Trainer

logger = logging.getLogger(__name__)


def run_config(config: Config, save_dir: str | Path, use_vdl: bool = False, use_tensorboard: bool = False) -> RunConfig:
    """What a configuration says of a run, and where it leaves its files.

    Args:
        config: Of `load_config`.
        save_dir: Folder for checkpoints, metrics and the curves.
        use_vdl: Write scalars and images for VisualDL.
        use_tensorboard: Write them for TensorBoard.

    Raises:
        UserError: `test_config` has a key that is not supported.
    """
    return RunConfig(
        iters=config.iters,
        batch_size=config.batch_size,
        save_dir=save_dir,
        train=train_config(config),
        use_vdl=use_vdl,
        use_tensorboard=use_tensorboard,
        test_config=read_test_config(config.test_config),
        config=config.dic,
    )


def build_trainer(config: Config, run: RunConfig, resume: str | Path | None = None, anyway: bool = False) -> Trainer:
    """The trainer of a configuration; without a seed in `train:`, or in the checkpoint, one is drawn.

    ``build_trainer(config, run_config(config, "output")).run()`` trains.

    Args:
        config: Of `load_config`.
        run: Of `run_config`, perhaps changed.
        resume: A checkpoint folder to go on from, or ``auto``: the newest in `save_dir`, if there is one.
        anyway: Resume although other settings would give other weights.

    Raises:
        UserError: Whatever is wrong with the configuration, its data sets, its weights or the checkpoint.
    """
    log = RunLog() if distributed.rank() == 0 else None  # what is said while building belongs to the run
    try:
        trainer = _build(config, run, resume, anyway)
    except BaseException:
        if log:
            log.close()
        raise
    if trainer.metrics:
        trainer.metrics.log = log
    return trainer


def _build(config: Config, run: RunConfig, resume: str | Path | None, anyway: bool) -> Trainer:
    train = run.train
    train.check_used()
    if train.deterministic:
        be_deterministic()
    if train.autotune and not search_kernels():
        logger.warning("warning: `autotune` has no effect here: only on a GPU has Paddle algorithms to choose from")
    check_cityscapes(config.train_dataset_cfg, "train_dataset")
    if train.do_eval:
        if not config.val_dataset_cfg:
            raise UserError("`do_eval`: the configuration has no val_dataset")
        check_cityscapes(config.val_dataset_cfg, "val_dataset")
    builder = Builder(config)
    train_dataset: Any = builder.train_dataset
    val_dataset: Any = builder.val_dataset if train.do_eval else None
    _check_data(config, [("train_dataset", train_dataset), ("val_dataset", val_dataset)])
    if distributed.rank() == 0:
        check_free(Path(run.save_dir))
    checkpoint = _checkpoint(resume, run.save_dir)
    if distributed.world_size() > 1:  # before anything else that the processes do together
        distributed.check_same_start(_iteration(checkpoint) if checkpoint else 0)
    if train.seed is None and checkpoint is None:
        run = run.with_seed(distributed.all_reduce_max(secrets.randbits(32)))
    seed_all(ITERATION, run.train.seed or 0, 0)  # the initial weights; iterations count from 1
    if checkpoint is None:
        _tell_of_random_backbone(config.model_cfg)
    builder.pretrained = checkpoint is None  # its weights take the place of others
    model = builder.model
    freeze(model, train.freeze)
    sync_batch_norm(model)  # those that learn
    optimizer = builder.optimizer
    if train.head_lr != 1:
        scale_head(model, train.head_lr)
    if train.no_decay:
        exempt_from_decay(model, optimizer)
    check_class_weights(builder.loss, train_dataset.num_classes)
    trainer = Trainer(model, train_dataset, builder.loss, optimizer, run, val_dataset)
    if checkpoint is not None:
        trainer.restore(checkpoint, anyway)
    return trainer


def _tell_of_random_backbone(model: dict[str, Any]) -> None:
    """Published scores start from ImageNet weights; without them a training looks alike and ends far below."""
    backbone = model.get("backbone")
    if backbone and not backbone.get("pretrained") and not model.get("pretrained"):
        logger.warning(
            f"warning: the backbone {backbone['type']} starts from random weights; name pretrained ones under "
            "model.backbone.pretrained, or those of a whole network under model.pretrained"
        )


def _check_data(config: Config, sections: list[tuple[str, Any]]) -> None:
    """Compare the data sets that there are with their files, their transforms, each other and the model."""
    sections = [(key, dataset) for key, dataset in sections if dataset is not None]
    for key, dataset in sections:
        check_files(dataset, key)
        check_transforms(dataset, key, evaluated=key == "val_dataset")
    check_channels({key: channels_of(dataset) for key, dataset in sections}, config.dic["model"])


def _checkpoint(resume: str | Path | None, save_dir: str | Path) -> Path | None:
    if str(resume) != "auto":
        return _behind_last(Path(resume)) if resume else None
    found = latest_checkpoint(save_dir)
    logger.info(f"resuming from {found}" if found else f"resume auto: no checkpoint in {save_dir}, starting anew")
    return found


def _behind_last(path: Path) -> Path:
    """The checkpoint that ``last`` stands for, be it a link or a copy; others stand for themselves."""
    if path.name != "last" or not path.is_dir():
        return path
    found = path.with_name(path.resolve().name if path.is_symlink() else f"iter_{_iteration(path)}")
    return found if found.is_dir() else path


def _iteration(checkpoint: Path) -> int:
    record = read_record(checkpoint)
    check_record(record, checkpoint)
    return record["iteration"]
