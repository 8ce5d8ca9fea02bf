"""What a configuration gives to components, held against the arguments that their constructors declare.

Our constructors declare types; those of PaddleSeg only have defaults, whose kind tells nearly as much. What neither
tells is found by the constructor itself, later.
"""

from __future__ import annotations

import datetime
import inspect
import math
import re
from collections.abc import Mapping
from typing import Any

import paddle
from paddle.optimizer.lr import LRScheduler

from paddleseg_ext import signatures
from paddleseg_ext.config.kinds import Kinds, is_component
from paddleseg_ext.config.values import Allowed, shown
from paddleseg_ext.errors import UserError
from paddleseg_ext.registry import HEADS, PARENT_BOUND, REGISTRIES, closest, unknown_argument

FARTHEST = 1e10  # no number of a configuration is larger
WIDEST, LARGEST_MAP, MOST_PIXELS = 8192, 1 << 16, 1 << 25  # channels; side of an image, pixels of a crop
SIDE, COUNT = Allowed(int, at_least=1, at_most=LARGEST_MAP), Allowed(int, at_least=1, at_most=WIDEST)
SHARE = Allowed(float, at_least=0, at_most=1)
LISTS = (  # of arguments with these names, whatever component has them; of a list each item
    (r"(.*_)?channels", COUNT),
    (r"crop_size|target_size|size|long_size|short_size", SIDE),
    (r"(brightness|contrast|saturation|sharpness|hue)_(range|delta)", Allowed(float, at_least=0, at_most=255)),
)
SCALARS = (
    (r"embed_dim|num_codes", COUNT),
    (r"in_channels|img_channels", COUNT),
    (r"num_classes", Allowed(int, at_least=1, at_most=1 << 16)),
    (r"output_stride", Allowed(int, choices=(8, 16, 32))),
    (r"(.*_)?prob|(.*_)?dropout", SHARE),
    (r"ignore_index|label_padding_value", Allowed(int, at_least=-(1 << 31), below=1 << 31)),
    (r"m(in|ax)_scale(_factor)?", Allowed(float, above=0, at_most=100)),
    (r"scale_step_size", Allowed(float, at_least=0, at_most=100)),
    (r"loop_times", Allowed(int, at_least=1, at_most=1000)),
)
PLACES = (  # what kind of component belongs where
    (r"model", "model"),
    (r"model\.(.*\.)?backbone", "backbone"),
    (r"(train|val)_dataset", "dataset"),
    (r"(train|val)_dataset\.transforms\.\d+", "transform"),
    (r"(distill_)?loss\.types\.\d+(\.losses\.\d+)*", "loss"),
    (r"optimizer", "optimizer"),
    (r"model\.(decode_head|auxiliary_heads\.\d+)(\.head)*", "model"),
)
DATASETS = ("train_dataset", "val_dataset")
WARM_UP = ("warmup_iters", "warmup_start_lr")
PIXELS = ("crop_size", "target_size", "size")


def check_components(value: Any, path: str) -> None:
    """Check every component below an entry of a configuration.

    Raises:
        UserError: One has an unknown type, or an argument that it does not take or of another kind.
    """
    if isinstance(value, Mapping):
        if "type" in value:
            _check_component(value, path)
        for key, item in value.items():
            check_components(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_components(item, f"{path}.{index}")


def check_schedule(section: Mapping[str, Any], path: str = "lr_scheduler") -> None:
    """Check a learning rate's schedule, which is one of Paddle's with PaddleSeg's warm-up in front of it.

    Raises:
        UserError: As `check_components`.
    """
    name = section["type"]
    schedule = getattr(paddle.optimizer.lr, name, None)
    if not (inspect.isclass(schedule) and issubclass(schedule, LRScheduler)):
        known = [name for name, value in vars(paddle.optimizer.lr).items() if inspect.isclass(value)]
        raise UserError(f"{path}.type: Paddle has no schedule {name!r}{closest(name, known)}")
    parameters, _ = signatures.parameters(schedule)
    for key in WARM_UP:  # PaddleSeg's own
        parameters[key] = inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None)
    given = {key: value for key, value in section.items() if key != "type"}
    filled_in = ("decay_steps",) if name == "PolynomialDecay" else ()
    _check_arguments(given, parameters, path, f"{path}: {name}", filled_in)
    if ("warmup_iters" in section) != ("warmup_start_lr" in section):
        raise UserError(f"{path}: {' and '.join(WARM_UP)} are given together or not at all")


