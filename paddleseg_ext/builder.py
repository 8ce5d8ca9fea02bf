"""PaddleSeg's builder, with every failure told in one sentence."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlparse

import paddle
from paddle import nn
from paddleseg.cvlibs import SegBuilder
from paddleseg.utils import utils as paddleseg_utils

from paddleseg_ext.checkpoint.load import load_weights
from paddleseg_ext.checkpoint.packaged import weight_file
from paddleseg_ext.compat.paddleseg import quiet
from paddleseg_ext.config.load import load_config
from paddleseg_ext.data.description import describe
from paddleseg_ext.data.pairs import read_pairs
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.registry import argument_names, closest, unknown_argument

logger = logging.getLogger(__name__)


class Builder(SegBuilder):
    """PaddleSeg's builder, quiet, strict about weights, and raising `UserError` in one sentence.

    Like its parent it builds each of ``model``, ``loss``, ``optimizer``, ``lr_scheduler``, ``train_dataset``,
    ``val_dataset`` and ``val_transforms`` when first asked for.
    """

    @classmethod
    def show_msg(cls, name: str, cfg: dict[str, Any]) -> None:
        """PaddleSeg prints every section here; the configuration is printed once, elsewhere."""

    def load_component_class(self, class_type: str) -> Any:
        known = {name: item for registry in self.comp_list for name, item in registry.components_dict.items()}
        if class_type not in known:
            raise UserError(f"Unknown type '{class_type}' in the configuration{closest(str(class_type), known)}")
        return known[class_type]

    def build_component(self, cfg: dict[str, Any]) -> Any:
        try:
            with quiet():
                return super().build_component(cfg)
        except UserError:
            raise
        except RuntimeError as error:
            raise UserError(self._explain(str(cfg.get("type")), error)) from error

    def _explain(self, name: str, error: RuntimeError) -> str:
        """The sentence for a component that its constructor refused.

        PaddleSeg wraps whatever was raised in a RuntimeError of several lines; the cause is what matters.
        """
        cause = error.__context__ or error
        if isinstance(cause, UserError):
            return str(cause)
        text = reason(cause)
        if isinstance(cause, TypeError) and "unexpected keyword argument" in text:
            key = text.rsplit("'", 2)[1]
            component = self.load_component_class(name)
            allowed = argument_names(component) if inspect.isclass(component) else []
            return unknown_argument(name, key, allowed)
        return text if text.startswith(name) else f"{name}: {text}"

    @cached_property
    def model(self) -> nn.Layer:
        """The model, with the weights that ``model.pretrained`` and ``model.backbone.pretrained`` name."""
        config = self.config.model_cfg
        backbone = dict(config.get("backbone") or {})
        model_weights, backbone_weights = config.pop("pretrained", None), backbone.pop("pretrained", None)
        if backbone:
            config["backbone"] = backbone
        model = self.build_component(config)
        for key, layer, source in [
            ("model.backbone.pretrained", getattr(model, "backbone", None), backbone_weights),
            ("model.pretrained", model, model_weights),
        ]:
            if source and layer is not None:
                file = local_file(source, key)
                logger.info(f"{key}: {file}: {load_weights(layer, file, complete=False).summary()}")
        return model

    @cached_property
    def loss(self) -> dict[str, list]:
        return self._in_section("loss", SegBuilder.loss.func)

    @cached_property
    def optimizer(self) -> paddle.optimizer.Optimizer:
        return self._in_section("optimizer", SegBuilder.optimizer.func)

    @cached_property
    def lr_scheduler(self) -> paddle.optimizer.lr.LRScheduler:
        return self._in_section("lr_scheduler", SegBuilder.lr_scheduler.func)

    @cached_property
    def train_dataset(self) -> paddle.io.Dataset:
        return self._in_section("train_dataset", SegBuilder.train_dataset.func)

    @cached_property
    def val_dataset(self) -> paddle.io.Dataset:
        return self._in_section("val_dataset", SegBuilder.val_dataset.func)

    @cached_property
    def train_dataset_class(self) -> Any:
        """What PaddleSeg asks for `NUM_CLASSES`, `IMG_CHANNELS` and `IGNORE_INDEX`: see `describe`."""
        known = self._in_section("train_dataset", SegBuilder.train_dataset_class.func)
        return describe(known, self.config.train_dataset_cfg)

    @cached_property
    def val_dataset_class(self) -> Any:
        """As `train_dataset_class`."""
        known = self._in_section("val_dataset", SegBuilder.val_dataset_class.func)
        return describe(known, self.config.val_dataset_cfg)

    @cached_property
    def val_transforms(self) -> list:
        return self._in_section("val_dataset.transforms", SegBuilder.val_transforms.func)

    def _in_section(self, name: str, build: Callable[[SegBuilder], Any]) -> Any:
        """Build a section as PaddleSeg does, and name it and its folder when that fails."""
        try:
            with quiet():
                return build(self)
        except (AssertionError, UserError, RuntimeError, KeyError, ValueError, OSError) as error:
            section = self.config.dic.get(name, {}) if name.endswith("_dataset") else {}
            text = _wrong_in_list(section) or reason(error)
            root = section.get("dataset_root")
            if root and str(root) not in text:
                text += f" (dataset_root: {root})"
            raise UserError(f"{name}: {text}") from error


def _wrong_in_list(section: Mapping[str, Any]) -> str | None:
    """What is wrong with the list of PaddleSeg's `Dataset`, which tells neither the list nor the line; or None."""
    mode = section.get("mode", "train")
    if not (path := section.get(f"{mode}_path")):
        return None
    root, separator = Path(section.get("dataset_root") or ""), section.get("separator", " ")
    try:
        read_pairs(Path(path), root, separator, with_labels=mode != "test")
    except UserError as error:
        return str(error)
    return None


def build_model(path: str | Path, **overrides: Any) -> nn.Layer:
    """The model of a YAML file: ``build_model("configs/psp/….yml")``; overrides as in `load_config`."""
    return Builder(load_config(path, **overrides)).model


def local_file(source: str, key: str) -> str:
    """The path of weights named by a path, an address, or a name of `checkpoint.packaged`.

    What was downloaded before is not downloaded again.

    Raises:
        UserError: the download fails, or the package of that name is not installed.
    """
    if not urlparse(source).netloc:
        return weight_file(source, key)
    try:
        return paddleseg_utils.download_pretrained_model(source)
    except Exception as error:  # the network fails in many ways
        raise UserError(
            f"{key}: {source} cannot be downloaded ({reason(error)}). "
            f"Fetch it elsewhere and set {key} to the file's path, or to nothing to train from scratch."
        ) from error
