"""PaddleSeg's builder, with every failure told in one sentence."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import paddle
from paddle import nn
from paddleseg.cvlibs import Config, SegBuilder, manager

from paddleseg_ext.backbones.maps import without_sync
from paddleseg_ext.backbones.needs import missing_argument
from paddleseg_ext.checkpoint.download import local_file
from paddleseg_ext.checkpoint.load import load_weights
from paddleseg_ext.compat.paddleseg import quiet
from paddleseg_ext.config.load import load_config
from paddleseg_ext.data.checks import check_preprocessing
from paddleseg_ext.data.classes import class_names, palette
from paddleseg_ext.data.description import describe
from paddleseg_ext.data.image_decoding import check_range
from paddleseg_ext.data.pairs import read_pairs
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.evaluation.task import Task
from paddleseg_ext.registry import argument_names, closest, unknown_argument

logger = logging.getLogger(__name__)


class Builder(SegBuilder):
    """PaddleSeg's builder, quiet, strict about weights, and raising `UserError` in one sentence.

    Like its parent it builds each of ``model``, ``loss``, ``optimizer``, ``lr_scheduler``, ``train_dataset``,
    ``val_dataset`` and ``val_transforms`` when first asked for.

    Args:
        config: Of `load_config`.
        pretrained: Load the weights that the model's section names for the start of a training. Without them nothing
            is fetched, as where other weights are about to be loaded.

    Raises:
        UserError: On access to a section: it is missing, or its component cannot be built.
    """

    def __init__(self, config: Config, pretrained: bool = True) -> None:
        super().__init__(config)
        self.pretrained = pretrained

    @classmethod
    def show_msg(cls, name: str, cfg: dict[str, Any]) -> None:
        """Nothing: PaddleSeg prints every section here, and the configuration is printed once, elsewhere.

        Args:
            name: Of the section.
            cfg: The section.
        """

    def load_component_class(self, class_type: str) -> Any:
        """The class or function that is registered under a name.

        Args:
            class_type: The name, as under ``type:`` in a configuration.

        Raises:
            UserError: There is none; the message names the likeliest misspelling.
        """
        known = {name: item for registry in self.comp_list for name, item in registry.components_dict.items()}
        if class_type not in known:
            raise UserError(f"Unknown type '{class_type}' in the configuration{closest(str(class_type), known)}")
        return known[class_type]

    def build_component(self, cfg: dict[str, Any]) -> Any:
        """Build what a section describes, and what its own sections describe before.

        Args:
            cfg: ``type`` and the arguments.

        Raises:
            UserError: The type is unknown, or the constructor refuses an argument.
        """
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
        """The model, with the weights that ``model.pretrained`` and ``model.backbone.pretrained`` name.

        Raises:
            UserError: It cannot be built, or the weights cannot be fetched or have nothing for it.
        """
        config = self.config.model_cfg
        backbone = dict(config.get("backbone") or {})
        whole, part = config.pop("pretrained", None), backbone.pop("pretrained", None)
        if not self.pretrained:
            whole = part = None
        if backbone:
            config["backbone"], name = backbone, str(backbone.get("type"))
            if needed := missing_argument(name, backbone):
                head = (config.get("decode_head") or config).get("type")
                raise UserError(f"{head} cannot be put on {name}, which {needed}")
            if needs_weights(manager.BACKBONES.components_dict.get(name)):
                backbone["pretrained"], part = part and local_file(part, "model.backbone.pretrained"), None
        model = self.build_component(config)
        if paddle.get_device() == "cpu":
            without_sync(model)  # a CPU has no kernel for it
        left = _load(model, whole, "model.pretrained")
        if part and hasattr(model, "backbone") and (not whole or any(name.startswith("backbone.") for name in left)):
            _load(model.backbone, part, "model.backbone.pretrained")
            if whole:
                load_weights(model, local_file(whole, "model.pretrained"), complete=False)
        return model

    def model_with(self, weights: str | Path) -> nn.Layer:
        """The model with trained weights, all of it; those for the start of a training are not fetched.

        Args:
            weights: A file or a folder; see `load_weights`.

        Raises:
            UserError: As `load_weights`.
        """
        self.pretrained = False
        load_weights(self.model, weights)
        return self.model

    @cached_property
    def loss(self) -> dict[str, list]:
        """``types``, the losses of the model's outputs in their order, and ``coef``, their weights."""
        return self._in_section("loss", SegBuilder.loss.func)

    @cached_property
    def optimizer(self) -> paddle.optimizer.Optimizer:
        """The optimizer of the model's parameters, with `lr_scheduler`."""
        return self._in_section("optimizer", SegBuilder.optimizer.func)

    @cached_property
    def lr_scheduler(self) -> paddle.optimizer.lr.LRScheduler:
        """The learning rate's schedule, which counts iterations."""
        return self._in_section("lr_scheduler", SegBuilder.lr_scheduler.func)

    @cached_property
    def train_dataset(self) -> paddle.io.Dataset:
        """The training data, with their transforms."""
        return self._in_section("train_dataset", SegBuilder.train_dataset.func)

    @cached_property
    def val_dataset(self) -> paddle.io.Dataset:
        """The validation data, with their transforms."""
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
        """The transforms of the validation data, which need not be there."""
        return self._in_section("val_dataset.transforms", SegBuilder.val_transforms.func)

    @cached_property
    def task(self) -> Task:
        """What the section `val_dataset` says of images and classes; the data need not be there.

        Raises:
            UserError: It does not tell the number of classes, or its transforms do not suit its images.
        """
        section, known = self.config.val_dataset_cfg, self.val_dataset_class
        if not hasattr(known, "NUM_CLASSES"):
            if not section.get("num_classes"):
                raise UserError("val_dataset: num_classes is missing, the number of classes")
            known = SimpleNamespace(num_classes=section["num_classes"])
        channels, image_range = int(section.get("img_channels", 3)), section.get("image_range")
        check_range(image_range)
        check_preprocessing(self.val_transforms, channels, self.config.dic["model"])
        test_config = self.config.test_config
        return Task(class_names(known), palette(known), self.val_transforms, channels, image_range, test_config)

    def _in_section(self, name: str, build: Callable[[SegBuilder], Any]) -> Any:
        """Build a section as PaddleSeg does, and name it and its folder when that fails."""
        try:
            with quiet():
                return build(self)
        except (AssertionError, UserError, RuntimeError, KeyError, ValueError, OSError) as error:
            section = self.config.dic.get(name, {}) if name.endswith("_dataset") else {}
            text = _wrong_in_list(section) or _no_folder(section, error) or reason(error)
            root = section.get("dataset_root")
            if root and str(root) not in text:
                text += f" (dataset_root: {root})"
            raise UserError(f"{name}: {text}") from error


