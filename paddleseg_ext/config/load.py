"""Reading a YAML file in PaddleSeg's format, with `imports:` and `train:` beside PaddleSeg's own sections."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from paddleseg.cvlibs import Config, manager

from paddleseg_ext.config.files import Merged, read_files
from paddleseg_ext.config.opts import replaced
from paddleseg_ext.config.shipped import config_path
from paddleseg_ext.config.structure import check_same_normalization, check_structure
from paddleseg_ext.config.train import TrainConfig
from paddleseg_ext.data.description import Description, describe
from paddleseg_ext.errors import UserError, reason

OURS = ("imports", "train")
PADDLESEGS = (
    *("batch_size", "iters", "train_dataset", "val_dataset", "model", "loss", "distill_loss", "optimizer"),
    *("lr_scheduler", "test_config", "export", "to_static_training", "uniform_output_enabled", "print_mem_info"),
    *("pdx_model_name", "hpi_config_path", "label_divisor"),
)


class _Config(Config):
    """PaddleSeg's configuration, from files that were read already."""

    def __init__(self, merged: Merged, path: Path, **replacements: Any) -> None:
        self._content = merged.content
        super().__init__(str(path), **replacements)

    def _parse_from_yaml(self, path: str, *args: Any, **keywords: Any) -> dict:  # type: ignore[override]
        return self._content

    @classmethod
    def update_config_dict(
        cls,
        dic: dict,
        learning_rate: float | None = None,
        opts: list[str] | None = None,
        **others: Any,  # each version of PaddleSeg has its own
    ) -> dict:
        if learning_rate is not None:  # 0 too, which PaddleSeg takes for none
            dic = {**dic, "lr_scheduler": {**(dic.get("lr_scheduler") or {}), "learning_rate": learning_rate}}
        dic = super().update_config_dict(dic, **others)
        dic = replaced(dic, opts or ())
        check_structure(dic, (*PADDLESEGS, *OURS))
        check_same_normalization(dic)
        return dic


def load_config(
    path: str | Path,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    iters: int | None = None,
    opts: list[str] | None = None,
    train: dict[str, Any] | None = None,
) -> Config:
    """Read a YAML file with its ``_base_`` files, and import the modules that they name under ``imports``.

    In the result every default is written out, those of the section `train:` too.

    Args:
        path: The YAML file, or the name of a configuration that comes with the package; see `config_path`.
        learning_rate: Replaces ``lr_scheduler.learning_rate``, the rate at the start.
        batch_size: Replaces ``batch_size``, the images per device.
        iters: Replaces ``iters``, the optimizer steps of a run.
        opts: ``key.subkey=value`` replacements.
        train: Replaces entries of ``train``; see `TrainConfig`.

    Returns:
        PaddleSeg's `Config`, which `Builder` takes; its attribute ``dic`` holds all sections.

    Raises:
        UserError: the file is missing, is not YAML, has a key that nothing reads, breaks one of PaddleSeg's rules, or
            names a module that cannot be imported.
    """
    path = config_path(path)
    merged = _read(path)
    with _located(path, merged, opts or ()):
        config = _checked(path, merged, learning_rate=learning_rate, batch_size=batch_size, iters=iters, opts=opts)
        written = TrainConfig.of(config.dic["train"])
    config.dic["train"] = replace(written, **(train or {})).to_section()
    with _located(path, merged, opts or ()):
        _write_out_defaults(config)
    return config


@contextmanager
def _located(path: Path, merged: Merged, opts: Sequence[str]) -> Iterator[None]:
    """Within the block a `UserError` gets the file's name and, where its entry was written, the line."""
    try:
        yield
    except UserError as error:
        told = str(error)
        if str(path) in told:
            raise
        given = any(told.startswith(opt.partition("=")[0].strip()) for opt in opts)
        raise UserError(f"{path}: {told}{'' if given else merged.where(told)}") from error


