"""Heads in mixed precision, imitated on a CPU: few bytes move in float32, and gradients are those of float32."""

from __future__ import annotations

from functools import partial

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from benchmarks.amp_emulator import emulated
from paddleseg_ext.heads import CCHead, EncHead, FastFCNHead, FCNHead
from paddleseg_ext.registry import HEADS

CLASSES, TYPES = 19, ["bfloat16", "float16"]
HEADS_BY_NAME = {name: head for name, head in HEADS.items() if head not in (FastFCNHead, FCNHead)}
HEADS_BY_NAME |= {"FastFCNHead": partial(FastFCNHead, head=EncHead), "FCNHead": partial(FCNHead, in_index=2)}


def features(name: str, channels: tuple[int, ...], height: int, width: int) -> list[paddle.Tensor]:
    """Maps of a backbone of output stride 8, or of 32 for FastFCN."""
    strides = (1, 2, 4, 8) if name == "FastFCNHead" else (1, 2, 2, 2)
    sizes = [(2 * height // stride, 2 * width // stride) for stride in strides]
    return [F.relu(paddle.randn([2, c, *size])) for c, size in zip(channels, sizes)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", sorted(HEADS_BY_NAME))
def test_at_most_a_third_of_the_bytes_is_float32(name: str, dtype: str) -> None:
    paddle.seed(0)
    channels = (64, 128, 256, 512)
    keywords = {"FastFCNHead": {}, "EncHead": {"channels": 128, "num_codes": 8}}  # 1 code for 16 channels, as of 512
    head = HEADS_BY_NAME[name](channels, CLASSES, **keywords.get(name, {"channels": 128}))
    feats = [feat.astype(dtype) for feat in features(name, channels, 24, 32)]
    with emulated() as emulator, paddle.no_grad(), paddle.amp.auto_cast(dtype=dtype):
        head(feats)
    assert len(emulator.log) > 5 and 0 < emulator.share_of_float32() <= 0.35


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", sorted(HEADS_BY_NAME))
def test_gradients_are_those_of_float32(name: str, dtype: str) -> None:
    check_gradients(name, dtype, 1.0)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("scale, energy, least", [(9.0, 150, 0.98), (20.0, 800, None), (60.0, 6000, None)])
def test_gradients_at_large_energies(scale: float, energy: float, least: float | None, dtype: str) -> None:
    """At thousands the map's own rounding moves energies by units, whatever follows in float32: finite is all."""
    check_gradients("CCHead", dtype, scale, least, energy)


def check_gradients(name: str, dtype: str, scale: float, least: float | None = 0.98, energy: float = 0) -> None:
    """Cosine of all gradients together, and all finite; the loss is scaled as float16's scaler does."""
    paddle.seed(1)
    channels = (16, 32, 64, 128)
    keywords = {"jpu_channels": 32} if name == "FastFCNHead" else {"channels": 64}
    head = HEADS_BY_NAME[name](channels, CLASSES, **keywords)
    for layer in head.sublayers():
        if hasattr(layer, "dropout") or type(layer).__name__.startswith("Dropout"):
            layer.eval()
    for path, parameter in head.named_parameters():
        if path.endswith("gamma"):
            parameter.set_value(paddle.full([1], 0.5))
        if path.startswith(("attention.query", "attention.key")):
            parameter.set_value(parameter * scale)
    feats = features(name, channels, 16, 24)
    label = paddle.randint(0, CLASSES, [2, 16, 24])
    if energy:
        assert largest_energy(head, feats) > energy

    def gradients(half: str | None) -> np.ndarray:
        head.clear_gradients()
        with emulated():
            if half is None:
                outputs, factor = head(feats), 1.0
            else:
                with paddle.amp.auto_cast(dtype=half):
                    outputs = head([feat.astype(half) for feat in feats])
                factor = 2.0**15 if half == "float16" else 1.0
            logits = F.interpolate(outputs[0].astype("float32"), [16, 24], mode="bilinear")
            loss = F.cross_entropy(logits.transpose([0, 2, 3, 1]), label)
            for other in outputs[1:]:
                loss = loss + 0.2 * other.astype("float32").square().mean()
            (loss * factor).backward()
        grads = [p.grad for p in head.parameters() if not p.stop_gradient and p.grad is not None]
        return np.concatenate([grad.astype("float32").numpy().ravel() for grad in grads]) / factor

    exact, rough = gradients(None), gradients(dtype)
    assert np.isfinite(rough).all() and exact.shape == rough.shape
    cosine = float(exact @ rough / (np.linalg.norm(exact) * np.linalg.norm(rough)))
    assert least is None or cosine >= least


def largest_energy(head: CCHead, feats: list[paddle.Tensor]) -> float:
    with paddle.no_grad():
        x = head.before(feats[head.in_index])
        return float(paddle.einsum("nchw,ncgw->nhwg", head.attention.query(x), head.attention.key(x)).abs().max())
