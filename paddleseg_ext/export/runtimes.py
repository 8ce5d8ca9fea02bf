"""Running exported networks through Paddle Inference and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle

from paddleseg_ext.compat.paddle import disable_onednn
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.export.formats import ONNX_NAME, check_onnx_packages, graph_file
from paddleseg_ext.runtime.device import cpu_threads

GPU_MEMORY_MIB = 512  # what Paddle Inference takes at once; it grows


class PaddleRunner:
    """A graph in Paddle's format under Paddle Inference, on the device that Paddle is set to.

    Args:
        folder: Holds ``model.json`` or ``model.pdmodel``, and ``model.pdiparams``.
        threads: Of the CPU; `cpu_threads` unless given.

    Raises:
        UserError: The files are missing or damaged.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        graph, weights = graph_file(folder), folder / "model.pdiparams"
        if not weights.is_file():
            raise UserError(f"{weights}: there is no such file")
        config = paddle.inference.Config(str(graph), str(weights))
        config.disable_glog_info()
        if paddle.get_device().startswith("gpu"):
            config.enable_use_gpu(GPU_MEMORY_MIB, int(paddle.get_device().partition(":")[2] or 0))
        else:
            disable_onednn(config)  # on by default in 3.3, where it refuses resizing and overruns memory when padding
            config.set_cpu_math_library_num_threads(threads or cpu_threads())
        try:
            self.predictor = paddle.inference.create_predictor(config)
        except Exception as error:  # Paddle's own kinds, with a page of C++ frames
            raise UserError(f"{folder}: Paddle Inference cannot load the model: {reason(error)}") from error
        self.input = self.predictor.get_input_handle(self.predictor.get_input_names()[0])
        self.output = self.predictor.get_output_handle(self.predictor.get_output_names()[0])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.input.reshape(images.shape)
        self.input.copy_from_cpu(np.ascontiguousarray(images))
        self.predictor.run()
        return self.output.copy_to_cpu()


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
        options.intra_op_num_threads = threads or cpu_threads()
        on_gpu = paddle.get_device().startswith("gpu") and CUDA in onnxruntime.get_available_providers()
        providers: list[Any] = ["CPUExecutionProvider"]
        if on_gpu:
            providers.insert(0, (CUDA, {"use_tf32": "0"}))  # whose default drops 13 bits of the factors
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # ONNX Runtime's own kinds
            raise UserError(f"{file}: ONNX Runtime cannot load it: {reason(error)}") from error
        self.name = self.session.get_inputs()[0].name

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.name: np.ascontiguousarray(images)})[0]


CUDA = "CUDAExecutionProvider"
BACKENDS: dict[str, Any] = {"paddle": PaddleRunner, "onnx": OnnxRunner}


def open_runner(folder: Path, backend: str, threads: int | None = None) -> PaddleRunner | OnnxRunner:
    """The exported network in a folder under one of `BACKENDS`."""
    return BACKENDS[backend](folder / ONNX_NAME if backend == "onnx" else folder, threads)
