"""The form of a configuration: which sections and keys it has, of which kind, and the numbers that would do harm.

PaddleSeg reads a configuration key by key, so that what it does not ask for is lost without a word, and what has
another form fails somewhere else, or trains. Arguments of components are checked by their constructors.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from paddleseg.cvlibs import manager

from paddleseg_ext.config.arguments import DATASETS, check_components, check_kinds, check_schedule
from paddleseg_ext.config.values import Allowed
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.registry import unknown_argument

SECTION, COUNT = Allowed(Mapping), Allowed(int, at_least=1)
FRACTION, RATE = Allowed(float, at_least=0, below=1), Allowed(float, above=0, at_most=1000)
FACTOR = Allowed(float, at_least=0, at_most=1e6)
LOSSES = ("loss", "distill_loss")
COMPONENTS = (*DATASETS, "model", "optimizer", "lr_scheduler")  # sections with a `type`
OPTIONAL = ("val_dataset", "distill_loss", "test_config", "export")
ENTRIES = {
    **{"batch_size": COUNT, "iters": COUNT},
    **{"optimizer.momentum": FRACTION, "optimizer.beta1": FRACTION, "optimizer.beta2": FRACTION},
    **{"optimizer.epsilon": RATE, "optimizer.weight_decay": FACTOR},
    **{"lr_scheduler.learning_rate": RATE, "lr_scheduler.end_lr": FACTOR, "lr_scheduler.warmup_start_lr": FACTOR},
    **{"lr_scheduler.warmup_iters": COUNT, "lr_scheduler.gamma": RATE, "lr_scheduler.power": RATE},
}


def check_structure(config: dict[str, Any], known: tuple[str, ...]) -> None:
    """Check the form of a merged configuration, and drop the optional sections that say null.

    Args:
        config: As read from the files, with all replacements made.
        known: Keys of the top level.

    Raises:
        UserError: A key is not known, or a value of another kind or outside its range.
    """
    for key in config:
        if key not in known:
            raise UserError(unknown_argument("the configuration", str(key), known))
    for key in OPTIONAL:
        if config.get(key, SECTION) is None:
            del config[key]
    for key in (*COMPONENTS, *LOSSES, *OPTIONAL):
        if key in config:
            _check(key, config[key], SECTION)
        if key in COMPONENTS and key in config and "type" not in config[key]:
            raise UserError(f"{key}: it has no type; its keys are {', '.join(map(str, config[key]))}")
    for key, value in config.items():
        _check_types(value, key)
    for name, allowed in ENTRIES.items():
        section, _, key = name.rpartition(".")
        found = config.get(section, {}) if section else config
        if found.get(key) is not None or (not section and key in found):
            _check(name, found[key], allowed)
    for name in DATASETS:
        if "transforms" in config.get(name, {}):
            _check_components(f"{name}.transforms", config[name]["transforms"])
    for name in LOSSES:
        if name in config:
            _check_losses(name, config[name])
    for name in (*DATASETS, *LOSSES, "model", "optimizer"):
        check_components(config.get(name), name)
    check_kinds(config.get("test_config", {}), Predictor, "test_config")
    if "lr_scheduler" in config:
        check_schedule(config["lr_scheduler"])


def check_same_normalization(config: Mapping[str, Any]) -> None:
    """Compare how images are normalized in training and in evaluation.

    Raises:
        UserError: By other numbers, or in one of them only.
    """
    train, value = ((config.get(name) or {}).get("transforms") for name in DATASETS)
    if train is None or value is None:
        return
    first, second = _normalization(train), _normalization(value)
    if [told for told, _ in first] != [told for told, _ in second] and not _close(first, second):
        told = [", ".join(text for text, _ in found) or "none" for found in (first, second)]
        raise UserError(
            f"images must be normalized in the same way everywhere, but train_dataset.transforms has {told[0]} and "
            f"val_dataset.transforms has {told[1]}"
        )


def _normalization(transforms: list[Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Means and deviations of the transforms that have both, as text and as numbers."""
    found = []
    for section in transforms:
        component = manager.TRANSFORMS.components_dict.get(section["type"])
        parameters = inspect.signature(component).parameters if component else {}
        if {"mean", "std"} <= parameters.keys():
            values = {key: section.get(key, parameters[key].default) for key in ("mean", "std")}
            text = ", ".join(f"{key} {np.ravel(value).tolist()}" for key, value in values.items())
            found.append((text, values))
    return found


def _close(first: list[tuple[str, Any]], second: list[tuple[str, Any]]) -> bool:
    """Whether the numbers are the same; one number stands for all channels."""
    try:
        return len(first) == len(second) and all(
            np.allclose(a[key], b[key], rtol=0, atol=1e-3) for (_, a), (_, b) in zip(first, second) for key in a
        )
    except (TypeError, ValueError):  # no numbers, or another number of them, which is told elsewhere
        return False


def _check(name: str, value: Any, allowed: Allowed) -> None:
    if wrong := allowed.problem(value):
        raise UserError(f"{name}: {wrong}")


def _check_types(value: Any, name: str) -> None:
    """Wherever a component is named, its name is a word."""
    if isinstance(value, Mapping):
        if "type" in value:
            _check(f"{name}.type", value["type"], Allowed(str))
        for key, item in value.items():
            _check_types(item, f"{name}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_types(item, f"{name}.{index}")


def _check_components(name: str, components: Any) -> None:
    _check(name, components, Allowed(list))
    for index, item in enumerate(components):
        if not isinstance(item, Mapping) or "type" not in item:
            raise UserError(f"{name}.{index}: {item!r} is not allowed; it is a section with a type")


def _check_losses(name: str, section: Mapping[str, Any]) -> None:
    for key in section:
        if key not in ("types", "coef"):
            raise UserError(unknown_argument(name, str(key), ("types", "coef")))
    for key in ("types", "coef"):
        if key not in section:
            raise UserError(f"{name}: it has no {key}")
    _check_components(f"{name}.types", section["types"])
    _check_factors(f"{name}.coef", section["coef"])
    for path, term in _terms(section["types"], f"{name}.types"):
        if isinstance(term.get("weight"), list):
            _check_factors(f"{path}.weight", term["weight"])
        if "coef" in term:
            _check_factors(f"{path}.coef", term["coef"])


def _terms(types: list[Mapping[str, Any]], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The losses and those that they mix, with their paths."""
    for index, term in enumerate(types):
        yield f"{name}.{index}", term
        if "losses" in term:
            _check_components(f"{name}.{index}.losses", term["losses"])
            yield from _terms(term["losses"], f"{name}.{index}.losses")


def _check_factors(name: str, values: Any) -> None:
    """A loss that is subtracted, or one that nothing weighs, trains nothing worth having."""
    _check(name, values, Allowed(list))
    for index, value in enumerate(values):
        _check(f"{name}.{index}", value, FACTOR)
    if not math.fsum(values):
        raise UserError(f"{name}: {values} is not allowed; one of them at least is above 0")
