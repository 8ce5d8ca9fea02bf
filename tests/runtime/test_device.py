"""Choosing a device, and what the process takes of it."""

from __future__ import annotations

import logging
import os
import warnings

import numpy as np
import paddle
import pytest

from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime import device
from paddleseg_ext.runtime.device import peak_memory, reading_processes, search_kernels, set_device


def test_auto_takes_what_there_is() -> None:
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    assert set_device("auto").startswith("gpu" if gpus else "cpu")


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="this Paddle can use a GPU")
@pytest.mark.parametrize("name", ["gpu", "gpu:1"])
def test_a_gpu_without_the_gpu_wheel_says_what_to_install(name: str) -> None:
    with pytest.raises(UserError, match=rf"`device` {name}: .*CPU build; install paddlepaddle-gpu"):
        set_device(name)


@pytest.mark.parametrize("name", ["tpu", "cpu:1", "xpu:x"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"`device` {name}"):
        set_device(name)


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="counts what is on the GPU")
def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_memory()
    held = np.ones(before // 4 + 2**26, np.float32)  # as much again, and more
    assert peak_memory() >= before + held.nbytes // 2


@pytest.mark.parametrize("name", ["gpu:0", "gpu:3", "xpu:1"])
def test_processes_of_a_launch_do_not_share_one_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setattr(paddle.device.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(paddle, "set_device", chosen.append)
    with pytest.raises(UserError, match=f"`device` {name}: all 2 processes would compute on that one; .*--devices"):
        set_device(name)
    set_device("gpu")
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: 1)
    set_device(name)
    assert chosen == ["gpu", name]


def test_data_are_read_by_processes_where_a_gpu_would_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle, "get_device", lambda: "cpu")
    assert [reading_processes(asked) for asked in (None, 0, 3)] == [0, 0, 3]
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(24), raising=False)
    assert [reading_processes(asked) for asked in (None, 0, 12)] == [8, 0, 12]
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "4")
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: 16)  # on four machines
    assert reading_processes() == 6
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "48")
    assert reading_processes() == 1


@pytest.mark.parametrize("device", ["cpu", "gpu:0", "xpu:0"])
def test_kernels_are_searched_on_a_gpu(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[object] = []
    monkeypatch.setattr(paddle, "get_device", lambda: device)
    monkeypatch.setattr(paddle.incubate.autotune, "set_config", steps.append)
    backward = paddle.Tensor.backward
    monkeypatch.setattr(paddle.Tensor, "backward", lambda self: (steps.append("backward"), backward(self)))
    on_gpu = device.startswith("gpu")
    assert search_kernels() is on_gpu
    assert steps == ([{"kernel": {"enable": True, "tuning_range": [1, 10]}}, "backward"] if on_gpu else [])


def test_paddle_takes_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """It only warns of one that it does not understand, and its counter goes up whatever the device."""
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert search_kernels()
    paddle.incubate.autotune.set_config({"kernel": {"enable": False}})


def test_a_device_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    device._tell.cache_clear()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            device.set_device("cpu")
            with device.computing_on("auto"):
                pass
    assert [record.message.split(";")[0] for record in caplog.records] == ["computing on cpu"]
