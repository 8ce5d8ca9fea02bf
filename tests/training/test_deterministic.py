"""`--deterministic` on a GPU: flags, and resizing without atomic additions."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
import pytest

from paddleseg_ext.layers import functional
from paddleseg_ext.layers.resample import resize
from paddleseg_ext.training import deterministic


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(5, 7), (33, 47), (64, 64), (1, 1), (3, 90)])
def test_matrices_resize_as_paddle_does(size: tuple[int, int], align_corners: bool) -> None:
    x = paddle.randn([2, 3, 9, 13])
    ours, theirs = x.clone(), x.clone()
    ours.stop_gradient = theirs.stop_gradient = False
    found = deterministic.ResizeByMatrices().run(ours, size, align_corners)
    expected = F.interpolate(theirs, size, mode="bilinear", align_corners=align_corners)
    weights = paddle.randn(expected.shape)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert float((found - expected).abs().max()) < 1e-5
    assert float((ours.grad - theirs.grad).abs().max()) < 1e-4


@pytest.mark.parametrize("device, replaced", [("gpu:0", True), ("cpu", False)])
def test_flags_and_resizing_are_set_where_there_is_a_gpu(
    device: str, replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags: dict = {}

    def set_flags(values: dict) -> None:
        if "FLAGS_embedding_deterministic" in values:
            raise ValueError("unknown")  # as an older Paddle says
        flags.update(values)

    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setattr(paddle, "get_device", lambda: device)
    monkeypatch.setattr(paddle, "set_flags", set_flags)
    monkeypatch.setattr(functional, "KERNELS", kernels := dict(functional.KERNELS))
    monkeypatch.setattr(deterministic, "KERNELS", kernels)
    deterministic.be_deterministic()
    assert flags["FLAGS_cudnn_deterministic"] is True and flags["FLAGS_cudnn_exhaustive_search"] is False
    assert isinstance(kernels.get("resize_bilinear"), deterministic.ResizeByMatrices) == replaced


def test_heads_resize_by_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    class Watched(deterministic.ResizeByMatrices):
        def accepts(self, *args: object) -> bool:
            return True

        def run(self, x: paddle.Tensor, *args: object) -> paddle.Tensor:
            used.append(tuple(x.shape))
            return super().run(x, *args)

    monkeypatch.setitem(functional.KERNELS, "resize_bilinear", Watched())
    monkeypatch.setattr(F, "interpolate", lambda *_, **__: pytest.fail("Paddle's own was called"))
    assert resize(paddle.randn([1, 2, 4, 6]), (9, 11), False).shape == [1, 2, 9, 11]
    assert used == [(1, 2, 4, 6)]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_card_adds_up_alike_each_time(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(functional.KERNELS, "resize_bilinear", deterministic.ResizeByMatrices())
    values, weights = paddle.randn([2, 19, 33, 47]).astype(dtype), paddle.randn([2, 19, 257, 369]).astype(dtype)
    found = []
    for _ in range(5):
        x = values.clone()
        x.stop_gradient = False
        (resize(x, (257, 369), False) * weights).sum().backward()
        found.append(x.grad)
    assert float(found[0].abs().max()) > 0
    assert all(bool((other == found[0]).all()) for other in found[1:])
