"""CPU kernels can be disabled by the environment and within a block."""

from __future__ import annotations

import paddle
import pytest

from paddleseg_ext import cpu
from paddleseg_ext.cpu import winograd
from paddleseg_ext.layers import functional
from paddleseg_ext.layers.functional import conv3x3


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry per run of the Winograd kernel."""
    found: list[int] = []
    run = winograd.run
    monkeypatch.setattr(winograd, "run", lambda *args: found.append(1) or run(*args))
    return found


def convolve() -> None:
    conv3x3(paddle.randn([1, 128, 32, 32]), paddle.randn([128, 128, 3, 3]))


def test_within_the_block_the_reference_form_runs(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functional, "KERNELS", functional.KERNELS)
    functional.KERNELS.update(cpu.CPU_KERNELS)
    convolve()
    with cpu.disabled():
        assert not functional.KERNELS
        convolve()
    convolve()
    assert len(calls) == 2


@pytest.mark.parametrize("value, installed", [("0", False), ("1", True), (None, True)])
def test_the_environment_decides(value: str | None, installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cpu.ENV_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(cpu.ENV_VARIABLE, value)
    with cpu.disabled():
        cpu.install()
        assert (functional.KERNELS == cpu.CPU_KERNELS) == installed


def test_every_kernel_has_an_operation() -> None:
    assert all(hasattr(functional, name) for name in cpu.CPU_KERNELS)


def test_traced_graphs_use_no_kernel(calls: list[int]) -> None:
    class Net(paddle.nn.Layer):
        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return conv3x3(x, self.weight)

    net = Net()
    net.weight = net.create_parameter([128, 128, 3, 3])
    spec = [paddle.static.InputSpec([None, 128, None, None])]
    paddle.jit.to_static(net, input_spec=spec, full_graph=True).forward.concrete_program  # noqa: B018  # traces
    assert not calls
