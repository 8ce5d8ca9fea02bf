"""The fused form equals the convolution over upsampled and concatenated grids."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddleseg_ext.layers.context_conv import ContextConv


@pytest.mark.parametrize("grids_first", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (13, 17), (33, 24)])
def test_equals_stacked_form_with_gradients(
    size: tuple[int, int], kernel: int, align_corners: bool, grids_first: bool
) -> None:
    bins = (1, 2, 3, 6)
    layer = ContextConv(6 + 4 * 3, 5, kernel, grids_first=grids_first, align_corners=align_corners)
    results = []
    for form in (layer.fused, layer.stacked):
        layer.clear_gradients()
        paddle.seed(4)
        inputs = [paddle.randn([2, 6, *size]), *(paddle.randn([2, 3, k, k]) for k in bins)]
        for tensor in inputs:
            tensor.stop_gradient = False
        out = form(inputs[0], inputs[1:])
        (out * paddle.cos(paddle.arange(out.size, dtype="float32")).reshape(out.shape)).sum().backward()
        results.append([out.numpy(), layer.conv.weight.grad.numpy().copy(), *(t.grad.numpy() for t in inputs)])
    for ours, reference in zip(*results):
        np.testing.assert_allclose(ours, reference, atol=1e-5 * max(1, np.abs(reference).max()))


@pytest.mark.parametrize("size, form", [((8, 8), "stacked"), ((32, 33), "fused")])
def test_form_is_chosen_by_size(size: tuple[int, int], form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = ContextConv(6 + 3, 5, 3)
    called = []
    chosen = getattr(layer, form)
    monkeypatch.setattr(layer, form, lambda *args: called.append(form) or chosen(*args))
    layer(paddle.randn([2, 6, *size]), [paddle.randn([2, 3, 2, 2])])
    assert called == [form]


def test_grids_of_one_cell_alone() -> None:
    layer = ContextConv(6 + 3, 5, 1)
    x, grid = paddle.randn([2, 6, 4, 7]), paddle.randn([2, 3, 1, 1])
    np.testing.assert_allclose(layer.fused(x, [grid]).numpy(), layer.stacked(x, [grid]).numpy(), atol=1e-6)
