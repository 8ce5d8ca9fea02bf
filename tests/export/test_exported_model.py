"""An exported network reads and writes tensors where they lie: nothing through the host, no memory of another's."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg_ext.data.transforms import FastNormalize
from paddleseg_ext.export import runtimes, wrapper
from paddleseg_ext.export.exported_model import ExportedModel
from paddleseg_ext.export.exporter import Export
from paddleseg_ext.export.runtimes import CUDA, OnnxRunner, gpu_number, open_runner
from paddleseg_ext.export.wrapper import Colors
from tests.export.test_exporter import FORMATS, needs_onnx

MKL = Path(paddle.__file__).parent / "libs" / "libmklml_intel.so"
NORMALIZE = FastNormalize([0.5], [0.25])


class Network(nn.Layer):
    """Begins with an operation that could be done in place, in the images' own memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 5, 3, padding=1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.conv(nn.functional.relu(x) * 2)]


def export(folder: Path, **options: Any) -> Network:
    network = Network()
    network.eval()
    Export(formats=FORMATS, verify=False, **options).write(network, folder)
    return network


@pytest.fixture(scope="module", params=["none", "argmax"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    export(folder, output_op=request.param)
    return folder


@pytest.mark.parametrize("backend", FORMATS)
def test_tensors_give_what_arrays_give(exported: Path, backend: str) -> None:
    runner = open_runner(exported, backend)
    tensors = [
        paddle.randn([1, 3, 20, 30]),
        paddle.randn([2, 3, 13, 17])[:, :, ::-1, ::-1],
        paddle.randn([1, 3, 20, 30]),
    ]
    arrays = [tensor.numpy() for tensor in tensors]
    found = [runner.run_tensor(tensor) for tensor in tensors]  # all are kept, as windows of one image are
    expected = [runner(array) for array in arrays]
    for tensor, array, result, wanted in zip(tensors, arrays, found, expected):
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert result.numpy().dtype == wanted.dtype
        np.testing.assert_array_equal(result.numpy(), wanted)
    assert not np.array_equal(expected[0], expected[2])


@pytest.mark.skipif(not MKL.is_file() or (os.cpu_count() or 1) < 2, reason="needs MKL and two processors")
def test_threads_are_those_of_before(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of another number of threads differ in their last bits, so that a training would go otherwise."""
    threads = ctypes.CDLL(str(MKL)).MKL_Get_Max_Threads
    for count, asked in ((2, 1), (1, 2)):  # more than there are processors MKL does not take
        monkeypatch.setenv("OMP_NUM_THREADS", str(count))
        runner = runtimes.PaddleRunner(exported, asked)
        assert threads() == count
        runner(np.zeros((1, 3, 8, 8), np.float32))
        assert threads() == count


def test_nothing_passes_through_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colors = Colors.of([NORMALIZE])
    network = export(tmp_path, output_op="softmax", colors=colors)
    x = paddle.to_tensor(colors(np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8)))
    expected = nn.functional.log_softmax(network(x)[0], 1).numpy()
    for backend in FORMATS:
        found = ExportedModel(tmp_path, backend, [NORMALIZE])
        on_the_host = found(x)[0].numpy()
        with monkeypatch.context() as patch:
            patch.setattr(wrapper, "on_host", lambda tensor: False)  # as on a GPU
            patch.setattr(paddle.Tensor, "numpy", lambda self: pytest.fail("copied to the host"))
            result = found(x)[0]
        np.testing.assert_allclose(on_the_host, expected, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(result.numpy(), on_the_host)


def test_colors_are_undone_alike_on_every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    colors = Colors(np.float32([0.01, 0.5, 7]), np.float32([-2, 3, 100]))
    normalized = paddle.to_tensor(colors(pictures))
    for on_host in (True, False):
        monkeypatch.setattr(wrapper, "on_host", lambda tensor, on_host=on_host: on_host)
        found = colors.undone_tensor(normalized)
        assert found.dtype == paddle.uint8
        np.testing.assert_array_equal(found.numpy(), pictures)
    outside = colors.undone_tensor(paddle.to_tensor([-1e4, 1e4, 100.0]).reshape([1, 3, 1, 1]))
    assert outside.flatten().tolist() == [0, 255, 0]


@needs_onnx
def test_a_graph_of_unknown_classes_runs_all_the_same(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, x = open_runner(exported, "onnx"), paddle.randn([1, 3, 9, 8])
    expected = runner.run_tensor(x).numpy()
    assert runner._result_shape(x, ["batch", "channels", "height", "width"]) is None
    monkeypatch.setattr(runner, "_result_shape", lambda *_: None)
    np.testing.assert_array_equal(runner.run_tensor(x).numpy(), expected)


class Card:
    """A session of ONNX Runtime on a GPU: says what it was made with and bound to."""

    def __init__(self, file: str, options: Any, providers: list) -> None:
        self.providers, self.bound, self.steps = providers, {}, []

    def get_providers(self) -> list[str]:
        return [name if isinstance(name, str) else name[0] for name in self.providers]

    def get_inputs(self) -> list:
        return [SimpleNamespace(name="x", shape=["batch", 3, "height", "width"])]

    def get_outputs(self) -> list:
        return [SimpleNamespace(name="y", shape=["batch", "height", "width"], type="tensor(int32)")]

    def io_binding(self) -> Card:
        return self

    def bind_input(self, name: str, *arguments: Any) -> None:
        self.bound[name] = arguments

    bind_output = bind_input

    def run_with_iobinding(self, binding: Card) -> None:
        self.steps.append("run")

    def synchronize_outputs(self) -> None:
        self.steps.append("synchronize outputs")

    def run(self, names: None, given: dict) -> list[np.ndarray]:
        self.steps.append("through the host")
        return [np.zeros((2, 7, 5), np.int32)]


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnnxRunner:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(runtimes, "check_onnx_packages", dict)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Card)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"])
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:1")
    (tmp_path / "model.onnx").touch()
    return OnnxRunner(tmp_path / "model.onnx")


def test_onnx_runtime_is_given_the_memory_of_the_chosen_card(card: OnnxRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = card.session
    assert session.providers[0] == (CUDA, {"use_tf32": "0", "device_id": "1"})
    x = SimpleNamespace(
        shape=[2, 3, 7, 5],
        dtype=paddle.float32,
        place=SimpleNamespace(is_gpu_place=lambda: True),
        contiguous=lambda: x,
        data_ptr=lambda: 123,
    )
    monkeypatch.setattr(paddle.device, "synchronize", lambda: session.steps.append("synchronize"))
    result = card.run_tensor(x)
    assert session.bound["x"] == ("cuda", 1, np.float32, (2, 3, 7, 5), 123)
    assert session.bound["y"] == ("cuda", 1, np.int32, (2, 7, 5), result.data_ptr())
    assert result.dtype == paddle.int32 and session.steps == ["synchronize", "run", "synchronize outputs"]


def test_a_session_without_the_card_computes_on_the_host(card: OnnxRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime goes on without a provider whose libraries it cannot load."""
    monkeypatch.setattr(Card, "get_providers", lambda self: ["CPUExecutionProvider"])
    alone = OnnxRunner(Path(__file__))
    assert alone.gpu is None
    x: Any = SimpleNamespace(
        shape=[2, 3, 7, 5], place=SimpleNamespace(is_gpu_place=lambda: True), numpy=lambda: np.zeros((2, 3, 7, 5))
    )
    assert alone.run_tensor(x).shape == [2, 7, 5]
    assert alone.session.steps == ["through the host"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("device, number", [("cpu", None), ("gpu:0", 0), ("gpu:3", 3), ("xpu:1", None)])
def test_the_number_of_the_gpu(device: str, number: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle, "get_device", lambda: device)
    assert gpu_number() == number


@pytest.mark.gpu
@pytest.mark.parametrize("backend", FORMATS)
def test_on_a_gpu(exported: Path, backend: str) -> None:
    runner = open_runner(exported, backend)
    pictures = [paddle.randn([1, 3, 20, 30]), paddle.randn([2, 3, 13, 17])]
    found = [runner.run_tensor(picture) for picture in pictures]
    for picture, result in zip(pictures, found):
        assert result.place.is_gpu_place()
        np.testing.assert_allclose(result.numpy(), runner(picture.numpy()), rtol=0, atol=1e-5)