def check_kinds(section: Mapping[str, Any], component: Any, path: str) -> None:
    """Check values alone, of a section whose keys are checked elsewhere.

    Raises:
        UserError: As `check_components`.
    """
    known, _ = signatures.parameters(component)
    for key, value in section.items():
        if key in known and (wrong := _problem(key, value, known[key])):
            raise UserError(f"{path}.{key}: {wrong}")


def _check_component(section: Mapping[str, Any], path: str) -> None:
    name = section["type"]
    given = {key: value for key, value in section.items() if key != "type"}
    component = _find("Momentum" if name == "SGD" and "momentum" in given else name)  # as PaddleSeg does
    if component is None:
        known = [known for registry in REGISTRIES.values() for known in registry.components_dict]
        raise UserError(f"{path}.type: unknown type {name!r}{closest(str(name), known)}")
    expected = next((kind for pattern, kind in PLACES if re.fullmatch(pattern, path)), None)
    if expected and name not in REGISTRIES[expected].components_dict:
        actual = next((kind for kind, registry in REGISTRIES.items() if name in registry.components_dict), expected)
        if actual != expected:
            raise UserError(f"{path}.type: {name!r} is a {actual}, but a {expected} belongs here")
    parameters, is_open = signatures.parameters(component)
    if name in HEADS:
        for key in PARENT_BOUND:
            parameters.pop(key, None)
            if key in given:
                raise UserError(f"{path}: {name}: {key!r} cannot be set here: {PARENT_BOUND[key]}")
    if expected in ("model", "backbone") and name not in HEADS:  # the builder loads weights itself
        weights = inspect.Parameter("pretrained", inspect.Parameter.KEYWORD_ONLY, default=None)
        parameters["pretrained"] = weights
    _check_arguments(given, parameters, path, f"{path}: {name}", ("num_classes", "in_channels"), is_open)


def _check_arguments(
    given: Mapping[str, Any],
    parameters: Mapping[str, inspect.Parameter],
    path: str,
    owner: str,
    filled_in: tuple[str, ...],
    is_open: bool = False,
) -> None:
    """Check arguments that are given, and that none is missing but those that PaddleSeg fills in."""
    for key, value in given.items():
        if key not in parameters and not is_open:
            raise UserError(unknown_argument(owner, key, parameters))
        if wrong := _problem(key, value, parameters.get(key)):
            raise UserError(f"{path}.{key}: {wrong}")
    needed = [key for key, p in parameters.items() if p.default is p.empty and key not in (*given, *filled_in)]
    if needed and not is_open and path not in DATASETS:  # of which a command builds the ones that it needs
        raise UserError(f"{owner}: it has no {needed[0]}, which it needs")


def _find(name: Any) -> Any:
    name = {"adam": "Adam", "sgd": "SGD"}.get(name, name)  # PaddleSeg's old spellings
    if name in HEADS:
        return HEADS[name]
    found = (registry.components_dict.get(name) for registry in REGISTRIES.values())
    return next((component for component in found if component is not None), None)


def _problem(key: str, value: Any, parameter: inspect.Parameter | None) -> str | None:
    """Why an argument cannot have a value, or None."""
    if isinstance(value, (bytes, datetime.date)):
        return f"{value!r} is not allowed; no argument is a {type(value).__name__}"
    if parameter is not None:
        kind = Kinds.of(parameter)
        if not kind.accepts(value):
            return f"{shown(value)} is not allowed; it is {kind.words}"
    if value is None or is_component(value):
        return None
    if far := _too_far(value):
        return f"{shown(value)} is not allowed; {far:.4g} is beyond any sensible number"
    for ranges, items in ((SCALARS, [value]), (LISTS, value if isinstance(value, list) else [value])):
        for allowed in (allowed for pattern, allowed in ranges if re.fullmatch(pattern, key)):
            if wrong := next(filter(None, map(allowed.problem, items)), None):
                return wrong
    if key in PIXELS and isinstance(value, list) and len(value) == 2 and value[0] * value[1] > MOST_PIXELS:
        return f"{value} is not allowed; it has more than {MOST_PIXELS >> 20} million pixels"
    return None


def _too_far(value: Any) -> float | None:
    """A number that is not finite, or larger than any that makes sense, in a value."""
    if isinstance(value, (list, tuple)):
        return next((far for far in map(_too_far, value) if far is not None), None)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int):
        return math.inf if abs(value) > FARTHEST else None
    return None if math.isfinite(value) and abs(value) <= FARTHEST else value