def _read(path: Path) -> Merged:
    """The files of a configuration, with the modules that they name imported and listed."""
    merged = read_files(path)
    names = {file: _imports(file, content) for file, content in merged.files}
    for file, modules in names.items():
        _import(modules, file)
    if modules := list(dict.fromkeys(name for modules in names.values() for name in modules)):
        merged.content["imports"] = modules
    merged.content["train"] = merged.content.get("train") or {}
    return merged


def _checked(path: Path, merged: Merged, **replacements: Any) -> Config:
    """The configuration with replacements made, and what PaddleSeg finds wrong as sentences."""
    try:
        return _Config(merged, path, **replacements)
    except UserError:
        raise
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {reason(error)}") from error


def import_modules(path: str | Path) -> None:
    """Import what a configuration and its ``_base_`` files name under ``imports``.

    Raises:
        UserError: A file is no configuration, or a module cannot be imported.
    """
    _read(config_path(path))


def train_config(config: Config) -> TrainConfig:
    """The section `train:` of a configuration."""
    return TrainConfig.of(config.dic.get("train"))


def _imports(path: Path, content: dict[str, Any]) -> list[str]:
    """The modules that a file names."""
    names = content.get("imports") or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip(". ") for name in names):
        raise UserError(f"{path}: imports: {names!r} is not allowed; it is a list of modules, e.g. [my_package.heads]")
    return names


def _import(names: list[str], path: Path) -> None:
    """Import a user's modules, which register heads, data sets and the like; the current folder is searched too."""
    if names and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # a module runs any code at all
            raise UserError(
                f"{path}: imports: {name} cannot be imported ({type(error).__name__}: {reason(error)}); it is searched "
                "for in the current folder and among the installed packages"
            ) from error


def _write_out_defaults(config: Config) -> None:
    """Copy what is known of the data set into the configuration, as PaddleSeg does with a warning for each.

    Raises:
        UserError: Model and data set, or the two data sets, contradict each other.
    """
    known = _described(config, "train_dataset")
    if known is None:
        return
    if isinstance(known, Description):
        _check_described(config, known)
    if hasattr(known, "NUM_CLASSES"):
        config.dic["model"].setdefault("num_classes", known.NUM_CLASSES)
    if hasattr(known, "IMG_CHANNELS"):
        backbone = config.dic["model"].get("backbone", config.dic["model"])
        backbone.setdefault("in_channels", known.IMG_CHANNELS)
    if hasattr(known, "IGNORE_INDEX"):
        for loss in config.dic["loss"]["types"]:
            for term in loss.get("losses", [loss]):
                term.setdefault("ignore_index", known.IGNORE_INDEX)


def _described(config: Config, name: str) -> Any:
    """What is known of a data set; classes that its section named by a file are written into the section."""
    section = config.dic.get(name) or {}
    dataset = manager.DATASETS.components_dict.get(section.get("type"))
    if dataset is None:
        return None
    try:
        known = describe(dataset, section)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    if isinstance(known, Description):
        config.dic[name] = {**section, **known.entries()}
    return known


def _check_described(config: Config, known: Description) -> None:
    """Hold the other sections to what the training data's section says."""
    model = config.dic["model"]
    value = _described(config, "val_dataset")
    if value is not None and getattr(value, "CLASSES", known.CLASSES) != known.CLASSES:
        raise UserError("val_dataset: its classes are not those of train_dataset; write them once, in the same file")
    if (count := model.get("num_classes", known.NUM_CLASSES)) != known.NUM_CLASSES:
        raise UserError(
            f"model.num_classes: {count}, but train_dataset has {known.NUM_CLASSES} classes; leave the entry out"
        )
    channels = model.get("backbone", model).get("in_channels", known.IMG_CHANNELS)
    if channels != known.IMG_CHANNELS:
        raise UserError(
            f"model: in_channels: {channels}, but img_channels of train_dataset is {known.IMG_CHANNELS}; leave the "
            "entry out"
        )
