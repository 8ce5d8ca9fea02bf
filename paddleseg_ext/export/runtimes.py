"""Running exported networks through Paddle Inference and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from paddleseg_ext.compat.paddle import disable_onednn, threads_kept
from paddleseg_ext.compat.paddle import threads as used_threads
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.export.formats import ONNX_NAME, check_onnx_packages, graph_file
from paddleseg_ext.runtime.arrays import on_host, to_array

GPU_MEMORY_MIB = 512  # what Paddle Inference takes at once; it grows


class PaddleRunner:
    """A graph in Paddle's format under Paddle Inference, on the device that Paddle is set to.

    Args:
        folder: Holds ``model.json`` or ``model.pdmodel``, and ``model.pdiparams``.
        threads: Of the CPU; as many as Paddle has unless given.

    Raises:
        UserError: The files are missing or damaged.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        graph, weights = graph_file(folder), folder / "model.pdiparams"
        if not weights.is_file():
            raise UserError(f"{weights}: there is no such file")
        config = paddle.inference.Config(str(graph), str(weights))
        config.disable_glog_info()
        if (gpu := gpu_number()) is not None:
            config.enable_use_gpu(GPU_MEMORY_MIB, gpu)
        else:
            disable_onednn(config)  # on by default in 3.3, where it refuses resizing and overruns memory when padding
            config.set_cpu_math_library_num_threads(threads or used_threads())
        try:
            with threads_kept():
                self.predictor = paddle.inference.create_predictor(config)
        except Exception as error:  # Paddle's own kinds, with a page of C++ frames
            raise UserError(f"{folder}: Paddle Inference cannot load the model: {reason(error)}") from error
        self.input = self.predictor.get_input_handle(self.predictor.get_input_names()[0])
        self.output = self.predictor.get_output_handle(self.predictor.get_output_names()[0])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        result = self.run_tensor(paddle.to_tensor(images))
        return to_array(result) if on_host(result) else result.numpy()

    @threads_kept()
    def run_tensor(self, images: paddle.Tensor) -> paddle.Tensor:
        """The same of a tensor, which the network reads where it lies; the result lies there too, in its own memory."""
        images = images.contiguous()
        if paddle.__version__.startswith("2."):  # which crashes when it returns tensors
            self.input.share_external_data(images)
            self.predictor.run()
            return paddle.to_tensor(self.output.copy_to_cpu())
        # Never mixed with the handles' copy_from_cpu, which would write to the memory of the images before.
        (result,) = self.predictor.run([images])
        return result.clone()  # the next run writes to the same memory


class OnnxRunner:
    """An ONNX file under ONNX Runtime, on a GPU where its build has one and Paddle is set to it.

    Args:
        file: The ONNX file.
        threads: As for `PaddleRunner`.

    Raises:
        UserError: The file is missing or damaged, or ONNX Runtime is not installed.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        check_onnx_packages()
        import onnxruntime

        if not file.is_file():
            raise UserError(f"{file}: there is no such file")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; what it says of every unused constant helps nobody
        options.intra_op_num_threads = threads or used_threads()
        providers: list[Any] = ["CPUExecutionProvider"]
        self.gpu = gpu_number() if CUDA in onnxruntime.get_available_providers() else None
        if self.gpu is not None:  # TF32, its default, drops 13 bits of the factors
            providers.insert(0, (CUDA, {"use_tf32": "0", "device_id": str(self.gpu)}))
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # ONNX Runtime's own kinds
            raise UserError(f"{file}: ONNX Runtime cannot load it: {reason(error)}") from error
        if CUDA not in self.session.get_providers():  # which it leaves out where the card's libraries are missing
            self.gpu = None
        self.name = self.session.get_inputs()[0].name

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.name: np.ascontiguousarray(images)})[0]

    def run_tensor(self, images: paddle.Tensor) -> paddle.Tensor:
        """The same of a tensor, which the network reads where it lies; the result is written there, too.

        Both pass through the host where ONNX Runtime computes on the CPU for a Paddle on a GPU, or where the graph does
        not tell the size of its result.
        """
        output = self.session.get_outputs()[0]
        shape = self._result_shape(images, output.shape)
        if shape is None or images.place.is_gpu_place() != (self.gpu is not None):
            return paddle.to_tensor(self(images.numpy()))
        images, result = images.contiguous(), paddle.empty(shape, ONNX_TYPES[output.type])
        device = ("cpu", 0) if self.gpu is None else ("cuda", self.gpu)
        binding = self.session.io_binding()
        for bind, name, tensor in ((binding.bind_input, self.name, images), (binding.bind_output, output.name, result)):
            dtype = np.dtype(str(tensor.dtype).rpartition(".")[2]).type  # paddle.float32 → numpy.float32
            bind(name, *device, dtype, tuple(tensor.shape), tensor.data_ptr())
        if self.gpu is not None:
            paddle.device.synchronize()  # ONNX Runtime's stream does not wait for Paddle's
        self.session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return result

    def _result_shape(self, images: paddle.Tensor, dims: Sequence[int | str | None]) -> list[int] | None:
        """What the graph says of it, where free sizes bear the names that they have in the input."""
        given = dict(zip(self.session.get_inputs()[0].shape, images.shape))
        if any(not isinstance(dim, int) and dim not in given for dim in dims):
            return None
        return [dim if isinstance(dim, int) else given[dim] for dim in dims]


def gpu_number() -> int | None:
    """Of the GPU that Paddle is set to; None on another device."""
    kind, _, number = paddle.get_device().partition(":")
    return int(number or 0) if kind == "gpu" else None


CUDA = "CUDAExecutionProvider"
ONNX_TYPES = {"tensor(float)": paddle.float32, "tensor(int32)": paddle.int32}  # of all that is exported
BACKENDS: dict[str, Any] = {"paddle": PaddleRunner, "onnx": OnnxRunner}


def open_runner(folder: Path, backend: str, threads: int | None = None) -> PaddleRunner | OnnxRunner:
    """The exported network in a folder under one of `BACKENDS`."""
    return BACKENDS[backend](folder / ONNX_NAME if backend == "onnx" else folder, threads)
