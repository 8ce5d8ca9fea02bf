"""Names in YAML become bound heads, and what cannot be bound is named."""

from __future__ import annotations

import functools

import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext.errors import UserError
from paddleseg_ext.heads import Head, PSPHead
from paddleseg_ext.registry import HEADS, argument_names, register_head, register_model


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


@pytest.mark.parametrize("register", [register_head, register_model])
def test_a_taken_name_is_refused(register: object) -> None:
    before = manager.MODELS["PSPNet"]
    with pytest.raises(ValueError, match="'PSPNet' is already registered"):
        register(type("PSPNet", (Head,), {}))
    assert manager.MODELS["PSPNet"] is before
