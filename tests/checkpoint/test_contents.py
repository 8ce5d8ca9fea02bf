"""Weights are found under the names that training scripts use; numbers of every kind are right or refused."""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg_ext.checkpoint.contents import KEYS
from paddleseg_ext.checkpoint.load import load_weights, read_weights
from paddleseg_ext.checkpoint.reader import read_weight_file
from paddleseg_ext.errors import UserError

pytestmark = pytest.mark.usefixtures("inside")

VALUES = np.array([[-0.04, 1.5], [3.0, -2.0]], "float32")


def write(folder: Path, content: Any, name: str = "file.pth") -> Path:
    path = folder / name
    path.write_bytes(pickle.dumps(content, 2))
    return path


def state(number: float) -> dict[str, np.ndarray]:
    return {"weight": np.full((2, 2), number, "float32")}


@pytest.mark.parametrize("key", KEYS)
def test_each_usual_name_is_found(tmp_path: Path, key: str) -> None:
    found = read_weight_file(write(tmp_path, {"epoch": 3, key: state(1), "optimizer": {"state": {0: state(9)}}}))
    assert found.key == key and found.others == [] and found.weights["weight"][0, 0] == 1


@pytest.mark.parametrize("first, second", list(zip(KEYS, KEYS[1:])))
def test_of_several_the_first_in_the_documented_order_is_taken(tmp_path: Path, first: str, second: str) -> None:
    path = write(tmp_path, {second: state(2), first: state(1), "generator": state(3)})
    found = read_weight_file(path)
    assert found.key == first and found.weights["weight"][0, 0] == 1
    assert found.others == [second, "generator"]
    for number, key in [(2, second), (3, "generator")]:
        assert read_weight_file(path, key).weights["weight"][0, 0] == number


def test_weights_in_an_entry_of_an_entry(tmp_path: Path) -> None:
    found = read_weight_file(write(tmp_path, {"ema": {"decay": 0.9, "state_dict": state(1)}}))
    assert found.key == "ema.state_dict" and found.weights["weight"][0, 0] == 1


def test_weights_at_the_top(tmp_path: Path) -> None:
    found = read_weight_file(write(tmp_path, {**state(1), "model": "resnet", "meta": {"iter": 3}}))
    assert found.key is None and list(found.weights) == ["weight"] and found.meta == {"iter": 3}


@pytest.mark.parametrize(
    "content, key, message",
    [
        (
            {"epoch": 3, "generator": state(1)},
            None,
            r"usual names \(state_dict, model, .*ema\) has .* generator .*--key",
        ),
        ({"epoch": 3, "generator": state(1)}, None, r"at its top epoch \(int\), generator \(1 arrays\)"),
        ({"state_dict": state(1)}, "ema", r"entry 'ema' of --key does not exist; .* at its top state_dict"),
        ({"state_dict": state(1), "epoch": 3}, "epoch", "entry 'epoch' of --key holds no weights"),
        ([1], None, "holds a list, not a dictionary"),
    ],
)
def test_refusals_name_what_is_there(tmp_path: Path, content: Any, key: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_weight_file(write(tmp_path, content), key)
    assert "\n" not in str(caught.value)


def test_arguments_of_the_training_script_are_skipped(tmp_path: Path) -> None:
    arguments = argparse.Namespace(lr=0.1, names=["a"])
    found = read_weight_file(write(tmp_path, {"args": arguments, "model": state(1)}))
    assert found.key == "model" and found.weights["weight"][0, 0] == 1


def test_lightnings_hyperparameters_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "lightning.fabric.utilities.data"
    kind = type("AttributeDict", (dict,), {"__module__": name})
    for module in itertools.accumulate(name.split("."), "{}.{}".format):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(AttributeDict=kind))
    path = write(tmp_path, {"hyper_parameters": kind(lr=0.1, width=3), "state_dict": state(1)})
    monkeypatch.undo()
    assert read_weight_file(path).key == "state_dict"


