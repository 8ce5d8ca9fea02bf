"""On a card that multiplies in TF32 by default, criss-cross attention is as exact as its energies need."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddleseg_ext.compat.paddle import exact_float32
from paddleseg_ext.heads import CCHead
from tests.gpu_arithmetic import rounded, tf32

core = paddle.base.core
pytestmark = pytest.mark.skipif(not hasattr(core, "set_cublas_switch"), reason="a Paddle whose CPU build has no switch")


def switches() -> tuple[bool, bool]:
    return core.get_cublas_switch(), core.get_cudnn_switch()


def test_rounding_keeps_ten_bits() -> None:
    values = np.array([1 + 2**-10, 1 + 2**-11, 1 + 3 * 2**-11, -3.0, 0.0, 1e30], np.float32)
    found = rounded(paddle.to_tensor(values)).numpy()
    np.testing.assert_array_equal(found[:5], np.array([1 + 2**-10, 1, 1 + 2**-9, -3, 0], np.float32))
    assert abs(found[5] / 1e30 - 1) < 2**-11


def test_the_switches_are_put_back() -> None:
    before = switches()
    with pytest.raises(ZeroDivisionError), exact_float32():
        assert switches() == (False, False)
        with exact_float32():
            pass
        assert switches() == (False, False)
        raise ZeroDivisionError
    assert switches() == before


@pytest.mark.parametrize("scale", [1.0, 10.0, 40.0])
def test_criss_cross_attention_is_exact_whatever_the_energies(scale: float) -> None:
    paddle.seed(2)
    attention = CCHead([8], 3, channels=256).attention
    attention.gamma.set_value(paddle.ones([1]))
    x = paddle.randn([1, 256, 12, 16]) * scale

    def own() -> paddle.Tensor:
        with paddle.no_grad():
            return attention(x) - x

    expected = own()
    with tf32():
        loose = own()
        with exact_float32():
            exact = own()
    largest = float(expected.abs().max())
    assert float((exact - expected).abs().max()) < 1e-5 * largest
    assert float((loose - expected).abs().max()) > 1e-4 * largest  # the imitation does something


def test_the_head_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    paddle.seed(0)
    head = CCHead([16], 3, channels=16)
    seen = []
    attend = type(head.attention).forward
    monkeypatch.setattr(type(head.attention), "forward", lambda self, x: seen.append(switches()) or attend(self, x))
    with tf32(), paddle.no_grad():
        head([paddle.randn([1, 16, 5, 7])])
        assert switches() == (True, True)
    assert seen == [(False, False)] * 2


ampere = pytest.mark.skipif(
    bool(paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count())
    and paddle.device.cuda.get_device_capability()[0] < 8,
    reason="a card without TF32",
)


@ampere
@pytest.mark.gpu
@pytest.mark.parametrize("operation", ["matmul", "conv2d"])
def test_the_switch_changes_what_a_card_computes(operation: str) -> None:
    x, y = paddle.randn([256, 512]), paddle.randn([512, 256])

    def product() -> np.ndarray:
        if operation == "matmul":
            return paddle.matmul(x, y).numpy()
        weight = y.transpose([1, 0]).reshape([256, 512, 1, 1])
        found = paddle.nn.functional.conv2d(x.transpose([1, 0]).reshape([1, 512, 16, 16]), weight)
        return found.reshape([256, 256]).transpose([1, 0]).numpy()

    expected = x.numpy().astype("float64") @ y.numpy().astype("float64")
    core.set_cublas_switch(True)
    core.set_cudnn_switch(True)
    loose = product()
    with exact_float32():
        exact = product()
    largest = np.abs(expected).max()
    assert np.abs(exact - expected).max() < 5e-6 * largest
    assert np.abs(loose - expected).max() > 2e-5 * largest


@ampere
@pytest.mark.gpu
def test_a_card_attends_as_exactly_as_a_cpu() -> None:
    """Energies of thousands: TF32 would move the output by a tenth."""
    paddle.seed(2)
    head = CCHead([8], 3, channels=256)
    head.eval()
    head.attention.gamma.set_value(paddle.ones([1]))
    x = paddle.randn([1, 256, 12, 16]) * 40
    with paddle.no_grad(), exact_float32():
        found = (head.attention(x) - x).numpy()
    paddle.set_device("cpu")
    try:
        again = CCHead([8], 3, channels=256)
        again.set_state_dict({key: paddle.to_tensor(value.numpy()) for key, value in head.state_dict().items()})
        again.eval()
        x = paddle.to_tensor(x.numpy())
        with paddle.no_grad():
            expected = (again.attention(x) - x).numpy()
    finally:
        paddle.set_device("gpu")
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
