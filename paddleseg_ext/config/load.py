"""Reading a YAML file in PaddleSeg's format, with `imports:` and `train:` beside PaddleSeg's own sections."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from paddleseg.cvlibs import Config, manager

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


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once; otherwise the last of them would count, and the others be lost silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        first: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first and name != "<<":
                raise UserError(f"{name!r} stands twice in the same section, in lines {first[name]} and {line}")
            first[name] = line
        return super().construct_mapping(node, deep)


class _Config(Config):
    """PaddleSeg's configuration, in which ``train`` and ``imports`` are there before entries are replaced."""

    @classmethod
    def _parse_from_yaml(cls, path: str, *args: Any, **keywords: Any) -> dict:
        dic = super()._parse_from_yaml(path, *args, **keywords)
        imports = list(dict.fromkeys(name for _, names in _imports(Path(path)) for name in names))
        if imports:
            dic["imports"] = imports
        dic["train"] = dic.get("train") or {}
        return dic

    @classmethod
    def update_config_dict(cls, dic: dict, *args: Any, learning_rate: float | None = None, **keywords: Any) -> dict:
        if learning_rate is not None:  # 0 too, which PaddleSeg takes for none
            dic = {**dic, "lr_scheduler": {**(dic.get("lr_scheduler") or {}), "learning_rate": learning_rate}}
        dic = super().update_config_dict(dic, *args, **keywords)
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
        path: The YAML file.
        learning_rate: Replaces ``lr_scheduler.learning_rate``.
        batch_size: Replaces ``batch_size``, the images per device.
        iters: Replaces ``iters``.
        opts: ``key.subkey=value`` replacements.
        train: Replaces entries of ``train``.

    Raises:
        UserError: the file is missing, is not YAML, has a key that nothing reads, breaks one of PaddleSeg's rules, or
            names a module that cannot be imported.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"Configuration not found: {path} is not a file.")
    with _named(path):
        config = _read(path, learning_rate=learning_rate, batch_size=batch_size, iters=iters, opts=opts)
        written = TrainConfig.of(config.dic["train"])
    config.dic["train"] = replace(written, **(train or {})).to_section()
    with _named(path):
        _write_out_defaults(config)
    return config


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Within the block a `UserError` that does not name the file gets its name."""
    try:
        yield
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"{path}: {error}") from error


def _read(path: Path, **replacements: Any) -> Config:
    """The configuration as the files say it, with what PaddleSeg and the file system find wrong as sentences."""
    try:
        import_modules(path)
        return _Config(str(path), **replacements)
    except UserError:
        raise
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {reason(error)}.") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: its _base_ file {error.filename} does not exist.") from error
    except OSError as error:
        raise UserError(f"{path}: {error.filename} cannot be read ({error.strerror}).") from error
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {reason(error)}") from error


def import_modules(path: Path) -> None:
    """Import what a configuration and its ``_base_`` files name under ``imports``.

    Raises:
        UserError: a module cannot be imported; other errors of reading the files pass.
    """
    for file, names in _imports(path):
        _import(names, file)


def train_config(config: Config) -> TrainConfig:
    """The section `train:` of a configuration."""
    return TrainConfig.of(config.dic.get("train"))


def _imports(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The files of a configuration, from the root of its ``_base_`` files to itself, and the modules each names."""
    content = yaml.load(path.read_bytes(), _Loader)
    if not isinstance(content, dict):
        raise UserError(f"{path}: it holds {type(content).__name__}, not keys and values.")
    bases = content.get("_base_") or []
    for base in [bases] if isinstance(bases, str) else bases:
        yield from _imports(path.parent / base)
    names = content.get("imports") or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: imports: {names!r} is not allowed; it is a list of modules, e.g. [my_package.heads]")
    yield path, names


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
