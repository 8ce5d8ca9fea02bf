"""Every head equals mmsegmentation's: outputs in evaluation and training, and input gradients, at an odd size."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddleseg_ext.importers.mmseg import convert
from paddleseg_ext.layers import context_conv
from tests.mmseg_variants import head_factory

HERE = Path(__file__).parents[1]
FOLDERS = {"small": HERE / "data" / "mmseg"}
if wide := os.environ.get("PADDLESEG_EXT_VECTORS"):  # the same cases, wider; not part of the repository
    FOLDERS["wide"] = Path(wide)
CASES = ["cc", "deeplabv3plus", "dm", "enc", "enc_lateral", "fastfcn_aspp", "fastfcn_enc", "fastfcn_psp", "fcn", "psp"]
FILES = [f"{case}{suffix}" for case in CASES for suffix in ("", "_ac")]
TOLERANCE = 1e-4  # of the largest reference value


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as blob:
        return dict(blob)


def part(blob: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key[len(prefix) + 1 :]: value for key, value in blob.items() if key.startswith(prefix + "/")}


def assert_equal(ours: paddle.Tensor, reference: np.ndarray, what: str) -> None:
    assert tuple(ours.shape) == reference.shape, what
    error = np.abs(ours.numpy() - reference).max() / np.abs(reference).max()
    assert error <= TOLERANCE, f"{what}: relative difference {error:.2e}"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_equals_mmsegmentation(folder: str, name: str) -> None:
    compare(load(FOLDERS[folder] / f"{name}.npz"))


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(("deeplabv3plus", "fastfcn", "psp"))])
def test_equals_mmsegmentation_in_fused_form(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_conv, "SMALL_MAP", 0)
    compare(load(FOLDERS["small"] / f"{name}.npz"))


def compare(blob: dict[str, np.ndarray]) -> None:
    meta = json.loads(str(blob["meta"]))
    factory = head_factory(meta["head"], meta["common"], meta["neck"])
    head = factory(meta["channels"], meta["common"]["num_classes"], align_corners=meta["align_corners"])
    weights = {name[len("decode_head.") :]: value for name, value in convert(part(blob, "sd")).items()}
    own = head.state_dict()
    assert set(weights) == set(own)
    assert all(tuple(own[key].shape) == value.shape for key, value in weights.items())
    head.set_state_dict({key: paddle.to_tensor(value) for key, value in weights.items()})
    arrays = [value for _, value in sorted(part(blob, "feat").items())]

    head.eval()
    with paddle.no_grad():
        outputs = head([paddle.to_tensor(a) for a in arrays])
    expected = part(blob, "eval")
    assert len(outputs) == len(expected)
    for i, out in enumerate(outputs):
        assert_equal(out, expected[str(i)], f"eval output {i}")

    head.train()
    feats = [paddle.to_tensor(a, stop_gradient=False) for a in arrays]
    outputs = head(feats)
    total = 0
    for i, out in enumerate(outputs):
        assert_equal(out, blob[f"train/{i}"], f"train output {i}")
        total = total + (out * paddle.cos(paddle.arange(out.size, dtype="float32")).reshape(out.shape)).sum()
    total.backward()
    for i, gradient in part(blob, "grad").items():
        assert_equal(feats[int(i)].grad, gradient, f"gradient of feature {i}")