def _no_folder(section: Mapping[str, Any], error: Exception) -> str | None:
    """That the data's folder is not there, where PaddleSeg says only that something is wrong with it; or None."""
    root, told = section.get("dataset_root"), getattr(error.__cause__, "__context__", None)
    if not isinstance(root, str) or not root or Path(root).is_dir() or isinstance(told, UserError):
        return None
    return f"{section.get('type')}: there is no folder {root}; dataset_root says where the data are, or a link to them"


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


def build_transforms(entries: Sequence[Mapping[str, Any]]) -> list[Any]:
    """PaddleSeg's transforms from entries as a configuration has them; nothing but transforms is built.

    Args:
        entries: ``type`` and the arguments of each, in the order in which they are applied.

    Raises:
        UserError: An entry is none of a registered transform, or its constructor refuses it.
    """
    for entry in entries:
        if not isinstance(entry, Mapping) or entry.get("type") not in list(manager.TRANSFORMS.components_dict):
            kind = entry.get("type") if isinstance(entry, Mapping) else entry
            raise UserError(f"transforms: {kind!r} is no known transform; one of your own has to be imported before")
    builder = Builder(SimpleNamespace())
    builder.comp_list = [manager.TRANSFORMS]
    return [builder.build_component(dict(entry)) for entry in entries]


def build_model(path: str | Path, *, pretrained: bool = True, **overrides: Any) -> nn.Layer:
    """The model of a YAML file: ``build_model("pspnet_resnet50_vd_os8_cityscapes_1024x512_80k")``.

    Args:
        path: The YAML file, or the name of a configuration that comes with the package.
        pretrained: As in `Builder`: without it the weights that the file names are neither fetched nor loaded.
        **overrides: Arguments of `load_config` that replace entries, such as ``opts``.

    Raises:
        UserError: As `load_config`; or the model cannot be built, or its weights cannot be fetched.
    """
    return Builder(load_config(path, **overrides), pretrained).model


def needs_weights(component: Any) -> bool:
    """Whether a constructor cannot do without ``pretrained``, so that it loads the weights itself."""
    parameters = inspect.signature(component).parameters if callable(component) else {}
    return "pretrained" in parameters and parameters["pretrained"].default is inspect.Parameter.empty


def _load(layer: nn.Layer, source: str | None, key: str) -> list[str]:
    """Load the weights that a key names; names of the layer's that were not among them."""
    if not source:
        return []
    file = local_file(source, key)
    found = load_weights(layer, file, complete=False)
    logger.info(f"{key}: {file}: {found.summary()}")
    return [*found.missing, *(name for name, _, _ in found.mismatched)]
