"""The process that converts: `onnx_worker.py GRAPH WEIGHTS TARGET OPSET`, a script without this package."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from typing import Any

import onnx
import paddle2onnx


def convert(graph: str, weights: str, target: str, opset: int) -> None:
    """Write the ONNX file and name its free dimensions.

    Args:
        graph: File of the graph in Paddle's format.
        weights: File of the weights.
        target: The ONNX file.
        opset: Version of ONNX's operators.
    """
    options: dict[str, Any] = {"opset_version": opset, "auto_upgrade_opset": False, "enable_onnx_checker": True}
    if "optimize_tool" in inspect.signature(paddle2onnx.export).parameters:
        options["optimize_tool"] = "None"  # the default may install packages, numpy 2 among them
    paddle2onnx.export(graph, weights, target, **options)
    model = onnx.load(target)
    name_free_sizes(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def name_free_sizes(graph: onnx.GraphProto) -> None:
    """Call the free dimensions of inputs and outputs batch, height and width instead of by number."""
    for values, with_channels_last in ((graph.input, True), (graph.output, False)):
        for value in values:
            dims = value.type.tensor_type.shape.dim
            is_image = with_channels_last and value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
            for dim, name in zip(dims, _axes(len(dims), is_image)):
                if not dim.HasField("dim_value"):
                    dim.dim_param = name
    del graph.value_info[:]  # its sizes bear the old names; every reader infers them again


def _axes(rank: int, is_image: bool) -> Iterable[str]:
    if rank == 3:
        return "batch", "height", "width"
    return ("batch", "height", "width", "channels") if is_image else ("batch", "channels", "height", "width")


if __name__ == "__main__":
    graph, weights, target, opset = sys.argv[1:]
    convert(graph, weights, target, int(opset))