@pytest.mark.parametrize("kind, precision", [("bfloat16", 2**-7), ("float16", 2**-10), ("float64", 0)])
def test_numbers_of_other_precision_in_paddles_files(tmp_path: Path, kind: str, precision: float) -> None:
    path = tmp_path / "model.pdparams"
    saved = paddle.to_tensor(VALUES).astype(kind)  # Paddle 2.6 cuts bits off, later ones round
    paddle.save({"weight": saved}, str(path))
    expected = saved.astype("float32").numpy()
    np.testing.assert_allclose(expected, VALUES, rtol=precision)
    np.testing.assert_array_equal(read_weights(path)["weight"].astype("float32"), expected)
    layer = nn.Layer()
    layer.weight = layer.create_parameter([2, 2])
    load_weights(layer, path)
    np.testing.assert_array_equal(layer.weight.numpy(), expected)


def safetensors(kind: str, array: np.ndarray) -> bytes:
    header = {"weight": {"dtype": kind, "shape": list(array.shape), "data_offsets": [0, array.nbytes]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + array.tobytes()


@pytest.mark.parametrize(
    "kind, numbers",
    [
        ("BF16", (VALUES.view("u4") >> 16).astype("u2")),
        ("F16", VALUES.astype("f2")),
        ("F32", VALUES),
        ("F64", VALUES.astype("f8")),
    ],
)
def test_numbers_of_other_precision_in_safetensors(tmp_path: Path, kind: str, numbers: np.ndarray) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(kind, numbers))
    np.testing.assert_allclose(read_weights(path)["weight"], VALUES, rtol=2**-7)


def test_unknown_numbers_and_a_key_for_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors("F8_E4M3", np.zeros((2, 2), "u1")))
    with pytest.raises(UserError, match="weight has numbers of type F8_E4M3, which cannot be read"):
        read_weights(path)
    path.write_bytes(safetensors("F32", VALUES))
    with pytest.raises(UserError, match="--key ema chooses an entry of a .pth file"):
        read_weight_file(path, "ema")


@pytest.mark.parametrize(
    "kind, message",
    [
        ("complex64", r"the weight weight holds complex numbers \(complex64\)"),
        ("int8", r"the weight weight holds integers \(int8\)"),
        ("int64", r"the weight weight holds integers \(int64\)"),
        ("bool", r"the weight weight holds truth values \(bool\)"),
    ],
)
def test_weights_that_are_no_floating_point_numbers_are_refused(tmp_path: Path, kind: str, message: str) -> None:
    layer = nn.Layer()
    layer.weight = layer.create_parameter([2, 2])
    before = layer.weight.numpy()
    with pytest.raises(UserError, match=message):
        load_weights(layer, write(tmp_path, {"weight": VALUES.astype(kind)}))
    np.testing.assert_array_equal(layer.weight.numpy(), before)


def test_buffers_of_integers_are_loaded(tmp_path: Path) -> None:
    layer = nn.Layer()
    layer.register_buffer("count", paddle.zeros([1], "int64"))
    load_weights(layer, write(tmp_path, {"count": np.array([3])}))
    assert layer.count.item() == 3


def test_weights_beside_a_number_in_paddles_files(tmp_path: Path) -> None:
    """Paddle stores tensors that are not at the top as pairs, by a call of tuple."""
    path, net = tmp_path / "model.pdparams", nn.Linear(2, 3)
    paddle.save({"epoch": 3, "model": net.state_dict(), "ema": net.state_dict()}, str(path))
    found = read_weight_file(path)
    assert found.key == "model" and found.others == ["ema"]
    np.testing.assert_array_equal(found.weights["weight"], net.weight.numpy())


def test_names_that_cannot_be_printed(tmp_path: Path) -> None:
    found = read_weight_file(write(tmp_path, {"model": state(1), "a\n\x1b\ud800": state(2)}))
    assert found.others == ["a???"] and found.top.isprintable()
    for name in ("a\nb", "\ud800", "x" * 1000):
        with pytest.raises(UserError) as caught:
            read_weight_file(write(tmp_path, {name: np.ones(2, "float32")}))
        assert str(caught.value).isprintable() and len(str(caught.value)) < 1000
