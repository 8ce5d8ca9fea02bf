"""Checkpoints of torch.compile, Lightning, data parallel training and averaged weights are imported as they are."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddleseg_ext import UserError
from paddleseg_ext.checkpoint.contents import KEYS
from paddleseg_ext.importers.convert import ImportedWeights, import_backbone, import_checkpoint
from paddleseg_ext.importers.fit import Weights
from paddleseg_ext.importers.prefixes import plain_names
from tests.importers import test_mmseg, test_originals

pytestmark = pytest.mark.usefixtures("inside")

PARTS = ("_orig_mod.", "model.", "module.")
ORDERS = ["".join(order) for count in (1, 2, 3) for order in itertools.permutations(PARTS, count)]
SOURCES = ["mmseg", "semseg", "ccnet", "fastfcn", "encoding"]
FILES = {"fastfcn": "fastfcn_enc", "encoding": "encoding_enc"}


def golden(source: str) -> tuple[Weights, Any]:
    """Weights of a source without a prefix, and the network that they are for."""
    if source == "mmseg":
        state, _, config = test_mmseg.read("pspnet")
        return state, test_mmseg.build(config)
    name = FILES.get(source, source)
    state, _, meta = test_originals.read(name)
    return {key.removeprefix("module."): value for key, value in state.items()}, test_originals.build(
        name, meta["classes"], narrow=True
    )


def imported(folder: Path, source: str, content: Any, model: Any, key: str | None = None) -> ImportedWeights:
    path = folder / "file.pth"
    path.write_bytes(pickle.dumps(content, 2))
    return import_checkpoint(source, path, model, key)


def assert_same(found: Weights, expected: Weights, tolerance: float = 0) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("prefix", [*ORDERS, "module.module.", "model._orig_mod.model."])
def test_prefixes_in_any_order_and_repetition(prefix: str) -> None:
    names = ["backbone.layer1.weight", "model_head.weight", "modules.weight"]
    assert plain_names(prefix + name for name in names) == {name: prefix + name for name in names}
    assert list(plain_names([f"{prefix}backbone._orig_mod.layer1.weight"])) == ["backbone.layer1.weight"]


@pytest.mark.parametrize("source", SOURCES)
def test_every_importer_takes_every_prefix_and_every_key(source: str, tmp_path: Path) -> None:
    state, model = golden(source)
    expected = imported(tmp_path, source, state, model)
    for prefix, key in itertools.zip_longest(ORDERS, KEYS, fillvalue="state_dict"):
        renamed = {(prefix if prefix in ORDERS else "") + name: value for name, value in state.items()}
        result = imported(tmp_path, source, {"epoch": 3, key: renamed}, model)
        assert result.key == key
        assert_same(result.weights, expected.weights)
        assert [name.removeprefix(prefix) for name in result.left_out] == expected.left_out


def test_lightning_with_its_loss_and_a_mean_of_its_weights(tmp_path: Path) -> None:
    state, model = golden("semseg")
    expected = imported(tmp_path, "semseg", state, model).weights
    lightning = {f"model.{name}": value for name, value in state.items()} | {"loss.weight": np.ones(5, "float32")}
    result = imported(tmp_path, "semseg", {"state_dict": lightning, "pytorch-lightning_version": "2.4"}, model)
    assert_same(result.weights, expected)
    assert result.left_out == ["loss.weight"]
    averaged = {f"module.{name}": value + 1 for name, value in state.items()} | {"n_averaged": np.array(7)}
    content = {"state_dict": lightning, "state_dict_ema": averaged}
    assert imported(tmp_path, "semseg", content, model).others == ["state_dict_ema"]
    mean = imported(tmp_path, "semseg", content, model, "state_dict_ema")
    assert_same(mean.weights, imported(tmp_path, "semseg", averaged, model).weights)
    assert mean.left_out == ["n_averaged"] and mean.others == ["state_dict"]


def test_two_networks_in_one(tmp_path: Path) -> None:
    state, model = golden("semseg")
    both = {f"{prefix}.{name}": value for prefix in ("model", "module") for name, value in state.items()}
    with pytest.raises(
        UserError, match="two weights layer0.0.weight: model.layer0.0.weight and module.layer0.0.weight"
    ):
        imported(tmp_path, "semseg", both, model)


def test_other_entries_are_told_where_the_network_is_unknown(tmp_path: Path) -> None:
    state, model = golden("semseg")
    content = {"state_dict": {"discriminator.weight": np.ones(1)}, "net": state}
    with pytest.raises(UserError, match=r"top state_dict \(1 arrays\), net .* are under net too: choose by --key"):
        imported(tmp_path, "semseg", content, model)


@pytest.mark.parametrize("source", SOURCES)
def test_half_precision(source: str, tmp_path: Path) -> None:
    """bfloat16 is written as Paddle does; weights that are computed are not rounded to half precision."""
    state, model = golden(source)
    expected = imported(tmp_path, source, state, model).weights
    half = {name: value.astype("float16") for name, value in state.items()}
    rounded = {name: value.astype("float32") for name, value in half.items()}
    assert_same(imported(tmp_path, source, half, model).weights, imported(tmp_path, source, rounded, model).weights)
    bits = {name: (value.astype("float32").view("u4") >> 16).astype("u2") for name, value in state.items()}
    assert_same(imported(tmp_path, source, bits, model).weights, expected, 2**-6)


@pytest.mark.parametrize("kind, told", [("complex64", "complex numbers"), ("int8", "integers")])
@pytest.mark.parametrize("source", SOURCES)
def test_complex_and_integer_weights_are_refused_by_name(source: str, kind: str, told: str, tmp_path: Path) -> None:
    state, model = golden(source)
    name = next(name for name, value in state.items() if value.ndim == 4)
    with pytest.raises(UserError, match=rf"weight module\.{name} holds {told} \({kind}\)"):
        imported(
            tmp_path,
            source,
            {f"module.{key}": x.astype(kind if key == name else x.dtype) for key, x in state.items()},
            model,
        )


def test_backbone_alone_with_a_prefix_and_a_key(tmp_path: Path) -> None:
    _, model = golden("mmseg")
    own = {name: value.numpy() for name, value in model.backbone.state_dict().items()}
    renamed = {
        "module." + name.replace("_mean", "running_mean").replace("_variance", "running_var"): value
        for name, value in own.items()
    }
    path = tmp_path / "backbone.pth"
    path.write_bytes(pickle.dumps({"params_ema": renamed, "module": {"note": 1}}, 2))
    assert_same(import_backbone(path, model.backbone).weights, own)
    with pytest.raises(UserError, match="entry 'module' of --key holds no weights"):
        import_backbone(path, model.backbone, "module")
