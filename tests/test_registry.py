"""Names in YAML become bound heads, and what cannot be bound is named."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext import registry
from paddleseg_ext.errors import UserError
from paddleseg_ext.heads import Head, PSPHead
from paddleseg_ext.registry import HEADS, argument_names

KINDS = ("head", "model", "backbone", "dataset", "transform", "loss")


def test_yaml_name_gives_a_partial() -> None:
    bound = manager.MODELS["PSPHead"](bin_sizes=[1, 2])
    assert isinstance(bound, functools.partial)
    assert bound.func is PSPHead
    assert bound.keywords == {"bin_sizes": [1, 2]}


def test_arguments_passed_on_to_the_base_are_known() -> None:
    assert {"bin_sizes", "dropout_mode", "align_corners", "in_index"} <= set(argument_names(PSPHead))


@pytest.mark.parametrize("name", HEADS)
def test_misspelt_argument_is_named_with_the_likely_one(name: str) -> None:
    right = argument_names(HEADS[name])[-1]
    with pytest.raises(UserError, match=rf"{name}: unknown argument '{right}x'; did you mean '{right}'\?"):
        manager.MODELS[name](**{right + "x": 1})


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("key", ["in_channels", "num_classes"])
def test_arguments_of_the_parent_are_refused(name: str, key: str) -> None:
    with pytest.raises(UserError, match=f"{name}: '{key}' cannot be set here"):
        manager.MODELS[name](**{key: 3})


@pytest.mark.parametrize("register", [getattr(registry, f"register_{kind}") for kind in KINDS])
@pytest.mark.parametrize("name", ["PSPNet", "ResNet50_vd", "Cityscapes", "Normalize", "CrossEntropyLoss", "SGD"])
def test_a_taken_name_is_refused_whatever_has_it(register: Callable, name: str) -> None:
    before = {kind: dict(found.components_dict) for kind, found in registry.REGISTRIES.items()}
    with pytest.raises(ValueError, match=f"'{name}' is already registered, as a"):
        register(type(name, (Head,), {}))
    assert before == {kind: found.components_dict for kind, found in registry.REGISTRIES.items()}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "head"])
def test_a_new_name_is_entered(kind: str) -> None:
    def component_of_the_tests() -> None:
        pass

    components = registry.REGISTRIES[kind].components_dict
    try:
        assert getattr(registry, f"register_{kind}")(component_of_the_tests) is component_of_the_tests
        assert components["component_of_the_tests"] is component_of_the_tests
    finally:
        components.pop("component_of_the_tests", None)
