"""Arguments with their defaults and a line about each, of classes and of functions that construct one."""

from __future__ import annotations

from typing import Any

import pytest
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.backbones import ResNet50_v1c
from paddleseg_ext.heads import DeepLabV3PlusHead
from paddleseg_ext.inspection.arguments import arguments, summary
from paddleseg_ext.registry import HEADS, argument_names


class Base(nn.Layer):
    """A base.

    Args:
        width (int, optional): Its width,
            e.g. three. And more.
        rate: Its rate.
    """

    def __init__(self, width: int = 3, rate: float = 0.5, **rest: Any) -> None:
        super().__init__()


class Derived(Base):
    """A class. It goes on.

    Args:
        rate: Another rate.

    Returns:
        depth: not an argument.
    """

    def __init__(self, needed: str, rate: float = 0.25, **rest: Any) -> None:
        super().__init__(**rest)


def variant(**rest: Any) -> Derived:
    model = Derived("given", width=7, **rest)
    return model


def test_of_a_class_and_its_bases() -> None:
    assert summary(Derived) == "A class."
    assert arguments(Derived) == [
        {"name": "needed", "default": None, "text": ""},
        {"name": "rate", "default": "0.25", "text": "Another rate."},
        {"name": "width", "default": "3", "text": "Its width, e.g. three."},
    ]


def test_of_a_function_that_gives_some_of_them() -> None:
    assert summary(variant) == "A class."
    assert [argument["name"] for argument in arguments(variant)] == ["rate"]


def test_hidden_ones() -> None:
    names = [argument["name"] for argument in arguments(DeepLabV3PlusHead, ("in_channels", "num_classes"))]
    assert names[0] == "low_index" and "in_channels" not in names


@pytest.mark.parametrize("name", HEADS)
def test_every_argument_of_a_head_has_a_line(name: str) -> None:
    assert summary(HEADS[name]).endswith(".")
    found = {argument["name"]: argument for argument in arguments(HEADS[name])}
    assert set(found) == set(argument_names(HEADS[name]))
    assert [key for key, argument in found.items() if not argument["text"]] == []


def test_of_backbones() -> None:
    names = [argument["name"] for argument in arguments(ResNet50_v1c)]
    assert "output_stride" in names and not {"block", "depths"} & set(names)
    for name, component in manager.BACKBONES.components_dict.items():
        if component.__module__.startswith("tests."):
            continue
        found = [argument["name"] for argument in arguments(component)]
        assert "pretrained" in found and not {"name_scope", "dtype", "self"} & set(found), name
